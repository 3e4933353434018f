"""Handles Ctrl-C: the first one asks the command to stop; the second one ends the process even if it hangs."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, Self, TypeVar

R = TypeVar("R")

#: Seconds for the report after a second Ctrl-C; then the process ends without it.
GRACE = 1.5
INTERRUPTED = 130
#: Signals that interrupt: Ctrl-C, SIGTERM, which ends containers, and Ctrl-Break on Windows; no system has all of them.
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


class Interrupts:
    """Turns Ctrl-C into cancellations of the coroutine in `run` while the block runs.

    It doesn't use the event loop's handlers, which are never called while the loop is blocked, and which Windows lacks.

    Args:
        prefix: Text at the start of each line.
        first: Message after the first Ctrl-C.
    """

    def __init__(self, *, prefix: str = "", first: str) -> None:
        self._prefix, self._first = prefix, first
        self._times = 0
        self._running: asyncio.Task[Any] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._interrupted) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, call: Coroutine[Any, Any, R]) -> R:
        """Run to the end, as `asyncio.run` does.

        Raises:
            asyncio.CancelledError: It was interrupted.
        """

        async def watched() -> R:
            self._running = asyncio.current_task()
            try:
                return await call
            finally:
                self._running = None

        return asyncio.run(watched())

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        self._times += 1
        if self._times == 2:
            timer = threading.Timer(GRACE, self._end)
            timer.daemon = True
            timer.start()
        if self._running is None:
            raise KeyboardInterrupt
        self._running.get_loop().call_soon_threadsafe(self._running.cancel)
        if self._times == 1:
            self._write(self._first)

    def _end(self) -> None:
        self._write("Ended without waiting for answers: a rerun completes what was being made.")
        os._exit(INTERRUPTED)

    def _write(self, line: str) -> None:
        # A signal may arrive while a line is being written.
        with contextlib.suppress(OSError):
            os.write(2, f"{self._prefix}{line}\n".encode())
