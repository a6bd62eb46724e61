"""Benchmarks: each prints a table that the documentation quotes."""
