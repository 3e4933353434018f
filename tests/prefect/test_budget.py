"""What a batch asks of Prefect, against the budgets of Prefect Cloud's smallest plan (docs/prefect-cloud.md)."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from bench.budget import counted, events
from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.limits import limit_of
from tests.soak.batches import write_sheet

#: Requests per second to the sandbox, of which each takes a slot of the limit.
RATE = 500
#: What the smallest plan takes in a minute.
REQUESTS, LOGS_AND_EVENTS = 625, 2_000


@pytest.mark.slow
async def test_a_thousand_rows_stay_within_a_minute_of_the_smallest_plan(
    prefect_api: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    limit = limit_of(sandbox.url)
    async with get_client() as client:
        await client.upsert_global_concurrency_limit_by_name(limit, RATE, slot_decay_per_second=RATE)
    before = await events()
    try:
        async with counted() as cost:
            report = await create_projects(sheet=str(write_sheet(tmp_path / "sheet.csv", 1_000)))
    finally:
        async with get_client() as client:
            await client.delete_global_concurrency_limit_by_name(limit)
    assert report.sentence == "1000 rows: 1000 created"
    # However fast the machine is: all of it, as if it were one minute.
    assert 20 < len(cost.requests) < REQUESTS
    assert 10 < cost.logs + await events() - before < LOGS_AND_EVENTS
