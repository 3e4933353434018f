"""The servers that tests and benchmarks run against, each in a process of its own on a free port of loopback."""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.label_studio import HOST, POLL_SECONDS, free_port, stop

#: Seconds that a server may take to answer; a Prefect server migrates its database first.
START_SECONDS = 120.0

#: What keeps a Prefect server quiet and lets it record every task run: by default it takes them one at a time, and drops
#: those that come faster (measured on Prefect 3.8.8).
PREFECT_ENVIRONMENT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}

SANDBOX_TOKEN = "f" * 40


@contextmanager
def sandbox_server(latency_ms: float = 0.0) -> Iterator[tuple[str, str]]:
    """URL and token of a fresh sandbox."""
    with tempfile.TemporaryDirectory(prefix="stencil-sandbox-") as folder:
        command = [sys.executable, "-m", "stencil.sandbox", "--port", "0", "--data", f"{folder}/sandbox.sqlite3"]
        command += ["--latency-ms", str(latency_ms), "--token", SANDBOX_TOKEN]
        with running(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://[\d.:]+", line)
            assert found, f"the sandbox did not start: {line!r}"
            yield found[0], SANDBOX_TOKEN


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """API URL of a Prefect server whose database is in `home`."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = {**os.environ, **PREFECT_ENVIRONMENT, "PREFECT_HOME": str(home)}
    environment.pop("PREFECT_API_URL", None)
    with running(command, environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(f"http://{HOST}:{port}/api/health"):
            assert process.poll() is None, "the Prefect server ended at its start"
            assert time.monotonic() < deadline, "the Prefect server did not start"
            time.sleep(POLL_SECONDS)
        yield f"http://{HOST}:{port}/api"


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str] | None = None, *, stdout: int
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
