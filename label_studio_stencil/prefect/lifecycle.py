"""Ending a batch that somebody cancels: placeholders are completed first."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Running

from label_studio_stencil.batch import Batch
from label_studio_stencil.prefect.repeated import repeated

#: Why a batch stops that somebody cancelled.
CANCELLED = "cancelled"
#: Seconds between two looks at whether somebody has.
_EVERY = 2.0
#: Seconds that finishing may take. A worker kills a run 30 s after it has told it to end.
LONGEST_COMPLETION = 20.0

logger = logging.getLogger(__name__)

_Work = Callable[[], Coroutine[Any, Any, None]]


async def until_done(batch: Batch, carry_out: _Work, *, complete: _Work) -> None:
    """Carry a batch out. A first cancellation lets placeholders be finished, a second one leaves it to a rerun.

    Prefect's server is asked whether the run is cancelled, since a local run hears it in no other way. Ctrl-C cancels this task
    alone, and the work goes on to its end. A worker's SIGTERM makes Prefect raise wherever the process is, and its loop then
    cancels every task that there is: the work has to be finished anew.

    Args:
        batch: The batch.
        carry_out: Does all of it, and stops before the next row where the batch is to stop.
        complete: Finishes what is left when `carry_out` was itself cut off.

    Raises:
        asyncio.CancelledError: The batch was cancelled.
        TerminationSignal: Likewise.
    """
    run = flow_run.id

    async def stop_if_ended() -> None:
        async with get_client() as client:
            if run:
                found = await client.read_flow_run(UUID(run))
                if _has_ended(found) and not await says_it_lives(client, found):
                    batch.stopping.stop(CANCELLED)

    async with repeated("Whether the run is cancelled", stop_if_ended, _EVERY):
        work = asyncio.ensure_future(carry_out())
        try:
            await asyncio.shield(work)
        except (asyncio.CancelledError, TerminationSignal):
            batch.stopping.stop(CANCELLED)
            if await _cut_off(work):
                try:
                    async with asyncio.timeout(LONGEST_COMPLETION):
                        await complete()
                except Exception as error:  # noqa: BLE001 - that it was cancelled is what counts
                    logger.warning("Some placeholders could not be completed; a rerun completes them: %r", error)
            raise


async def says_it_lives(client: PrefectClient, run: FlowRun) -> bool:
    """Set a run back to Running that Prefect counts as crashed, since this process of its own is there; whether that was so.

    So it counts what it has not heard of for long (`deployments.automations`), as after a time in which its server was away, or
    the whole laptop slept.
    """
    if run.state is None or not run.state.is_crashed():
        return False
    message = "It lives, and goes on: nothing was heard of it for a while."
    await client.set_flow_run_state(run.id, Running(message=message), force=True)
    logger.warning(
        "Prefect counted this run as crashed, since it had heard nothing of it for a while. The run goes on."
    )
    return True


@contextlib.asynccontextmanager
async def kept_alive() -> AsyncIterator[None]:
    """While the block runs, its flow run does not stay crashed (`says_it_lives`)."""
    run = flow_run.id

    async def say() -> None:
        async with get_client() as client:
            if run:
                await says_it_lives(client, await client.read_flow_run(UUID(run)))

    async with repeated("Whether the run counts as crashed", say, _EVERY):
        yield


def _has_ended(run: FlowRun) -> bool:
    return run.state is not None and (run.state.is_final() or run.state.is_cancelling())


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
