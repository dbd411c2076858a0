"""`python -m clrl`: the command line."""

import sys

from clrl.cli import main

sys.exit(main())
