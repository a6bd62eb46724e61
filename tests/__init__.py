"""Tests. A package, so that `tests.aws_emulator` is found before a `tests` that some dependency installs."""

import os

# Workers share the processor. OpenBLAS would start a thread for each core in each of them, and those that
# wait spin: an eigendecomposition would take four times its processor time. Child processes inherit this.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
