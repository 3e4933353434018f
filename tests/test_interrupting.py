"""A second Ctrl-C ends the process, whatever hangs."""

import signal
import subprocess
import sys

import pytest

from tests.prefect.deployed import SECONDS

PROGRAM = """
import asyncio, time
from label_studio_stencil.cli.interrupts import stop_at_interrupt

async def endless():
    while True:
        try:
            {wait}
        except asyncio.CancelledError:
            pass

async def main():
    running = asyncio.ensure_future(endless())
    stop_at_interrupt(running)
    print("running", flush=True)
    await running

asyncio.run(main())
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
