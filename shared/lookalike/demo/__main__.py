"""`python -m lookalike.demo`. See `lookalike.demo.tour`."""

import os
import sys

from lookalike.demo.tour import main

sys.exit(main(os.environ))
