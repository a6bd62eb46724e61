"""`python -m lookalike` is `lookalike`."""

import sys

from lookalike.cli import main

sys.exit(main())
