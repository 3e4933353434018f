"""Attempts of a run: where an operator sets `retries`, Prefect carries a flow out again that failed, in the same process.

Each attempt leaves finished projects as they are. What is told once per run, such as summary and event, the last one tells.
"""

import asyncio
import logging

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from label_studio_stencil.report.report import Report

#: Seconds that the question may take.
_LONGEST = 20.0

logger = logging.getLogger(__name__)

#: What earlier attempts came to, by the id of their run.
_earlier: dict[str, Report] = {}


async def comes_again() -> bool:
    """Whether Prefect makes another attempt at this run if the present one fails."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not run.empirical_policy.retries:
        return False
    try:
        async with asyncio.timeout(_LONGEST), get_client() as client:
            found = await client.read_flow_run(run.id)
    except Exception as error:  # noqa: BLE001 - the report is told now, and perhaps once more
        logger.warning("Whether the run has another attempt can't be told at the moment: %r", error)
        return False
    return found.run_count <= (found.empirical_policy.retries or 0)


def keep_for_next_attempt(report: Report) -> None:
    """Remember what this attempt came to."""
    _earlier[flow_run.id] = report


def earlier_attempt() -> Report | None:
    """What the attempts before this one came to, once; `None` where there was none or nothing was written."""
    return _earlier.pop(flow_run.id, None)
