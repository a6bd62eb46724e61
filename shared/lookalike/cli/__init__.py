"""`lookalike …`: one module per command; `main` runs them."""

from lookalike.cli.main import main

__all__ = ["main"]
