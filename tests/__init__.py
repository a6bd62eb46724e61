"""Tests. This is a package so that `tests.aws_emulator` is found before any `tests` that a dependency installs."""
