"""Runs the real Label Studio Community server as operators do: on PostgreSQL, under gunicorn with four workers, behind nginx.

It needs Debian's packages `postgresql` and `nginx` (`make postgresql nginx`), and gunicorn beside Label Studio. The
database is a throw-away one: it is gone when the server stops. Like `scripts/label_studio.py`, it needs no package of this
project, and nothing that it starts listens on anything but loopback.
"""

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from scripts.label_studio import (
    HOST,
    POLL_SECONDS,
    START_SECONDS,
    STOP_SECONDS,
    Instance,
    LabelStudioDidNotStart,
    environment,
    free_port,
    main,
    prepare,
    started,
    stop,
    tail,
)
from scripts.postgres import PostgresUnavailable, postgres_server

WORKERS = 4

#: As the image of Label Studio configures it: large imports, and a page may take a minute and a half.
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        client_max_body_size 200m;
        location / {{
            proxy_pass http://{host}:{inner};
            proxy_read_timeout 90s;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


@contextmanager
def running(executable: Path, data: Path, port: int) -> Iterator[Instance]:
    """A Community server behind nginx on `port`, with a new database and its files in `data`; stopped when the block ends.

    Raises:
        LabelStudioDidNotStart: PostgreSQL, nginx or gunicorn is not installed, or did not start.
    """
    account, data, inner = prepare(data), data.absolute(), free_port()
    try:
        with postgres_server() as url, _nginx(data, port, inner):
            told = environment(data, account) | _database(url)
            _initialize(executable, data, told)
            command = [*_gunicorn(executable), "--bind", f"{HOST}:{inner}"]
            with started(Instance(f"http://{HOST}:{port}", account, data, command, told)) as label_studio:
                yield label_studio
    except PostgresUnavailable as problem:
        raise LabelStudioDidNotStart(str(problem)) from problem


def _database(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
        "DJANGO_DB": "default",
        "POSTGRE_USER": parts.username or "",
        "POSTGRE_PASSWORD": parts.password or "",
        "POSTGRE_HOST": parts.hostname or "",
        "POSTGRE_PORT": str(parts.port),
        "POSTGRE_NAME": parts.path.strip("/"),
    }


def _initialize(executable: Path, data: Path, told: dict[str, str]) -> None:
    """Make the tables and the user."""
    with (data / "server.log").open("ab") as log:
        done = subprocess.run(
            [executable.absolute(), "init"],
            env=told,
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=START_SECONDS,
            check=False,
        )
    if done.returncode:
        raise LabelStudioDidNotStart(
            f"Label Studio could not set its database up: code {done.returncode}.\n{tail(data / 'server.log')}"
        )


def _gunicorn(executable: Path) -> list[str | Path]:
    gunicorn = executable.absolute().with_name("gunicorn")
    if not gunicorn.exists():
        raise LabelStudioDidNotStart(f"gunicorn is not installed beside {executable}: run `make label-studio`.")
    (package,) = executable.absolute().parents[1].glob("lib/python*/site-packages/label_studio")
    # Long enough for a batch on a busy machine; a worker that is killed in a request loses its answer.
    options = ["--workers", str(WORKERS), "--timeout", "90", "--chdir", str(package)]
    return [gunicorn, "core.wsgi:application", *options]


@contextmanager
def _nginx(data: Path, port: int, inner: int) -> Iterator[None]:
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        raise LabelStudioDidNotStart("nginx is not installed: install the package nginx (as root: make nginx).")
    folder = data / "nginx"
    folder.mkdir(exist_ok=True)
    (folder / "nginx.pid").unlink(missing_ok=True)
    # Root's nginx would work as a user who may not write into the folder.
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, user=user, host=HOST, port=port, inner=inner), encoding="utf-8")
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-p", folder, "-e", "stderr", "-c", config],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait_for_nginx(process, folder)
            yield
        finally:
            stop(process)


def _wait_for_nginx(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    # Written when it listens.
    while not (folder / "nginx.pid").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabelStudioDidNotStart(f"nginx did not start.\n{tail(folder / 'nginx.log')}")
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main("Label Studio Community on PostgreSQL behind nginx, on this machine alone.", running))
