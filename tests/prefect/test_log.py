"""The log of a run tells its story in a few lines, and its artifacts tell the rest."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.logging.handlers import APILogWorker
from starlette.responses import JSONResponse, Response

from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.logs import set_up_logs
from tests.prefect.deployed import SECONDS, run_of
from tests.prefect.test_create_projects import artifacts, latest_run

pytestmark = pytest.mark.usefixtures("prefect_api")

ROW = {"template": "1", "workspace": "1"}


async def log_of(run: FlowRun) -> list[str]:
    """All lines of a run's log, task runs' lines included, once they are sent."""
    APILogWorker.drain_all(at_exit=False)
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    async with get_client() as client, asyncio.timeout(SECONDS):
        while True:
            found = [log.message for log in await client.read_logs(of_run, limit=200)]
            if any(line.startswith("Finished in state") for line in found):
                return found
            await asyncio.sleep(0.2)


class AsksForPauses:
    """Stands before the sandbox's handlers and answers every twentieth create with a 429."""

    def __init__(self) -> None:
        self._creates = 0

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, but for those."""
        self._creates += call.method == "POST"
        if call.method == "POST" and self._creates % 20 == 0:
            return JSONResponse({"detail": "Request was throttled."}, 429, headers={"Retry-After": "1"})
        return await proceed()


@pytest.fixture
def throttling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(interceptors=[AsksForPauses()]) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


async def test_the_log_of_a_hundred_rows_with_pauses_and_a_failure_has_at_most_twenty_lines(
    throttling: Sandbox,
) -> None:
    rows = [{"title": f"Row {number}", **ROW} for number in range(99)]
    rows.append({"title": "Refused", "overrides": {"model_version": "nope"}, **ROW})  # type: ignore[dict-item]
    report = await create_projects(rows=rows, fail_when="never", max_concurrency=8)
    assert report.pauses >= 4

    run = await latest_run()
    log = await log_of(run)
    assert len(log) <= 20, log
    whole = "\n".join(log)
    assert f"{throttling.url} (Enterprise), 8 requests at once" in whole
    assert "Plan: 100 rows: 100 would be created" in whole
    assert "asks for a pause (1 s" in whole
    assert "line 101, Refused: failed: " in whole
    assert f"{report.sentence} (" in whole
    assert f", {report.pauses} pauses of " in whole

    found = await artifacts(run)
    assert "pauses that Label Studio asked for" in found["stencil-progress"].description
    assert throttling.url.partition("//")[2] in found["stencil-progress"].description
    assert f"| pauses that Label Studio asked for | {report.pauses}, " in found["stencil-summary"].data


async def test_lines_of_the_library_reach_the_log_of_the_run_and_no_other() -> None:
    @flow
    async def any_flow() -> None:
        set_up_logs()
        set_up_logs()
        logging.getLogger("label_studio_stencil.labelstudio.client").warning("It is asked again.")

    await any_flow()
    # Outside a run Prefect would warn of it.
    logging.getLogger("label_studio_stencil").warning("Nobody's.")
    assert (await log_of(await latest_run())).count("It is asked again.") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
async def test_the_summary_of_a_deployments_run_compares_it_with_the_one_before(tmp_path: Path) -> None:
    sheet = tmp_path / f"{tmp_path.name}.csv"
    sheet.write_text("title\nFirst\n", encoding="utf-8")
    before = await run_of("create-projects/on-demand", sheet=str(sheet), **ROW)
    sheet.write_text("title\nFirst\nSecond\n", encoding="utf-8")
    run = await run_of("create-projects/on-demand", sheet=str(sheet), **ROW)
    summary = (await artifacts(run))["stencil-summary"].data
    assert "rows 1 -> 2, exists 0 -> 1." in summary
    assert f"`prefect flow-run retry {run.id}`" in summary
    assert "Since the previous run" not in (await artifacts(before))["stencil-summary"].data
