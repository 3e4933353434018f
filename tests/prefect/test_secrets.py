"""Whoever can read a run's logs, artifacts, states and files finds neither the token nor a password in them.

Label Studio here is hostile: it repeats in an error whatever it was told. Left out is what holds the user's own input by its
purpose: the sheet, `failed.csv`, the parameters `rows` and `csv_text`, and the report's cells that `failed.csv` is made of.
"""

import asyncio
import base64
import csv
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.logging.handlers import APILogWorker
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.parts import DEPLOYMENT
from label_studio_stencil.report.markdown import markdown_summary
from tests.prefect.deployed import SECONDS, ended, event_of, message_of, name_block, runs_of, started, worker
from tests.prefect.test_create_projects import artifacts, latest_run, task_runs

PASSWORDS = ("hunter2-secret-of-a-column", "hunter2-secret-of-overrides")
TITLE = "Shown everywhere"
SHEET = (
    ("title", "template", "workspace", "color", "task_data_password", "overrides"),
    (TITLE, "1", "1", "#617ADA", PASSWORDS[0], ""),
    ("Refused row", "1", "1", "#BADBAD", PASSWORDS[0], ""),
    ("Refused row as well", "1", "1", "#BADBAD", "", f'{{"task_data_password": "{PASSWORDS[1]}"}}'),
)

#: Everything that Prefect and Stencil have to say, also to Prefect's server.
TALKATIVE = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "label_studio_stencil",
}


class Gossip:
    """Stands before the sandbox's handlers: keeps every token that it sees, and repeats all it is told in a refusal."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for some rows."""
        said = call.headers.get(b"authorization", b"").decode()
        self.tokens |= {said.split()[-1]} if said else set()
        if call.method == "PATCH" and b"#BADBAD" in call.raw:
            told = f"{said} sent {call.raw.decode()}"
            errors = {"color": [told], "task_data_password": [told]}
            return JSONResponse({"detail": told, "validation_errors": errors}, 400)
        return await proceed()


@pytest.fixture
def gossip() -> Gossip:
    return Gossip()


@pytest.fixture(params=["legacy token", "personal access token"])
def label_studio(request: pytest.FixtureRequest, gossip: Gossip, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that the environment names as Label Studio, by a token of either kind."""
    with Sandbox(token="5ec2e7" * 7, interceptors=[gossip]) as sandbox:
        token = sandbox.token if request.param == "legacy token" else sandbox.personal_access_token
        gossip.tokens.add(token)
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
        yield sandbox


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(SHEET)
    return path


@pytest.fixture
def server_home(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's Prefect server keeps its database."""
    (home,) = tmp_path_factory.getbasetemp().glob("prefect-server[0-9]")
    assert list(home.glob("prefect.db*"))
    return home


class Kept(logging.Handler):
    """Keeps every record of every logger, as it would be written at its most talkative."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{self.format(record)} {vars(record)!r}")


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    """All log records from here on, of DEBUG and above, those that go to Prefect's server included."""
    kept = Kept()
    names = ("", "prefect", "prefect.flow_runs", "prefect.task_runs", "httpx", "httpcore", "stencil")
    loggers = [logging.getLogger(name or None) for name in names]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.addHandler(kept)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined] # levels are cached
    yield kept
    for logger in loggers:
        logger.removeHandler(kept)


def found_in(content: bytes, secrets: set[str]) -> set[str]:
    """Those that are in it, plainly or in Base64."""
    return {secret for secret in secrets if any(form in content for form in forms(secret.encode()))}


def forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + secret)
        # The first and the last characters depend on the neighbours.
        yield encoded[4:-4]


def files_below(*folders: Path) -> bytes:
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


