"""Tests. A package, so that `tests.aws_emulator` is found before a `tests` that some dependency installs."""

import os

# Workers share the processor. OpenBLAS and OpenMP would start a thread for each core in each of them, and
# those that wait spin: an eigendecomposition then takes four times its processor time. Children inherit this.
for _library in ("OPENBLAS", "OMP"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
