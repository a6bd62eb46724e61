"""The building blocks of the stacks, one per kind of resource."""
