"""Small parts that the stacks are made of; each knows one kind of resource."""
