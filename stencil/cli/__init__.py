"""The command line: `stencil create|plan|remove|check|template list|workspace list|sandbox`.

The door to the whole: it alone of the engine may call the flow, and only `create` does, so that nothing else pays for
starting Prefect.
"""

import sys
from collections.abc import Sequence

from stencil.cli.arguments import parser
from stencil.cli.display import Display
from stencil.problems import StencilError

#: Exit codes.
ALL_WELL, NOT_WELL, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    0: all rows are well. 1: some are not. 2: nothing was done (bad sheet, bad usage, no server). 130: interrupted.
    """
    chosen = parser().parse_args(arguments)
    display = Display(sandbox=getattr(chosen, "sandbox", False), machine=getattr(chosen, "json", False))
    try:
        return int(chosen.command(chosen, display))
    except StencilError as error:
        display.error(str(error))
        return NOTHING_DONE
    except KeyboardInterrupt:
        display.error("Interrupted.")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has read enough, as `head` does.
        sys.stderr.close()
        return ALL_WELL


if __name__ == "__main__":
    sys.exit(main())
