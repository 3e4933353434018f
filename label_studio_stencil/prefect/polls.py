"""Polls that fell due while another was at work: that one has looked, so they are dropped instead of piling up."""

import logging

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.context import FlowRunContext

from label_studio_stencil.prefect.due import due_runs

logger = logging.getLogger(__name__)


async def drop_due_polls() -> None:
    """Delete the runs of the present deployment that its schedule made and that are due."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return
    mine = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id]))
    try:
        async with get_client() as client:
            found = await due_runs(client, deployment_filter=mine)
            dropped = [each for each in found if each.auto_scheduled and not each.run_count and each.id != run.id]
            for each in dropped:
                await client.delete_flow_run(each.id)
    except Exception as error:  # noqa: BLE001 - they find an empty inbox
        logger.warning("Polls that fell due meanwhile could not be dropped: %s", error)
        return
    if dropped:
        logger.info("%d polls that fell due meanwhile were dropped.", len(dropped))
