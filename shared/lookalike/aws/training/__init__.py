"""A training on SageMaker: the container, and the steps that follow the job."""
