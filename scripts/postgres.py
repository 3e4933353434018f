"""A throw-away PostgreSQL server, for the tests and benchmarks in which Prefect's server has one.

It needs Debian's package `postgresql` (`make postgresql`), or `initdb` and `postgres` on PATH, and no driver: Prefect brings
asyncpg. Its data are in a temporary folder, and it listens on loopback alone, with a password made up for it. It commits to the
disk, as an operator's does.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.label_studio import HOST, free_port

#: Where Debian puts the programs, one folder for each release.
DEBIAN = Path("/usr/lib/postgresql")
#: Who may run it where root is asked to: it refuses root itself.
USERS = ("postgres", "nobody")

#: Seconds that it may take to answer; on an idle machine it takes half of one.
START_SECONDS = 60.0
#: Seconds between asking it to stop, demanding it and killing it.
STOP_SECONDS = 10.0
#: Seconds between two looks at a server that is starting.
POLL_SECONDS = 0.05


class PostgresUnavailable(Exception):
    """PostgreSQL is not installed, or did not start."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who runs the server, and whom its folder belongs to; no ids for the present user."""

    uid: int | None = None
    gid: int | None = None

    @classmethod
    def found(cls) -> "_Owner":
        if os.geteuid() != 0:
            return cls()
        known = {entry.pw_name: entry for entry in pwd.getpwall()}
        entry = next((known[name] for name in USERS if name in known), None)
        if entry is None:
            raise PostgresUnavailable(f"PostgreSQL does not run as root, and there is no user {' or '.join(USERS)}.")
        return cls(entry.pw_uid, entry.pw_gid)

    def start(self, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
        """The process of a command, in the folder, with what it says in the folder's `log`."""
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal goes to the whole group; whoever uses the server ends first.
                start_new_session=True,
                user=self.uid,
                group=self.gid,
                extra_groups=None if self.uid is None else (),
            )

    def take(self, path: Path) -> None:
        """Make a file or folder the owner's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of an empty database, in the form that `PREFECT_SERVER_DATABASE_CONNECTION_URL` takes.

    Raises:
        PostgresUnavailable: It is not installed, or did not start.
    """
    programs, owner = _programs(), _Owner.found()
    password = secrets.token_urlsafe(15)
    with tempfile.TemporaryDirectory(prefix="stencil-postgres-", ignore_cleanup_errors=True) as name:
        folder, port = Path(name), free_port()
        owner.take(folder)
        _create(programs, owner, folder, password)
        process = owner.start(_command(programs, folder, port), folder)
        try:
            _wait(process, folder)
            yield f"postgresql+asyncpg://stencil:{password}@{HOST}:{port}/postgres"
        finally:
            _stop(process)


def plain_url(url: str) -> str:
    """The same URL as asyncpg itself takes it, without the name of SQLAlchemy's dialect."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def _programs() -> Path:
    """The folder of the newest release's programs."""
    releases = (path for path in DEBIAN.glob("*/bin/initdb") if path.parts[-3].isdigit())
    newest = max(releases, key=lambda path: int(path.parts[-3]), default=None)
    found = newest or shutil.which("initdb")
    if not found:
        raise PostgresUnavailable(
            f"PostgreSQL is not installed: neither {DEBIAN}/*/bin nor PATH has initdb. Install the package postgresql "
            "(as root: make postgresql)."
        )
    return Path(found).parent


def _create(programs: Path, owner: _Owner, folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.touch(mode=0o600)
    secret.write_text(password, encoding="ascii")
    owner.take(secret)
    # The folder and all in it are gone in the end, so that there is nothing to be kept safe while it is made.
    options = ["--username=stencil", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-sync"]
    process = owner.start([str(programs / "initdb"), f"--pgdata={folder / 'data'}", *options], folder)
    try:
        code = process.wait(START_SECONDS)
    finally:
        process.kill()
        process.wait()
    secret.unlink()
    if code:
        raise PostgresUnavailable(f"PostgreSQL's initdb ended with code {code}.\n{_tail(folder)}")


def _command(programs: Path, folder: Path, port: int) -> list[str]:
    # Its socket would be in a folder that only Debian's own server may write to.
    options = {"listen_addresses": HOST, "port": str(port), "unix_socket_directories": ""}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(folder / "data"), *settings]


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    # What `pg_ctl start` waits for: the last line of this file.
    status = folder / "data" / "postmaster.pid"
    while not (status.exists() and status.read_text(encoding="utf-8").rstrip().endswith("ready")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise PostgresUnavailable(f"PostgreSQL did not start.\n{_tail(folder)}")
        time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and its processes: clients are cut off, first in good order."""
    for each in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(each)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


def _tail(folder: Path, lines: int = 15) -> str:
    return "\n".join((folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
