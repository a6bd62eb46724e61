"""The deployment on AWS, described with the CDK."""
