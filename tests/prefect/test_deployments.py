"""prefect.yaml deployed and run by a worker: from the UI's form, on a schedule and on an event, and what others hear of it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from deployments.automations import SILENT, UNENDED, NotThere, alert, react
from label_studio_sandbox import Sandbox
from scripts.servers import running
from tests.prefect.deployed import (
    ROOT,
    SECONDS,
    command,
    ended,
    event_of,
    message_of,
    next_run_of,
    run_of,
    runs_of,
    send_sheet_ready,
    started,
    worker,
)

pytestmark = pytest.mark.slow

ON_DEMAND, NIGHTLY = (f"create-projects/{name}" for name in ("on-demand", "nightly"))
ON_EVENT = "on-event/on-event"
INBOX = "watch-inbox/inbox"
#: Name of the credentials block.
BLOCK = "label-studio"
# Faster than the tests, which share this limit.
BOOTSTRAP = ("deployments.bootstrap", "--credentials", BLOCK, "--rate", "1000")
DEFAULTS = {"credentials": BLOCK, "template": "Sentiment Analysis", "workspace": "Research"}


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox") / "sandbox.sqlite3", log_requests=True) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def environment(
    label_studio: Sandbox, prefect_api: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Set up as the README says, with a worker that runs."""
    sheets = str(tmp_path_factory.getbasetemp())
    environment = {**os.environ, "PREFECT_API_URL": prefect_api, "STENCIL_ALLOW": sheets}
    known = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
    command({**environment, **known}, *BOOTSTRAP)
    command(environment, "prefect", "--no-prompt", "deploy", "--all")
    # The worker knows Label Studio by the block alone.
    with worker(environment):
        yield {**environment, **known}


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text(f"title\n{tmp_path.name} one\n{tmp_path.name} two\n", encoding="utf-8")
    return path


def writes(label_studio: Sandbox) -> int:
    return sum(request.method in ("POST", "PATCH", "DELETE") for request in label_studio.requests)


async def test_bootstrap_again_changes_nothing_that_exists(environment: dict[str, str], label_studio: Sandbox) -> None:
    told = command(environment, *BOOTSTRAP)
    assert f"Label Studio: {label_studio.url} (Enterprise) answers" in told
    assert "work queue batches: is there, 1 at a time" in told
    assert f"automation {SILENT!r}: is there" in told
    assert f"automation {UNENDED!r}: is there" in told
    assert f"export STENCIL_ALLOW={environment['STENCIL_ALLOW']}" in told
    assert label_studio.token not in told


async def test_a_person_pastes_rows_into_the_form_of_on_demand(
    environment: dict[str, str], label_studio: Sandbox
) -> None:
    run = await run_of(ON_DEMAND, csv_text="title\nFrom the UI\nAlso from the UI\n", **DEFAULTS)
    assert message_of(run) == "Completed: 2 rows: 2 created"
    assert run.work_queue_name == "batches"


def add_row(sheet: Path, title: str) -> None:
    with sheet.open("a", encoding="utf-8") as file:
        file.write(f"{title}\n")


async def test_the_nightly_sheet_costs_a_listing_and_no_write_until_a_row_is_new(
    environment: dict[str, str], label_studio: Sandbox, sheet: Path
) -> None:
    async with get_client() as client:
        deployment = await client.read_deployment_by_name(NIGHTLY)
    assert [schedule.active for schedule in deployment.schedules] == [False]

    await run_of(NIGHTLY, sheet=str(sheet), **DEFAULTS)
    before, asked = writes(label_studio), len(label_studio.requests)
    run = await run_of(NIGHTLY, sheet=str(sheet), **DEFAULTS)
    assert message_of(run) == "Completed: 2 rows: 2 exists, nothing written"
    assert (writes(label_studio) - before, len(label_studio.requests) - asked) == (0, 4)

    add_row(sheet, "A new row")
    run = await run_of(NIGHTLY, sheet=str(sheet), **DEFAULTS)
    assert message_of(run) == "Completed: 3 rows: 1 created, 2 exists"


async def test_an_event_asks_for_a_batch_with_options_that_keep_their_types(
    environment: dict[str, str], label_studio: Sandbox, sheet: Path
) -> None:
    before = len(await runs_of(ON_EVENT))
    payload = {"sheet": str(sheet), "template": 1, "workspace": "Research", "dry_run": True, "credentials": BLOCK}
    await send_sheet_ready(payload)
    run = await next_run_of(ON_EVENT, before)
    assert message_of(run) == "Completed: 2 rows: 2 would be created"
    assert run.parameters["event"] == payload


@pytest.mark.parametrize(
    ("payload", "reasons"),
    [
        ({"shet": "a.csv"}, ["there is no parameter 'shet'", "sheet"]),
        (
            {"sheet": "a.csv", "dry_run": "maybe", "template": [1]},
            ["dry_run: 'maybe'", "template: '[1]'"],
        ),
        ({"rows": "[{"}, ["rows: takes a list"]),
        ({"csv_text": "title\nabc\n", "max_concurrency": 64}, ["there is no parameter 'max_concurrency'"]),
        ({"csv_text": "title\nabc\n", "output": "/tmp"}, ["output: an event can't set it here", "may_set"]),
        ({"sheet": "/etc/passwd"}, ["/etc/passwd", "an event may open", "STENCIL_ALLOW=/etc"]),
        ({}, ["exactly one of sheet, csv_text and rows"]),
    ],
    ids=[
        "unknown field",
        "wrong values",
        "rows as text",
        "a field of people",
        "not allowed",
        "a sheet elsewhere",
        "nothing",
    ],
)
async def test_a_malformed_event_fails_in_a_run_that_names_the_field(
    environment: dict[str, str], payload: dict[str, Any], reasons: list[str]
) -> None:
    before = len(await runs_of(ON_EVENT))
    await send_sheet_ready(payload)
    message = message_of(await next_run_of(ON_EVENT, before))
    assert message.startswith("Failed: ")
    assert all(reason in message for reason in reasons), message


