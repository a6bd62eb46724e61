"""The five stacks of a deployment."""
