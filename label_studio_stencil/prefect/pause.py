"""The pause of a flow run: Pause in the UI holds its batch, and Resume continues with the rest.

Prefect pauses a run of a deployment only at the next start or end of a task, and a local run not at all (3.9.1). So
the batch asks Prefect's server itself, starts no further row, and completes its placeholders. The process of a deployment's
run then ends, and Resume starts another one, which finds the finished projects on Label Studio. A local run waits in its own
process.
"""

import asyncio
import contextlib
import logging
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Paused

from label_studio_stencil.batch import Batch
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.engine.stop import CANCELLED

logger = logging.getLogger(__name__)

#: Seconds between two checks whether a pause has ended.
_EVERY = 1.0


def is_paused(run: FlowRun) -> bool:
    """Return whether a run, or one that it is part of, is paused."""
    return (run.state is not None and run.state.is_paused()) or _suspension() is not None


def _suspension() -> State[Any] | None:
    """Return the state in which Prefect wants this process to end, as it does for the parts of a paused run too."""
    # Private to Prefect: without it, a subflow notices the pause when its next task begins.
    request = getattr(FlowRunContext.get(), "flow_run_suspension_request", None)
    return request.get_state() if request is not None else None


async def wait_out(batch: Batch) -> None:
    """Wait for the end of a pause, once no row of the batch is under way any more.

    Raises:
        Pause: Another process goes on after Resume.
    """
    with contextlib.suppress(RowsWaiting):
        await batch.engine.complete_placeholders()
    batch.log(f"Paused, and nothing more is created until Resume: {batch.progress[0]}.")
    run = await _resumed()
    batch.go_on()
    if run.state is None or run.state.is_final() or run.state.is_cancelling():
        batch.stopping.stop(CANCELLED)
        return
    batch.log("Resumed.")


async def _make_resumable(client: PrefectClient, run: FlowRun) -> None:
    """Have Prefect resume a local run where it is: it refuses to resume one for another process, as its UI pauses all."""
    state = run.state
    if state is not None and state.is_paused() and state.state_details.pause_reschedule:
        here: State[Any] = Paused(pause_expiration_time=state.state_details.pause_timeout)
        await client.set_flow_run_state(run.id, here, force=True)


async def _resumed() -> FlowRun:
    """Return the run after its pause.

    Raises:
        Pause: Another process goes on after Resume.
    """
    warned = False
    while True:
        if (suspended := _suspension()) is not None:
            raise Pause(state=suspended)
        try:
            async with get_client() as client:
                run = await client.read_flow_run(UUID(flow_run.id))
                if not run.deployment_id:
                    await _make_resumable(client, run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run is as paused as before
            if not warned:
                logger.warning("Prefect's server does not say whether the run was resumed: %s", error)
            warned = True
        else:
            state = run.state
            if (
                state is not None
                and run.deployment_id
                and (state.state_details.pause_reschedule or state.is_scheduled())
            ):
                raise Pause(state=state)
            if state is None or not state.is_paused():
                return run
        await asyncio.sleep(_EVERY)