async def test_sheets_in_the_inbox_are_run_and_put_away_with_their_results(
    environment: dict[str, str], label_studio: Sandbox, sheet: Path
) -> None:
    spoilt(sheet)
    run = await run_of(INBOX, inbox=str(sheet.parent), quiet_seconds=0, **DEFAULTS)
    assert message_of(run) == "CompletedWithFailures: 2 sheets: 1 done, 1 failed"
    found = {str(path.relative_to(sheet.parent)).partition("/")[0] + "/" + path.name for path in files(sheet.parent)}
    assert found == {
        "done/sheet.csv",
        "done/results.csv",
        "done/failed.csv",
        "failed/spoilt.csv",
        "failed/problems.csv",
    }


def spoilt(sheet: Path) -> None:
    (sheet.parent / "spoilt.csv").write_text("title\nab\n", encoding="utf-8")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_two_deployments_started_together_run_in_turn(environment: dict[str, str], sheet: Path) -> None:
    rows = [{"title": f"{sheet.parent.name} {number}"} for number in range(20)]
    both = [await started(name, rows=rows, max_concurrency=1, **DEFAULTS) for name in (ON_DEMAND, NIGHTLY)]
    runs = sorted([await ended(run) for run in both], key=lambda run: str(run.start_time))
    first, second = runs
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.end_time <= second.start_time
    assert {message_of(run) for run in runs} == {
        "Completed: 20 rows: 20 created",
        "Completed: 20 rows: 20 exists, nothing written",
    }


async def test_a_missing_block_is_an_error_message(environment: dict[str, str], sheet: Path) -> None:
    run = await run_of(ON_DEMAND, sheet=str(sheet), **{**DEFAULTS, "credentials": "nobody"})
    assert message_of(run).startswith("Failed: credentials: there is no block 'nobody'")


async def test_each_project_and_each_batch_sends_an_event(
    environment: dict[str, str], label_studio: Sandbox, sheet: Path, tmp_path: Path
) -> None:
    noted = tmp_path / "noted.jsonl"
    command(
        environment,
        *(
            "prefect",
            "--no-prompt",
            "deploy",
            "tests.prefect.noting.note_project",
            "--name",
            "noted",
            "--pool",
            "stencil",
        ),
        *("--job-variable", json.dumps({"env": {"STENCIL_NOTED": str(noted)}})),
    )
    with pytest.raises(NotThere, match="project_id"):
        await react(ON_DEMAND)
    automation = await react("note-project/noted", workspace="Research")
    try:
        before = len(await runs_of("note-project/noted"))
        told_of = {**DEFAULTS, "project_events": True}
        run = await run_of(ON_DEMAND, sheet=str(sheet), **told_of)
        await run_of(ON_DEMAND, csv_text="title\nElsewhere\n", **{**told_of, "workspace": "Legal Documents"})
        await next_run_of("note-project/noted", before + 1)
        for each in await runs_of("note-project/noted"):
            await ended(each)
    finally:
        await automation.adelete()
    told = [json.loads(line) for line in noted.read_text(encoding="utf-8").splitlines()]
    assert sorted(each["title"] for each in told) == [f"{tmp_path.name} one", f"{tmp_path.name} two"]
    assert all(each["url"] == f"{label_studio.url}/projects/{each['id']}" for each in told)
    batch = await event_of(run.id, "stencil.batch.completed")
    assert batch["payload"]["counts"]["created"] == 2


async def test_an_alert_carries_the_counts_of_a_batch_with_failed_rows(
    environment: dict[str, str], label_studio: Sandbox
) -> None:
    with listener() as (url, heard):
        webhook = {"name": "test", "url": url, "json_data": {"text": "{{subject}}: {{body}}"}}
        block = CustomWebhookNotificationBlock.model_validate(webhook)
        await block.asave("stencil-test", overwrite=True)
        automation = await alert("custom-webhook/stencil-test")
        try:
            rows = [{"title": "Well enough"}, {"title": "Bad", "color": "#FFFFFF", "overrides": '{"nonsense": 1}'}]
            run = await run_of(ON_DEMAND, rows=rows, skip_invalid=True, fail_when="never", **DEFAULTS)
            async with asyncio.timeout(SECONDS):
                while not heard:  # noqa: ASYNC110 - a server in a thread of its own hears it
                    await asyncio.sleep(0.1)
        finally:
            await automation.adelete()
    assert message_of(run) == "CompletedWithFailures: 2 rows: 1 created, 1 invalid (line 3)"
    assert heard[0]["text"] == "Stencil: typed rows: 2 rows: 1 created, 1 invalid (line 3)"


async def test_a_flow_serves_itself_without_a_worker(environment: dict[str, str], label_studio: Sandbox) -> None:
    served = "create-projects/served"
    with running(
        [sys.executable, "flows/create_projects.py", "serve"], environment, stdout=subprocess.DEVNULL, cwd=ROOT
    ):
        async with asyncio.timeout(SECONDS):
            while not await is_deployed(served):  # noqa: ASYNC110 - another process does
                await asyncio.sleep(0.2)
        run = await run_of(served, csv_text="title\nServed\n", **DEFAULTS)
    assert message_of(run) == "Completed: 1 row: 1 created"


async def is_deployed(name: str) -> bool:
    async with get_client() as client:
        try:
            await client.read_deployment_by_name(name)
        except ObjectNotFound:
            return False
    return True


@contextmanager
def listener() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The URL of a webhook, and what it hears."""
    heard: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
