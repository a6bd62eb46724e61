"""Tests. A package, so that `tests.aws_emulator` is found before a `tests` that some dependency installs."""
