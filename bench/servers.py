"""The servers that benchmarks run against, each in a process of its own on a free port."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEADLINE = 90.0


@contextmanager
def sandbox_server(latency_ms: float = 0.0) -> Iterator[tuple[str, str]]:
    """URL and token of a fresh sandbox."""
    with tempfile.TemporaryDirectory(prefix="stencil-sandbox-") as folder:
        command = [sys.executable, "-m", "stencil.sandbox", "--port", "0", "--data", f"{folder}/sandbox.sqlite3"]
        command += ["--latency-ms", str(latency_ms), "--token", "f" * 40]
        with _process(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://[\d.:]+", line)
            assert found, line
            yield found[0], "f" * 40


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    """API URL of a Prefect server with an empty database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(
        PREFECT_HOME=str(folder / "prefect"),
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE="100",
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE="100",
        PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL="1",
    )
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with _process(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + _DEADLINE
        while not _healthy(f"http://127.0.0.1:{port}/api/health"):
            assert process.poll() is None, "the Prefect server ended at its start"
            assert time.monotonic() < deadline, "the Prefect server did not start"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"


@contextmanager
def _process(command: list[str], *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
