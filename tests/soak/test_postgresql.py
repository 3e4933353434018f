"""A batch with a Prefect server on PostgreSQL, seen from both sides: Label Studio's projects, and the database's rows."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prefect.settings import get_current_settings

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.artifacts import kind_of
from scripts.postgres import plain_url
from tests.soak.batches import FLOW, assert_exactly_once, reported, start, write_sheet

#: Task runs of a batch that are none of its rows': read, plan, sweep and report.
FRAME = 4
#: Connections that Prefect's server has besides its pool: it listens for changed automations, and clears old events away.
BESIDES = 2
#: Seconds that the server may take to write down what it has heard.
RECORD_SECONDS = 20.0


@pytest.mark.parametrize(
    ("rows", "row_tasks"),
    [pytest.param(100, 100, id="a task run for each row"), pytest.param(500, 10, id="rows in groups")],
)
async def test_every_task_run_and_artifact_of_a_batch_is_in_the_database(
    rows: int, row_tasks: int, postgres: str, postgres_prefect: str, tmp_path: Path
) -> None:
    sheet = write_sheet(tmp_path / "sheet.csv", rows)
    database = await asyncpg.connect(plain_url(postgres))
    try:
        before = await database.fetchval("SELECT coalesce(max(created), '-infinity') FROM flow_run")
        with Sandbox() as sandbox:
            known = {"LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
            batch = start(FLOW, sheet, {**os.environ, "PREFECT_API_URL": postgres_prefect, **known})
            over = asyncio.create_task(asyncio.to_thread(reported, batch, 60.0))
            most = await most_connections(database, over)
            assert_exactly_once(sandbox, await over, rows)
        runs = await database.fetch("SELECT id, state_type::text FROM flow_run WHERE created > $1", before)
        assert [run["state_type"] for run in runs] == ["COMPLETED"]
        assert await task_runs(database, runs[0]["id"], row_tasks + FRAME) == {"COMPLETED": row_tasks + FRAME}
        artifacts = await database.fetch("SELECT key FROM artifact WHERE flow_run_id = $1", runs[0]["id"])
        assert {kind_of(each["key"]) for each in artifacts} == {"stencil-summary", "stencil-rows", "stencil-progress"}
        pool = get_current_settings().server.database.sqlalchemy
        assert 0 < most <= pool.pool_size + pool.max_overflow + BESIDES
    finally:
        await database.close()


async def most_connections(database: Any, over: asyncio.Task[dict[str, Any]]) -> int:
    """Connections to the database, but for this one, at once until the batch is over."""
    most = 0
    while not over.done():
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        most = max(most, await database.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {others}"))
        await asyncio.wait([over], timeout=0.05)
    return most


async def task_runs(database: Any, run: object, expected: int) -> Counter[str]:
    """The task runs of a flow run by state, once there are as many as expected and all have ended, or in the end."""
    deadline = asyncio.get_running_loop().time() + RECORD_SECONDS
    while True:
        found = await database.fetch("SELECT state_type::text FROM task_run WHERE flow_run_id = $1", run)
        states = Counter(each["state_type"] for each in found)
        if states["COMPLETED"] >= expected or asyncio.get_running_loop().time() > deadline:
            return states
        await asyncio.sleep(0.2)
