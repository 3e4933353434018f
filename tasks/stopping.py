"""Ending a batch that somebody cancels: what is staked is finished first."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run

from stencil.batch import Batch
from tasks.beat import beating

#: Why a batch stops that somebody cancelled.
CANCELLED = "cancelled"
#: Seconds between two looks at whether somebody has.
_EVERY = 2.0
#: Seconds that finishing may take. A worker kills a run 30 s after it has told it to end.
LONGEST_FINISH = 20.0

logger = logging.getLogger("stencil.report")

_Work = Callable[[], Coroutine[Any, Any, None]]


async def until_done(batch: Batch, carry_out: _Work, *, finish: _Work, part_of: str = "") -> None:
    """Carry a batch out. A first cancellation lets what is staked be finished, a second one leaves it to a rerun.

    Prefect's server is asked whether the run is cancelled, since a local run hears it in no other way. Ctrl-C cancels this task
    alone, and the work goes on to its end. A worker's SIGTERM makes Prefect raise wherever the process is, and its loop then
    cancels every task that there is: the work has to be finished anew.

    Args:
        batch: The batch.
        carry_out: Does all of it, and stops before the next row where the batch is to stop.
        finish: Finishes what is left when `carry_out` was itself cut off.
        part_of: Id of the flow run that waits for this one; where it has ended, nobody does.

    Raises:
        asyncio.CancelledError: The batch was cancelled.
        TerminationSignal: Likewise.
    """
    run = flow_run.id

    async def stop_if_ended() -> None:
        async with get_client() as client:
            for each, reason in ((run, CANCELLED), (part_of, "the batch that this is a part of has ended")):
                state = (await client.read_flow_run(UUID(each))).state if each else None
                if state is not None and (state.is_final() or state.is_cancelling()):
                    batch.stopping.stop(reason)

    async with beating("Whether the run is cancelled", stop_if_ended, _EVERY):
        work = asyncio.ensure_future(carry_out())
        try:
            await asyncio.shield(work)
        except (asyncio.CancelledError, TerminationSignal):
            batch.stopping.stop(CANCELLED)
            if await _cut_off(work):
                try:
                    async with asyncio.timeout(LONGEST_FINISH):
                        await finish()
                except Exception as error:  # noqa: BLE001 - that it was cancelled is what counts
                    logger.warning("Not all that is staked could be finished, and a rerun does it: %r", error)
            raise


async def _cut_off(work: "asyncio.Future[None]") -> bool:
    """Wait for the end of the work; whether that was not its own."""
    try:
        await asyncio.shield(work)
    except (asyncio.CancelledError, TerminationSignal):
        if work.done():
            return True
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return False
