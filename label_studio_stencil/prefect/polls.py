"""Polls that fell due while another was at work: that one has looked, so they are dropped instead of piling up."""

import logging
from datetime import UTC, datetime

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext

logger = logging.getLogger(__name__)

#: Most polls that are dropped at a time: a page of Prefect's API.
_MOST = 200


async def drop_due_polls() -> None:
    """Delete the runs of the present deployment that its schedule made and that are due."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return
    due = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),  # type: ignore[arg-type]
    )
    of_deployment = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))
    try:
        async with get_client() as client:
            found = await client.read_flow_runs(flow_run_filter=due, deployment_filter=of_deployment, limit=_MOST)
            dropped = [each for each in found if each.auto_scheduled and not each.run_count and each.id != run.id]
            for each in dropped:
                await client.delete_flow_run(each.id)
    except Exception as error:  # noqa: BLE001 - they find an empty inbox
        logger.warning("Polls that fell due meanwhile could not be dropped: %s", error)
        return
    if dropped:
        logger.info("%d polls that fell due meanwhile were dropped.", len(dropped))
