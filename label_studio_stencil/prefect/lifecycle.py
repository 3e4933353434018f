"""The life of a flow run: its cancellation, its further attempts, and the times in which Prefect does not answer."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext, TagsContext
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Running

from label_studio_stencil.batch import Batch
from label_studio_stencil.engine.stop import CANCELLED, PAUSED
from label_studio_stencil.prefect.names import name_waiting_runs
from label_studio_stencil.prefect.pause import is_paused
from label_studio_stencil.report.report import Report

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds between two checks whether the run was cancelled.
_EVERY = 2.0
#: Seconds between two searches for runs that wait behind this one.
_NAMES_EVERY = 10.0
#: Most seconds for completing placeholders. A worker kills a run 30 s after it has asked it to end.
LONGEST_COMPLETION = 20.0
#: Most seconds to wait for Prefect's server to say whether a run has another attempt.
_LONGEST_QUESTION = 20.0

logger = logging.getLogger(__name__)

_Work = Callable[[], Coroutine[Any, Any, None]]

#: Reports of earlier attempts, by the id of their run.
_earlier: dict[str, Report] = {}


def without_tags(body: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Run the body of a flow so that its task runs do not inherit the run's tags.

    Prefect requests a slot of each tag from its server before a task run begins: one request for each tag, and an endless wait
    if the server is gone.
    """

    @functools.wraps(body)
    async def untagged(*args: P.args, **kwargs: P.kwargs) -> R:
        with TagsContext(current_tags=set()):
            return await body(*args, **kwargs)

    return untagged


# Cancellation


async def until_done(batch: Batch, carry_out: _Work) -> None:
    """Carry out a batch. The first cancellation completes placeholders; the second leaves them to a rerun.

    A local run notices a cancellation in the UI only by asking Prefect's server. Ctrl-C cancels only this task, and the work
    continues to its end. A worker's SIGTERM makes Prefect raise at any point of the process, and its loop then cancels every
    task, so new tasks have to complete the placeholders.

    Args:
        batch: The batch.
        carry_out: Carries out all of it, and stops before the next row if the batch is to stop.

    Raises:
        asyncio.CancelledError: The batch was cancelled.
        TerminationSignal: The worker ends the run.
    """
    run = flow_run.id

    async def stop_if_paused_or_ended() -> None:
        async with get_client() as client:
            if run:
                found = await client.read_flow_run(UUID(run))
                if is_paused(found):
                    batch.stopping.stop(PAUSED)
                elif _has_ended(found) and not await says_it_lives(client, found):
                    batch.stopping.stop(CANCELLED)

    async with (
        repeated("Whether the run is paused or cancelled", stop_if_paused_or_ended, _EVERY),
        repeated("The names of the runs that wait", name_waiting_runs, _NAMES_EVERY),
    ):
        work = asyncio.ensure_future(carry_out())
        try:
            await asyncio.shield(work)
        except (asyncio.CancelledError, TerminationSignal):
            batch.stopping.stop(CANCELLED)
            if await _cut_off(work):
                await _complete(batch)
            raise


async def _complete(batch: Batch) -> None:
    try:
        async with asyncio.timeout(LONGEST_COMPLETION):
            await batch.complete_placeholders()
    except Exception as error:  # noqa: BLE001 - the run was cancelled, and that is what it reports
        logger.warning("Some placeholders could not be completed; a rerun completes them: %r", error)


def _has_ended(run: FlowRun) -> bool:
    return run.state is not None and (run.state.is_final() or run.state.is_cancelling())


async def _cut_off(work: "asyncio.Future[None]") -> bool:
    """Wait for the end of the work, and return whether it was cancelled itself."""
    try:
        await asyncio.shield(work)
    except (asyncio.CancelledError, TerminationSignal):
        if work.done():
            return True
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    return False


# Runs that Prefect counts as crashed


async def says_it_lives(client: PrefectClient, run: FlowRun) -> bool:
    """Set a run back to Running that Prefect counts as crashed although its process lives; return whether it did.

    An automation counts a run as crashed if it has sent no heartbeat for a while (`deployments/automations`), as after an
    outage of Prefect's server, or on a laptop that slept.
    """
    if run.state is None or not run.state.is_crashed():
        return False
    message = "The process is alive and goes on: Prefect had not heard of it for a while."
    await client.set_flow_run_state(run.id, Running(message=message), force=True)
    logger.warning(
        "Prefect counted this run as crashed because it had received no heartbeat for a while. The run continues."
    )
    return True


@contextlib.asynccontextmanager
async def kept_alive() -> AsyncIterator[None]:
    """Set the flow run back to Running whenever Prefect counts it as crashed, as long as the block runs."""
    run = flow_run.id

    async def say() -> None:
        async with get_client() as client:
            if run:
                await says_it_lives(client, await client.read_flow_run(UUID(run)))

    async with repeated("Whether the run counts as crashed", say, _EVERY):
        yield


# Further attempts: where an operator sets `retries`, Prefect runs a failed flow again in the same process. Each attempt leaves
# finished projects as they are; only the last one publishes the summary and sends the batch's event.


async def comes_again() -> bool:
    """Return whether Prefect makes another attempt at this run if the present one fails."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or not run.empirical_policy.retries:
        return False
    try:
        async with asyncio.timeout(_LONGEST_QUESTION), get_client() as client:
            found = await client.read_flow_run(run.id)
    except Exception as error:  # noqa: BLE001 - the report is published now, and perhaps once more
        logger.warning("Prefect's server does not say whether the run has another attempt: %r", error)
        return False
    return found.run_count <= (found.empirical_policy.retries or 0)


def keep_for_next_attempt(report: Report) -> None:
    """Keep the report of this attempt for the next one."""
    _earlier[flow_run.id] = report


def earlier_attempt() -> Report | None:
    """Take the report of the attempts before this one; `None` where there was none or nothing was written."""
    return _earlier.pop(flow_run.id, None)


# Calls to Prefect's server while a batch runs


@contextlib.asynccontextmanager
async def repeated(what: str, call: Callable[[], Awaitable[None]], every: float) -> AsyncIterator[None]:
    """Call Prefect's server every few seconds while the block runs. A failing call is logged once, and the block continues.

    Args:
        what: What the call is about, for the log.
        call: Makes one call.
        every: Seconds from the end of one call to the next.
    """
    owner, task = asyncio.current_task(), asyncio.create_task(_repeat(what, call, every))

    def pass_on(ended: "asyncio.Task[None]") -> None:
        # Prefect raises its signal to terminate at any point of the process, so perhaps here.
        if not ended.cancelled() and ended.exception() is not None and owner is not None:
            owner.cancel()

    task.add_done_callback(pass_on)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _repeat(what: str, call: Callable[[], Awaitable[None]], every: float) -> None:
    warned = False
    while True:
        await asyncio.sleep(every)
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - whatever it is, the batch goes on
            if not warned:
                logger.warning("%s: Prefect's server does not answer at the moment: %s", what, error)
            warned = True
        else:
            warned = False
