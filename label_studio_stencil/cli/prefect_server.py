"""A Prefect server for the time of one command, where none is named.

Prefect would start one by itself, but in the process group of the terminal: Ctrl-C would end it at once, before the batch has
completed its placeholders and reported the rest. Ours is in a session of its own, and ends after the batch.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from label_studio_stencil.cli.interrupts import children
from label_studio_stencil.problems import StencilError

HOST = "127.0.0.1"

#: Seconds that the server may take to answer; the first start of all migrates its database.
START_SECONDS = 300.0
#: Seconds between two looks at a server that is starting.
POLL_SECONDS = 0.1
#: Seconds between asking it to stop and killing it.
STOP_SECONDS = 10.0

#: What it needs to record every task run (by default it takes them one at a time, and drops those that come faster: measured on
#: Prefect 3.8.8), and to keep to itself.
ENVIRONMENT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_UI_ENABLED": "false",
}


class PrefectServerDidNotStart(StencilError):
    """The Prefect server that a command starts for itself did not answer."""


def may_be_named(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether anything may name a Prefect server that runs already; only Prefect itself, once imported, knows for certain."""
    home = Path(environment.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(environment.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    files = (profiles, Path(".env"), Path("prefect.toml"), Path("pyproject.toml"))
    return "PREFECT_API_URL" in environment or any(_speaks_of_a_server(each) for each in files)


def _speaks_of_a_server(file: Path) -> bool:
    try:
        text = file.read_text(encoding="utf-8", errors="replace").casefold()
    except OSError:
        return False
    return ("tool.prefect" if file.name == "pyproject.toml" else "url") in text


@contextmanager
def embedded_prefect_server(
    environment: Mapping[str, str] = os.environ, *, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """The API URL of a Prefect server, until the block ends.

    Args:
        environment: Of the server; `PREFECT_HOME` in it says where its database is, by default the user's own.
        meanwhile: Called while it starts, which takes seconds.

    Raises:
        PrefectServerDidNotStart: It ended, or did not answer in time.
    """
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own arguments
        [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)],
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    children.append(process)
    try:
        meanwhile()
        _wait(process, f"http://{HOST}:{port}/api/health")
        yield f"http://{HOST}:{port}/api"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        children.remove(process)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise PrefectServerDidNotStart(
                "The embedded Prefect server did not start. `prefect server start` shows why; "
                "PREFECT_API_URL names one that runs already."
            )
        time.sleep(POLL_SECONDS)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
