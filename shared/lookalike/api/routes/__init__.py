"""The operations, by noun. Each parses, calls the service, and formats."""
