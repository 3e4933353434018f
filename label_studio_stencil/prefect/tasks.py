"""Planning and carrying out a batch, as tasks.

Retries are Prefect's, where a person sees them: a group keeps the outcomes of its rows, and a retry takes up only those
that have none.
"""

from collections import Counter
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.states import Completed, Failed

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import Batch, Group, prepare
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import Checked
from label_studio_stencil.policy import Retries
from label_studio_stencil.prefect.errors import failed_state, user_errors
from label_studio_stencil.problems import StencilError

RETRIES = Retries()


class RowsNotWell(StencilError):
    """Rows of a group ended otherwise than well; the report tells of each."""


async def may_pass(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task run is worth another try: only rows that wait for something are."""
    return isinstance(await state.aresult(raise_on_failure=False), RowsWaiting)


# A batch holds a live connection and can be neither cached nor kept.
@task(task_run_name="plan {checked.sheet.name}", cache_policy=NO_CACHE, persist_result=False)
@user_errors
async def plan_batch(checked: Checked, options: Options, label_studio: Instance) -> Batch:
    """The batch, planned; nothing is written.

    Raises:
        InvalidSheet: The sheet has problems.
        LabelStudioError: Label Studio did not answer.
    """
    return await prepare(checked, options, label_studio)


@task(
    task_run_name="{group.name}",
    retries=len(RETRIES.delays),
    retry_delay_seconds=list(RETRIES.delays),
    retry_jitter_factor=RETRIES.jitter,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def provision_group(group: Group, batch: Batch) -> State[None]:
    """One attempt at the rows of a group that have no outcome yet."""
    try:
        await batch.engine.attempt(group.tickets)
    except RowsWaiting as unsettled:
        if task_run.run_count <= len(RETRIES.delays):
            return failed_state(unsettled)
        batch.engine.give_up(group.tickets)
    return _state_of(group)


@task(task_run_name="sweep", cache_policy=NO_CACHE, persist_result=False)
@user_errors
async def sweep(batch: Batch) -> None:
    """Each row to which anything odd happened has one project at the end."""
    await batch.engine.sweep()


@task(task_run_name="steps", cache_policy=NO_CACHE, persist_result=False)
@user_errors
async def carry_out_steps(batch: Batch) -> None:
    """What rows ask for beyond settings: members, tasks, publication, pins."""
    await batch.carry_out_steps()


def _state_of(group: Group) -> State[None]:
    counts = Counter(ticket.outcome for ticket in group.tickets if ticket.outcome is not None)
    said = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    bad = [ticket for ticket in group.tickets if ticket.outcome is not None and not ticket.outcome.ok]
    if not bad:
        return Completed(message=said)
    first = bad[0]
    reason = f"{said}; line {first.target.request.line}: {first.error}"
    return Failed(message=reason, data=RowsNotWell(reason))
