"""Runs the command line: `python -m label_studio_stencil` is the command `stencil`."""

import sys

from label_studio_stencil.cli import main

sys.exit(main())
