"""Imitates AWS on one machine. README.md says what, how faithfully, and what it cannot show.

Tests and benches import it by its full name, `from tests.aws_emulator.deployment import cloud`: both run at
the root of the repository, and mypy checks what a bench imports.
"""