async def told_by_prefect() -> str:
    """All that the server's API tells of the last run."""
    run = await latest_run()
    APILogWorker.instance().drain()
    async with get_client() as client:
        logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])), limit=200)
    shown = [run, *await task_runs(run, *(row[0] for row in SHEET[1:])), *(await artifacts(run)).values(), *logs]
    # It comes last, so that once it is written down the rest is too.
    event = await event_of(run.id, "stencil.batch.failed")
    return "".join(each.model_dump_json() for each in shown) + json.dumps(event)


async def test_a_batch_shows_no_secret(
    label_studio: Sandbox, gossip: Gossip, sheet: Path, logs: Kept, server_home: Path, tmp_path: Path
) -> None:
    with pytest.raises(BatchFailed) as failed:
        await create_projects(sheet=str(sheet), output=str(tmp_path / "out"))
    secrets = {*gossip.tokens, *PASSWORDS}
    report, error = failed.value.report, failed.value
    assert report.counts["failed"] == 2  # type: ignore[index]

    places = {
        "logs": "".join(logs.texts).encode(),
        "Prefect's API": (await told_by_prefect()).encode(),
        "results.csv": (tmp_path / "out" / "results.csv").read_bytes(),
        "Prefect's files": files_below(server_home, Path(os.environ["PREFECT_HOME"])),
    }
    for place, content in places.items():
        assert TITLE.encode() in content, f"{place} was not looked at"
    exception = "".join(traceback.format_exception(error)) + repr(error)
    places["exception"] = exception.encode()
    places["shown report"] = (str(report.to_json()) + markdown_summary(report) + str(report.table())).encode()
    assert {place: found_in(content, secrets) for place, content in places.items()} == {
        place: set() for place in places
    }
    assert found_in(pickle.dumps(error), gossip.tokens) == set()


@pytest.mark.parametrize(
    "program", [("label_studio_stencil", "create", "--verbose"), ("scripts.flow",)], ids=["command line", "flow"]
)
async def test_a_process_at_its_most_talkative_shows_no_secret(
    label_studio: Sandbox,
    gossip: Gossip,
    sheet: Path,
    prefect_api: str,
    server_home: Path,
    tmp_path: Path,
    program: tuple[str, ...],
) -> None:
    home = tmp_path / "home"
    environment = {**os.environ, **TALKATIVE, "PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(home)}
    command = [sys.executable, "-m", *program, str(sheet)]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 1, done.stderr.decode()
    output = done.stdout + done.stderr
    assert b"receive_response_headers" in output
    secrets = {*gossip.tokens, *PASSWORDS}
    assert len(secrets) >= 3
    assert found_in(output, secrets) == set()
    assert found_in((await told_by_prefect()).encode(), secrets) == set()
    assert found_in(files_below(home, server_home), secrets) == set()


@pytest.mark.slow
@pytest.mark.usefixtures("deployments")
async def test_a_worker_and_the_parts_of_a_sheet_show_no_secret(
    gossip: Gossip, label_studio: Sandbox, sheet: Path, prefect_api: str, server_home: Path, tmp_path: Path
) -> None:
    home, output = tmp_path / "home", tmp_path / "worker.log"
    await name_block(label_studio, os.environ["LABEL_STUDIO_API_KEY"])
    environment = {**os.environ, **TALKATIVE, "PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(home)}
    with output.open("wb") as file, worker(environment, output=file.fileno()):
        run = await ended(await started("create-in-parts/in-parts", sheet=str(sheet), parts=2))
    assert message_of(run) == "Failed: 2 parts, 3 rows: 1 created, 2 failed"
    refused = next(part for part in await runs_of(DEPLOYMENT) if part.parameters["lines"] == "3-4")
    # It comes last, so that once it is written down the rest is too.
    await event_of(refused.id, "stencil.batch.failed")
    places = {"worker": output.read_bytes(), "files": files_below(home, server_home)}
    assert str(sheet).encode() in places["files"]
    assert b"/create-project 201" in places["worker"]
    secrets = {*gossip.tokens, *PASSWORDS}
    assert {place: found_in(content, secrets) for place, content in places.items()} == {
        place: set() for place in places
    }
