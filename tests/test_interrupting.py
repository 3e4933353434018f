"""A second Ctrl-C ends the process, whatever hangs."""

import asyncio
import importlib
import signal
import subprocess
import sys

import pytest

from label_studio_stencil.cli import interrupts

#: Seconds after which what is waited for will not come any more.
SECONDS = 120

PROGRAM = """
import asyncio, time
from label_studio_stencil.cli.interrupts import Interrupts

async def endless():
    while True:
        try:
            {wait}
        except asyncio.CancelledError:
            pass

async def main():
    print("running", flush=True)
    await endless()

with Interrupts(first="Ctrl-C once more ends at once.") as interrupts:
    interrupts.run(main())
"""


@pytest.mark.parametrize(
    "wait",
    [
        pytest.param("await asyncio.sleep(3600)", id="something that takes no cancellation"),
        pytest.param("time.sleep(3600)", id="an event loop that stands still"),
    ],
)
def test_a_second_interrupt_ends_the_process_whatever_hangs(wait: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(wait=wait)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(signal.SIGINT)
        assert "once more ends at once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert errors.startswith("Ended without waiting")


def test_interrupts_need_no_signal_that_a_system_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where the event loop has no handlers of signals and some signals do not exist."""
    monkeypatch.delattr(signal, "SIGTERM")
    monkeypatch.setattr(asyncio.AbstractEventLoop, "add_signal_handler", None)
    reloaded = importlib.reload(interrupts)
    try:
        assert reloaded.SIGNALS == (signal.SIGINT,)

        async def interrupted() -> None:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(SECONDS)

        before = signal.getsignal(signal.SIGINT)
        with reloaded.Interrupts(first="") as handled, pytest.raises(asyncio.CancelledError):
            handled.run(interrupted())
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        monkeypatch.undo()
        importlib.reload(interrupts)
