"""`python -m stencil.cli` is the command `stencil`."""

import sys

from stencil.cli import main

sys.exit(main())
