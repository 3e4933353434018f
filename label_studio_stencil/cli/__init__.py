"""The command line: `stencil create|plan|remove|check|template list|workspace list|sandbox`.

The door to the whole: it alone of the engine may call the flow, and only `create` does, so that nothing else pays for
starting Prefect.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence

#: Exit codes.
ALL_OK, NEEDS_ATTENTION, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130

#: Set in the environment, it shows where what nobody has foreseen came from.
TRACEBACK = "STENCIL_TRACEBACK"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code.

    0: all rows are well. 1: some are not. 2: nothing was done (bad sheet, bad usage, no server). 130: interrupted.
    """
    if threading.current_thread() is threading.main_thread():
        # What ends a container ends a command as Ctrl-C does, so that it leaves no server of its own behind.
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
    from label_studio_stencil.problems import StencilError

    chosen = parser().parse_args(arguments)
    display = Display(sandbox=getattr(chosen, "sandbox", False), machine=getattr(chosen, "json", False))
    try:
        return int(chosen.command(chosen, display))
    except StencilError as error:
        display.error(str(error))
        return NOTHING_DONE
    except BrokenPipeError:
        # Whoever read our output has read enough, as `head` does.
        sys.stderr.close()
        return display.code
    except Exception as error:
        # Nobody has foreseen it: a folder that can't be written, a broken profile, a fault of our own.
        if os.environ.get(TRACEBACK):
            raise
        said = (str(error).splitlines() or [""])[0]
        display.error(f"{type(error).__name__}: {said} ({TRACEBACK}=1 shows where)")
        return display.code or NOTHING_DONE


if __name__ == "__main__":
    sys.exit(main())
