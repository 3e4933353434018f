"""The servers that tests and benchmarks run against, each in a process of its own on a free port of loopback."""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scripts.label_studio import stop

SANDBOX_TOKEN = "f" * 40

HOST = "127.0.0.1"
#: Seconds that a Prefect server may take to answer; the first start of all migrates its database.
_START_SECONDS = 300.0
#: What a Prefect server needs to record every task run (by default it takes them one at a time, and drops those that come
#: faster: measured on Prefect 3.8.8), and to keep to itself.
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}

#: End of the names under which Prefect is told its database.
_DATABASE = "DATABASE_CONNECTION_URL"


@contextmanager
def sandbox_server(latency_ms: float = 0.0) -> Iterator[tuple[str, str]]:
    """URL and token of a fresh sandbox."""
    with tempfile.TemporaryDirectory(prefix="stencil-sandbox-") as folder:
        command = [sys.executable, "-m", "label_studio_sandbox", "--port", "0", "--data", f"{folder}/sandbox.sqlite3"]
        command += ["--latency-ms", str(latency_ms), "--token", SANDBOX_TOKEN]
        with running(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            found = re.search(r"http://[\d.:]+", line)
            assert found, f"the sandbox did not start: {line!r}"
            yield found[0], SANDBOX_TOKEN


@contextmanager
def prefect_server(home: Path, *, ui: bool = False, database: str = "") -> Iterator[str]:
    """API URL of a Prefect server that records task runs in batches.

    Args:
        home: Its folder, in which its SQLite database is.
        ui: Whether its UI is at the root of the same address.
        database: URL of a database of its own instead (`scripts.postgres.postgres_server`).
    """
    # One that the user's environment names is the user's.
    environment = {name: value for name, value in os.environ.items() if not name.endswith(_DATABASE)}
    environment["PREFECT_HOME"] = str(home)
    if database:
        environment[f"PREFECT_SERVER_{_DATABASE}"] = database
    if ui:
        environment |= {
            "PREFECT_SERVER_UI_ENABLED": "true",
            # Wherever the UI came from, whatever the port.
            "PREFECT_SERVER_UI_API_URL": "/api",
            # By default Prefect unpacks the UI into its own package.
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        }
    environment.pop("PREFECT_API_URL", None)
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with running(command, {**_PREFECT, **environment}, stdout=subprocess.DEVNULL) as process:
        _wait(process, f"http://{HOST}:{port}/api/health")
        yield f"http://{HOST}:{port}/api"


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    """Return once a server answers at this URL."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the Prefect server did not start; `prefect server start` shows why")


@contextmanager
def running(
    command: list[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdout: int,
    stderr: int = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=cwd
    )
    try:
        yield process
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()
