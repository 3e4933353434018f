"""The command line: `stencil create|plan|check|submit|remove|template|workspace|explain|sandbox`.

Only `submit` has to do with Prefect, and only it imports Prefect.
"""

import contextlib
import io
import signal
import sys
import threading
import time
from collections.abc import Sequence

#: Exit codes.
ALL_OK, NEEDS_ATTENTION, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: all rows are ok. 1: some need attention. 2: nothing was done (bad sheet, bad usage, no server). 130: interrupted.
    With `plan --detailed-exitcode`, 2 means that there is something to do, and 1 stands for all errors.
    """
    began = time.monotonic()
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGTERM"):
        # SIGTERM, which ends containers, works like Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The parent process may have closed them, and then nobody reads the output.
    sys.stdout, sys.stderr = (stream or io.StringIO() for stream in (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a character gets its escape.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # if it is a file
    try:
        return _run(sys.argv[1:] if arguments is None else arguments, began)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED


def _run(arguments: Sequence[str], began: float) -> int:
    # Imported here, so that Ctrl-C is handled during the second that this takes.
    from label_studio_stencil.cli.arguments import parser
    from label_studio_stencil.cli.display import Display

    nothing_done = NEEDS_ATTENTION if "--detailed-exitcode" in arguments else NOTHING_DONE
    try:
        chosen = parser().parse_args(arguments)
    except SystemExit as ended:
        raise SystemExit(nothing_done if ended.code == NOTHING_DONE else ended.code) from None
    display = Display(
        sandbox=getattr(chosen, "sandbox", False),
        machine=getattr(chosen, "json", False),
        began=began,
        nothing_done=nothing_done,
    )
    try:
        return int(chosen.command(chosen, display))
    except BrokenPipeError:
        # The reader of the output has closed it, as `head` does.
        sys.stderr.close()
        return display.code or ALL_OK
    except Exception as error:  # noqa: BLE001 - it ends in a line, and on request in a traceback
        display.failure(error)
        return nothing_done if display.code is None else display.code or NEEDS_ATTENTION


if __name__ == "__main__":
    sys.exit(main())
