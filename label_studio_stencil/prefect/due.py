"""Runs that are due and have not begun: they wait for a worker, or for a slot of their work queue."""

from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType

#: Most runs that are returned: a page of Prefect's API.
MOST = 200


async def due_runs(client: PrefectClient, **among: Any) -> list[FlowRun]:
    """Return the runs that are due, at most `MOST`.

    Args:
        client: A client of Prefect's server.
        among: Filters of `read_flow_runs`, such as that of a deployment or a work queue.
    """
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),  # type: ignore[arg-type]
    )
    return await client.read_flow_runs(flow_run_filter=due, limit=MOST, **among)
