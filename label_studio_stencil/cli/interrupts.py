"""What Ctrl-C does: the first one asks the batch to stop, the second one ends the process, whatever hangs."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

#: Seconds that a second Ctrl-C leaves for the report; then the process ends without it.
GRACE = 1.5
INTERRUPTED = 130

#: Processes of ours that must not outlive this one.
children: list[subprocess.Popen[bytes]] = []


def stop_at_interrupt(running: "asyncio.Future[Any]", *, prefix: str = "") -> Callable[[int, FrameType | None], None]:
    """Cancel what runs at each Ctrl-C, and end the process soon after the second one.

    No handler of the loop's: where that is blocked, it would never be called.

    Args:
        running: What the event loop of this thread runs.
        prefix: Begins each line that is written.

    Returns:
        The handler, for other signals that are to do the same.
    """
    loop = asyncio.get_running_loop()
    times = 0

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        nonlocal times
        times += 1
        loop.call_soon_threadsafe(running.cancel)
        if times == 1:
            _write(f"{prefix}Interrupted: what was begun is completed first; Ctrl-C once more ends at once.")
        if times == 2:
            timer = threading.Timer(GRACE, _end, (prefix,))
            timer.daemon = True
            timer.start()

    signal.signal(signal.SIGINT, interrupted)
    return interrupted


def _end(prefix: str) -> None:
    for child in children:
        child.terminate()
    _write(f"{prefix}Ended without waiting for answers: a rerun completes what was being made.")
    os._exit(INTERRUPTED)


def _write(line: str) -> None:
    # A signal may come amid a line that is being written.
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())
