"""The entry point of the training container; see `lookalike.aws.training.container`."""

from __future__ import annotations

import os
import sys

from lookalike.aws.training.container import main

if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
