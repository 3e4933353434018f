"""Runs the real Label Studio Community server for development, and for the tests marked `real`.

It stands apart from the package and needs only the standard library and a `label-studio` executable, so it
runs under the interpreter of Label Studio's own environment. Nothing that it starts talks to anything but
loopback (traced on Label Studio Community 1.23.2: the only connection that it opens is one to a Redis on
the same machine, which is refused harmlessly), and nothing is written outside the data folder.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

HOST = "127.0.0.1"

#: Seconds that a server may take to answer: a fresh data folder is migrated first (25 s on two idle cores).
START_SECONDS = 240.0
#: Seconds between asking to stop and killing; an idle server stops within two.
STOP_SECONDS = 15.0
#: Seconds between two looks at a server that is starting.
POLL_SECONDS = 0.1

#: What every start needs to stay on this machine: each one is on by default in Label Studio.
QUIET = {
    "LATEST_VERSION_CHECK": "false",
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
}


class LabelStudioDidNotStart(Exception):
    """The server ended, answered at another place than asked, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Account:
    """The one user of a development server; made up at the first start and kept in its data folder."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def of(cls, data: Path) -> "Account":
        """The account kept in `data`, made up and saved there when there is none."""
        saved = data / "account.json"
        if saved.exists():
            return cls(**json.loads(saved.read_text(encoding="utf-8")))
        account = cls("admin@example.com", secrets.token_urlsafe(15), secrets.token_hex(20))
        saved.touch(mode=0o600)
        saved.write_text(json.dumps(asdict(account)), encoding="utf-8")
        return account


@dataclass(frozen=True, slots=True)
class Instance:
    """A server that answers: where, with which token, and where its data and log are."""

    url: str
    account: Account
    data: Path
    log: Path
    process: "subprocess.Popen[bytes]" = field(repr=False)

    @property
    def token(self) -> str:
        """The user's legacy token."""
        return self.account.token


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(executable: Path, data: Path, port: int) -> Iterator[Instance]:
    """A Community server on `port` with its data in `data`; stopped when the block ends.

    Raises:
        StudioDidNotStart: with the end of the server's log.
    """
    data = data.absolute()
    (data / "home").mkdir(parents=True, exist_ok=True)
    account = Account.of(data)
    log_path = data / "server.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [executable.absolute(), "start", "--no-browser", "--internal-host", HOST, "--port", str(port)],
            env=_environment(data, account),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C in a terminal goes to the whole group; the server is stopped by us alone, once.
            start_new_session=True,
        )
        try:
            label_studio = Instance(f"http://{HOST}:{port}", account, data, log_path, process)
            _wait_until_it_answers(label_studio)
            yield label_studio
        finally:
            stop(process)


def template(executable: Path, folder: Path) -> Path:
    """`folder` with the data of a server that was started once; made when it is missing.

    A server that starts on a copy answers after 3 seconds: it has nothing to migrate.
    """
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            with running(executable, unfinished, free_port()):
                pass
            unfinished.replace(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def copy_of(kept: Path, data: Path) -> Path:
    """`data`, a fresh copy of the template `kept`."""
    shutil.copytree(kept, data, ignore=shutil.ignore_patterns("home", "server.log"))
    return data


def _environment(data: Path, account: Account) -> dict[str, str]:
    # Built from nothing: Label Studio reads some eighty variables, each also with a LABEL_STUDIO_ prefix.
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return (
        kept
        | QUIET
        | {
            # It writes a user id below the home folder.
            "HOME": str(data / "home"),
            "LABEL_STUDIO_BASE_DATA_DIR": str(data),
            "LABEL_STUDIO_USERNAME": account.email,
            "LABEL_STUDIO_PASSWORD": account.password,
            "LABEL_STUDIO_USER_TOKEN": account.token,
            # Off unless asked for when the organization is first made; later starts do not read it.
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            # The log is read to learn the port that was really taken.
            "PYTHONUNBUFFERED": "1",
        }
    )


def _wait_until_it_answers(label_studio: Instance) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(f"{label_studio.url}/health"):
        if (code := label_studio.process.poll()) is not None:
            raise LabelStudioDidNotStart(f"Label Studio ended with code {code}.\n{_tail(label_studio)}")
        if time.monotonic() > deadline:
            raise LabelStudioDidNotStart(
                f"Label Studio did not answer in {START_SECONDS:.0f} s.\n{_tail(label_studio)}"
            )
        time.sleep(POLL_SECONDS)
    # When its port is taken it silently goes to the next one, and whoever holds ours would answer instead.
    if f"server at {label_studio.url}/" not in label_studio.log.read_text(encoding="utf-8", errors="replace"):
        raise LabelStudioDidNotStart(f"Another server answers at {label_studio.url}.\n{_tail(label_studio)}")
    if not _answers(f"{label_studio.url}/api/current-user/whoami", token=label_studio.token):
        raise LabelStudioDidNotStart(f"Label Studio refuses the token in {label_studio.data}; delete that folder.")


def _answers(url: str, token: str | None = None) -> bool:
    headers = {"Authorization": f"Token {token}"} if token else {}
    # A proxy of the user's is of no use on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _tail(label_studio: Instance, lines: int = 15) -> str:
    return "\n".join(label_studio.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: asked first, and killed where it does not listen."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve(executable: Path, data: Path, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as taken:
            raise LabelStudioDidNotStart(
                f"Port {port} is taken: stop what listens there, or choose another."
            ) from taken
    first = not (data / "label_studio.sqlite3").exists()
    print(
        "Label Studio Community is starting" + (" (half a minute the first time) ..." if first else " ..."),
        flush=True,
    )
    with running(executable, data, port) as label_studio:
        print(
            f"It listens on {label_studio.url}, its log is {label_studio.log}.",
            f"Sign in as {label_studio.account.email} with {label_studio.account.password}",
            "In another terminal:",
            f"  export LABEL_STUDIO_URL={label_studio.url} LABEL_STUDIO_API_KEY={label_studio.token}",
            "Ctrl-C stops it.",
            sep="\n",
            flush=True,
        )
        code = label_studio.process.wait()
        raise LabelStudioDidNotStart(f"Label Studio ended by itself with code {code}.\n{_tail(label_studio)}")


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Serves in the foreground until Ctrl-C or SIGTERM: the process's exit code."""
    parser = argparse.ArgumentParser(description="Label Studio Community, on this machine alone.")
    parser.add_argument("--executable", type=Path, required=True, help="the `label-studio` to start")
    parser.add_argument("--data", type=Path, required=True, help="folder of its database and files")
    parser.add_argument("--port", type=int, default=8090)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    try:
        _serve(asked.executable, asked.data, asked.port)
    except KeyboardInterrupt:
        print("\nLabel Studio has stopped.")
    except LabelStudioDidNotStart as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
