"""Removes surplus projects while a batch runs: the only code of a batch that deletes.

It deletes only projects that are provably ours: placeholders, by their marker, and projects that this process completed itself
and that have an equal twin. Each is read again by its id just before, and kept if anything has changed or if another user
made it. If a project is kept although it is in a row's way, the row's outcome names it. (`label_studio_stencil.removal`
undoes whole batches.)
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from label_studio_stencil.engine.context import Context, with_ids
from label_studio_stencil.engine.look import Stale
from label_studio_stencil.engine.protocol import Abandoned, Twins
from label_studio_stencil.engine.ticket import Ticket, batch_of, settings_of
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.errors import Rejected, Throttled, Unsure
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.plans.marker import Standing, standing
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.comparison import differing

logger = logging.getLogger(__name__)


async def clear(context: Context, ticket: Ticket, decision: Abandoned | Twins, project: Project) -> bool:
    """Remove an abandoned placeholder or our own duplicate. Returns True if that is impossible, which decides the row."""
    if isinstance(decision, Abandoned):
        removed = await _removed(context, ticket, project)
    elif await _has_equal_twin(context, ticket, project):
        removed = await _removed(context, ticket, project, holding=ticket.target.settings)
    else:
        ids = tuple(sorted(ticket.known))
        reason = "two projects of this workspace and title exist, and they differ: keep one, delete or rename the other"
        context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "twins", with_ids(reason, ids))
        return True
    if removed:
        return False
    reason = f"project {project.id} would have to be deleted, but is not provably Stencil's: check it, then delete it by hand"
    context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "not-ours", reason)
    return True


async def refuse(context: Context, ticket: Ticket, reason: str) -> None:
    """Fail a row that Label Studio refuses, and remove this batch's placeholders of it."""
    left = []
    for project in context.looks.remembered(ticket.target.key):
        ours = batch_of(project) == context.batch
        if standing(project) is not Standing.COMPLETE and not (ours and await _removed(context, ticket, project)):
            left.append(project.id)
    if left:
        reason += (
            f"; project {left[0]} is left as a placeholder: correct the row and run it again, or delete it by hand"
        )
    context.outcomes.decide(ticket, Outcome.FAILED, left[0] if left else None, "rejected", reason)


async def _removed(
    context: Context, ticket: Ticket, project: Project, *, holding: Mapping[str, JSON] | None = None
) -> bool:
    """Call `remove`, and leave the row to the sweep if the answer is lost."""
    try:
        return await remove(context, project, holding=holding)
    except (Throttled, Unsure):
        ticket.odd = True
        ticket.removing |= {project.id}
        raise


async def remove(context: Context, project: Project, *, holding: Mapping[str, JSON] | None = None) -> bool:
    """Delete a project if it is unchanged and our user made it. Returns whether it is gone.

    Args:
        context: The context of the batch.
        project: The project as it was seen: a placeholder or, if `holding` is given, one that this batch completed.
        holding: Settings that it must still have.

    Raises:
        Stale: The deletion waited for its turn until the reading before it was too old.
    """
    us = await _our_user(context)
    async with context.looks.quiet():
        current = await context.looks.read(project.id)
        if current is None:
            return True
        same = (current.title, current.workspace, current.description) == (
            project.title,
            project.workspace,
            project.description,
        )
        if not same or current.tasks or current.created_by is None or current.created_by != us:
            return False
        if holding is None and standing(current) is not Standing.MARKED:
            return False
        if holding is not None and differing(holding, settings_of(current)):
            return False
        # The time of the request and not of the answer: the process may have been stopped in between.
        asked = context.looks.confirmed_at(current.id)

        def before() -> None:
            if context.clock.now() - asked > context.patience.read:
                raise Stale

        try:
            await context.label_studio.delete_project(current.id, before=before)
        except Rejected as rejected:
            if rejected.status != HTTPStatus.NOT_FOUND:
                return False
        except (Throttled, Unsure):
            # It may still be carried out, whatever happens to the project meanwhile.
            context.looks.deletion_lost = context.clock.now()
            raise
        context.looks.forget(current.id)
        logger.info("removed project %s, a surplus copy of %r", current.id, current.title)
        return True


async def _our_user(context: Context) -> int:
    if context.user is None:
        context.user = (await context.label_studio.whoami()).id
    return context.user


async def _has_equal_twin(context: Context, ticket: Ticket, project: Project) -> bool:
    """Whether a complete project with a lower id has the row's settings, so that ours is the duplicate."""
    for number in sorted(ticket.known):
        if number >= project.id:
            return False
        twin = await context.looks.read(number)
        if twin is not None and standing(twin) is Standing.COMPLETE:
            return not differing(ticket.target.settings, settings_of(twin))
    return False
