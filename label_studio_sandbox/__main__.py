"""`python -m label_studio_sandbox`: the sandbox in the foreground, as `stencil sandbox` serves it."""

import argparse
import sys
from collections.abc import Sequence

from label_studio_sandbox.command import add_options, run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0 after an interrupt, 2 if the sandbox could not start."""
    parser = argparse.ArgumentParser(
        prog="python -m label_studio_sandbox", description="A stand-in for Label Studio Enterprise."
    )
    add_options(parser)
    return run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
