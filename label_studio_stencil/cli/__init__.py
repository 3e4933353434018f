"""The command line: `stencil create|plan|check|submit|remove|template|workspace|explain|sandbox`.

Only `submit` has to do with Prefect, and only it imports Prefect.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Sequence

#: Exit codes.
ALL_OK, NEEDS_ATTENTION, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    0: all rows are ok. 1: some need attention. 2: nothing was done (bad sheet, bad usage, no server). 130: interrupted.
    """
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGTERM"):
        # What ends a container ends a command as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character gets its escape.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # if it is a file
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    # A second of imports, in which somebody may press Ctrl-C.
    from label_studio_stencil.cli.arguments import parser
    from label_studio_stencil.cli.display import Display

    chosen = parser().parse_args(arguments)
    display = Display(sandbox=getattr(chosen, "sandbox", False), machine=getattr(chosen, "json", False))
    try:
        return int(chosen.command(chosen, display))
    except BrokenPipeError:
        # Whoever read our output has read enough, as `head` does.
        sys.stderr.close()
        return display.code
    except Exception as error:  # noqa: BLE001 - it ends in a line, and on request in a traceback
        display.failure(error)
        return display.code or NOTHING_DONE


if __name__ == "__main__":
    sys.exit(main())
