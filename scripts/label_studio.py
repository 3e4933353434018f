"""Runs the real Label Studio Community server for development, and for the tests marked `real`: on SQLite, as it comes.

`scripts/label_studio_production.py` runs it as operators do, on PostgreSQL.

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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

HOST = "127.0.0.1"

#: Seconds that a server may take to answer: a fresh data folder is migrated first (25 s on two idle cores, minutes
#: on busy ones).
START_SECONDS = 600.0
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
    # Release 1.13 asks for its newest release whatever it is told: nothing listens here.
    "HTTP_PROXY": f"http://{HOST}:9",
    "HTTPS_PROXY": f"http://{HOST}:9",
    "NO_PROXY": f"{HOST},localhost",
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


@dataclass(slots=True)
class Instance:
    """A server: where it answers, with which token, and where its data and log are."""

    url: str
    account: Account
    data: Path
    command: list[str | Path] = field(repr=False)
    environment: dict[str, str] = field(repr=False)
    process: "subprocess.Popen[bytes]" = field(init=False, repr=False)

    @property
    def token(self) -> str:
        """The user's legacy token."""
        return self.account.token

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.data / "server.log"

    def launch(self) -> None:
        """Start the server, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                cwd=self.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole group; the server is stopped by us alone, once.
                start_new_session=True,
            )

    def start(self) -> None:
        """Start the server, and wait until it answers.

        Raises:
            LabelStudioDidNotStart: with the end of the server's log.
        """
        self.launch()
        _wait_until_it_answers(self)

    def stop(self) -> None:
        """Stop the server; its data stay."""
        stop(self.process)


@contextmanager
def started(label_studio: Instance) -> Iterator[Instance]:
    """The server, started; stopped when the block ends."""
    label_studio.launch()
    try:
        _wait_until_it_answers(label_studio)
        yield label_studio
    finally:
        label_studio.stop()


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
        LabelStudioDidNotStart: with the end of the server's log.
    """
    account = prepare(data)
    command: list[str | Path] = [
        executable.absolute(),
        "start",
        "--no-browser",
        "--internal-host",
        HOST,
        "--port",
        str(port),
    ]
    label_studio = Instance(
        f"http://{HOST}:{port}", account, data.absolute(), command, environment(data.absolute(), account)
    )
    with started(label_studio):
        # When its port is taken it silently goes to the next one, and whoever holds ours answers instead.
        if f"server at {label_studio.url}/" not in label_studio.log.read_text(encoding="utf-8", errors="replace"):
            raise LabelStudioDidNotStart(f"Another server answers at {label_studio.url}.\n{tail(label_studio.log)}")
        if not answers(f"{label_studio.url}/api/current-user/whoami", token=label_studio.token):
            raise LabelStudioDidNotStart(f"Label Studio refuses the token in {data}; delete that folder.")
        yield label_studio


def prepare(data: Path) -> Account:
    """The account of a server's data folder, which is made where it is missing; its log begins anew."""
    (data / "home").mkdir(parents=True, exist_ok=True)
    (data / "server.log").unlink(missing_ok=True)
    return Account.of(data)


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


def environment(data: Path, account: Account) -> dict[str, str]:
    """What a server with its data in `data` is told."""
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
    while not answers(f"{label_studio.url}/health"):
        if (code := label_studio.process.poll()) is not None:
            raise LabelStudioDidNotStart(f"Label Studio ended with code {code}.\n{tail(label_studio.log)}")
        if time.monotonic() > deadline:
            raise LabelStudioDidNotStart(
                f"Label Studio did not answer in {START_SECONDS:.0f} s.\n{tail(label_studio.log)}"
            )
        time.sleep(POLL_SECONDS)


def answers(url: str, token: str | None = None) -> bool:
    """Whether a URL of loopback answers 200."""
    headers = {"Authorization": f"Token {token}"} if token else {}
    # A proxy of the user's is of no use on loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: asked first, and killed where it does not listen."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(server: AbstractContextManager[Instance], port: int) -> NoReturn:
    """Run a server in the foreground, and say how to use it.

    Raises:
        LabelStudioDidNotStart: It ended by itself, or its port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as taken:
            raise LabelStudioDidNotStart(
                f"Port {port} is taken: stop what listens there, or choose another."
            ) from taken
    print("Label Studio Community is starting (half a minute where it has no data yet) ...", flush=True)
    with server as label_studio:
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
        raise LabelStudioDidNotStart(f"Label Studio ended by itself with code {code}.\n{tail(label_studio.log)}")


def _leave(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main(description: str, run: Callable[[Path, Path, int], AbstractContextManager[Instance]] = running) -> int:
    """Serves in the foreground until Ctrl-C or SIGTERM: the process's exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--executable", type=Path, required=True, help="the `label-studio` to start")
    parser.add_argument("--data", type=Path, required=True, help="folder of its database and files")
    parser.add_argument("--port", type=int, default=8090)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    try:
        serve(run(asked.executable, asked.data, asked.port), asked.port)
    except KeyboardInterrupt:
        print("\nLabel Studio has stopped.")
        return 0
    except LabelStudioDidNotStart as problem:
        print(problem, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main("Label Studio Community on SQLite, on this machine alone."))
