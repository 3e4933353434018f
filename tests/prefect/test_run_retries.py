"""Runs that Prefect carries out again because an operator set `retries`: how they end, and that nothing happens twice."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil.prefect.artifacts import kind_of
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.inbox import watch_inbox
from label_studio_stencil.prefect.parameters import one_source
from label_studio_stencil.prefect.sheet_ready import on_event
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.outcomes import Outcome
from tests.prefect.deployed import event_of, message_of, run_of, worker
from tests.prefect.test_create_projects import latest_run
from tests.soak.batches import projects

pytestmark = pytest.mark.usefixtures("prefect_api")

ROW = {"workspace": "1", "template": "1"}


class RefusesOnce:
    """Stands before the sandbox's handlers and refuses the first create of a project called `Refused`."""

    def __init__(self, status: int) -> None:
        self._status, self._refused = status, False

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for that create."""
        if call.method == "POST" and b"Refused" in call.raw and not self._refused:
            self._refused = True
            return JSONResponse({"detail": "Not now."}, self._status)
        return await proceed()


@pytest.fixture
def refusing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that answers the first create of `Refused` with the status of the parameter."""
    with Sandbox(interceptors=[RefusesOnce(request.param)]) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


async def artifacts(run: FlowRun) -> Counter[str]:
    """How many artifacts of each key a run has."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    async with get_client() as client:
        return Counter(kind_of(each.key or "") for each in await client.read_artifacts(artifact_filter=mine))


async def told(run: UUID, last: str) -> Counter[str]:
    """How many events of Stencil's a run has sent, once `last` is among them."""
    await event_of(run, last)
    asked = {"filter": {"event": {"prefix": ["stencil."]}}, "limit": 50}
    async with get_client() as client:
        events = (await client.request("POST", "/events/filter", json=asked)).json()["events"]
    return Counter(each["event"] for each in events if str(run) in json.dumps(each["related"]))


def results_in(inbox: Path) -> dict[str, str]:
    """The results of each sheet, by its name."""
    return {path.parent.name[-5:]: path.read_text(encoding="utf-8") for path in inbox.rglob("results.csv")}


async def test_a_copy_of_the_flow_takes_what_an_event_brings(sandbox: Sandbox) -> None:
    copy = on_event.with_options(name="copy")
    report = await copy({"rows": [{"title": "Event", **ROW}], "dry_run": True})
    assert report.dry_run
    assert projects(sandbox) == []


async def test_an_invalid_sheet_ends_in_its_problems_after_the_last_attempt(sandbox: Sandbox) -> None:
    repeated = create_projects.with_options(retries=1, retry_delay_seconds=0)
    with pytest.raises(InvalidSheet, match="title-too-short"):
        await repeated(rows=[{"title": "x", **ROW}])
    run = await latest_run()
    assert "title-too-short" in message_of(run)
    assert run.run_count == 2
    assert await artifacts(run) == {"stencil-problems": 1}
    assert await told(run.id, "stencil.batch.failed") == {"stencil.batch.failed": 1}


@pytest.mark.parametrize("refusing", [400], indirect=True)
async def test_a_second_attempt_does_what_failed_and_the_run_tells_once_of_both(
    refusing: Sandbox, tmp_path: Path
) -> None:
    repeated = create_projects.with_options(retries=1, retry_delay_seconds=0)
    rows = [{"title": title, **ROW} for title in ("Fine", "Refused")]
    report = await repeated(rows=rows, output=str(tmp_path), project_events=True)
    assert [row.outcome for row in report.rows] == [Outcome.CREATED, Outcome.CREATED]
    assert sorted(project["title"] for project in projects(refusing)) == ["Fine", "Refused"]

    run = await latest_run()
    assert message_of(run) == "Completed: 2 rows: 2 created"
    assert run.run_count == 2
    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count(",created,") == 2
    found = await artifacts(run)
    assert (found["stencil-summary"], found["stencil-rows"]) == (1, 1)
    assert await told(run.id, "stencil.batch.completed") == {"stencil.project.created": 2, "stencil.batch.completed": 1}


async def test_an_unforeseen_error_is_forgotten_once_a_later_attempt_completes(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter([True, False])

    def fails_once(*given: Any) -> Any:
        if next(calls):
            raise RuntimeError("unforeseen")
        return one_source(*given)

    monkeypatch.setattr("label_studio_stencil.prefect.flows.one_source", fails_once)
    report = await create_projects.with_options(retries=1, retry_delay_seconds=0)(rows=[{"title": "One", **ROW}])
    assert report.sentence == "1 row: 1 created"


@pytest.mark.parametrize("refusing", [401], indirect=True)
async def test_a_second_attempt_at_an_inbox_takes_up_the_sheet_that_was_left(refusing: Sandbox, tmp_path: Path) -> None:
    for name, title in (("a.csv", "Refused"), ("b.csv", "Fine")):
        (tmp_path / name).write_text(f"title\n{title}\n", encoding="utf-8")
    poll = await watch_inbox.with_options(retries=1, retry_delay_seconds=0)(
        inbox=str(tmp_path), quiet_seconds=0, workspace="1", template="1"
    )
    assert poll.sentence == "1 sheet: 1 done"
    results = results_in(tmp_path)
    assert {name: "Refused" in text for name, text in results.items()} == {"a.csv": True, "b.csv": False}
    assert sorted(project["title"] for project in projects(refusing)) == ["Fine", "Refused"]


@pytest.mark.slow
@pytest.mark.usefixtures("deployments")
async def test_a_worker_that_retries_every_flow_ends_a_run_in_the_sheets_problems(environment: dict[str, str]) -> None:
    assert "PREFECT_FLOWS_DEFAULT_RETRIES" not in os.environ
    with worker({**environment, "PREFECT_FLOWS_DEFAULT_RETRIES": "1"}):
        run = await run_of("create-projects/on-demand", credentials="", csv_text="title\nx\n", **ROW)
    assert message_of(run).startswith("Failed: pasted rows: 1 problem")
    assert "title-too-short" in message_of(run)
    assert run.run_count == 2
