"""Applies a row's settings with one PATCH, and compares the project with the row.

The PATCH of a placeholder writes its settings and final description, and so removes the marker that proves it to be
ours. So it is sent only while the placeholders of other batches are unchanged and the look behind the decision is fresh. If its
answer is lost, the project is read again before anything is concluded.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from label_studio_stencil.engine import deletion
from label_studio_stencil.engine.context import Context, NotYet
from label_studio_stencil.engine.creation import COMPLAINTS
from label_studio_stencil.engine.look import Look, Stale
from label_studio_stencil.engine.steps import Early
from label_studio_stencil.engine.ticket import Ticket, batch_of, settings_of
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.errors import Rejected, Throttled, Unsure
from label_studio_stencil.labelstudio.models import NOTHING, Project
from label_studio_stencil.labelstudio.pacing import Turn
from label_studio_stencil.plans.marker import Standing, key_of, standing
from label_studio_stencil.plans.pending import pending_of
from label_studio_stencil.plans.plan import Action, replanned
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.markup import removed_by_cleaner

# Placeholders


async def apply_settings(context: Context, ticket: Ticket, project: Project, look: Look) -> bool:
    """Write settings and final description. Returns whether the row has its outcome.

    Raises:
        NotYet: The answer was lost.
        Stale: The look grew old before the write.
        Throttled: Label Studio asked for a pause.
    """
    ticket.foreign = batch_of(project) != context.batch
    if not await unchanged(context, ticket, project):
        return False
    left = look.began + context.patience.fresh / 2 - context.clock.now()
    early = None if context.stopping else await context.steps.early(ticket, project, left)
    if early is None:
        return await _apply(context, ticket, project, look, None)
    try:
        settled = await _apply(context, ticket, project, look, early)
    except BaseException:
        early.release()
        raise
    context.steps.go_on(ticket, early)
    return settled


async def _apply(context: Context, ticket: Ticket, project: Project, look: Look, early: Early | None) -> bool:
    settings = {**ticket.target.settings, **({"description": early.description} if early else {})}
    # Label Studio may apply a template after it answered the create, so only the settings in the create itself are taken
    # for granted.
    granted = project.settings if ticket.target.template.id is None else {}
    fields = differing(settings, granted)
    ticket.bound = project.id
    try:
        echo, at = await _patch(context, project, {**fields, "description": settings["description"]}, look)
    except Rejected as rejected:
        return await _refused(context, ticket, project, rejected)
    except Throttled as throttled:
        # A 429 is a refusal; a write that was answered with a 503 may have been carried out.
        if throttled.status != HTTPStatus.TOO_MANY_REQUESTS:
            _lost(ticket, project)
        raise
    except Unsure as unsure:
        if unsure.sent:
            _lost(ticket, project)
        raise NotYet(context.patience.unanswered[0], str(unsure)) from unsure
    except asyncio.CancelledError:
        _lost(ticket, project)
        raise
    if context.looks.lacking(echo) or not _is_as_asked(echo, ticket.target.key, settings):
        # The answer may be a stale copy, or be cut short: read the project.
        ticket.patched |= {project.id}
        current = await context.looks.read(project.id)
        if current is None or standing(current) is not Standing.COMPLETE:
            return False
        echo = current
    elif early:
        early.echo, early.at = echo, at
    context.looks.proven.add(project.id)
    context.looks.remember(_light(echo, ticket), context.clock.now())
    _check(context, ticket, echo, Outcome.RESUMED if ticket.foreign else Outcome.CREATED)
    return True


async def unchanged(context: Context, ticket: Ticket, project: Project) -> bool:
    """Whether other batches' placeholders are unchanged: one of them may be completed at this moment."""
    seen = dict(ticket.rivals or {})
    if ticket.foreign:
        seen[project.id] = project.description
    for number, description in seen.items():
        current = await context.looks.read(number)
        if current is None or current.description != description or standing(current) is not Standing.MARKED:
            ticket.rivals = None
            return False
    return True


async def _patch(context: Context, project: Project, fields: Mapping[str, JSON], look: Look) -> tuple[Project, float]:
    """Send the PATCH. Returns the project as answered and when the PATCH was sent.

    The wait for the answer is shorter than the time for which batches wait for each other.
    """
    at = 0.0

    def before() -> None:
        nonlocal at
        context.looks.check_fresh(look)
        at = context.clock.now()
        age = at - look.began
        limit.reschedule(asyncio.get_running_loop().time() + context.patience.patch - age)

    try:
        async with asyncio.timeout(None) as limit:
            return await context.label_studio.update_project(project.id, fields, before=before), at
    except TimeoutError as error:
        reason = f"no answer to the PATCH of project {project.id} in time"
        raise Unsure(reason, method="PATCH", reason=reason) from error


async def _refused(context: Context, ticket: Ticket, project: Project, rejected: Rejected) -> bool:
    """A 4xx: either the project is gone and the row is decided again, or the row has failed and its placeholder is removed."""
    ticket.bound = None
    ticket.patched -= {project.id}
    if rejected.status == HTTPStatus.NOT_FOUND:
        context.looks.forget(project.id)
        ticket.known = tuple(number for number in ticket.known if number != project.id)
        return False
    if rejected.status not in COMPLAINTS:
        # The answer may come from a firewall instead of Label Studio.
        current = await context.looks.read(project.id)
        if current is None or standing(current) is not Standing.MARKED:
            _lost(ticket, project)
            return False
    # Kept, in case its removal has to be tried again.
    ticket.refusal = str(rejected)
    await deletion.refuse(context, ticket, ticket.refusal)
    return True


# Complete projects


async def check_done(context: Context, ticket: Ticket, project: Project) -> None:
    """Compare a complete project with the row: our unanswered PATCH, or somebody else, completed it.

    Raises:
        Stale: The project is gone.
    """
    current = await context.looks.read(project.id)
    if current is None:
        raise Stale
    if _differing(ticket, current):
        context.outcomes.decide(ticket, Outcome.EXISTS, project.id)
        return
    context.looks.proven.add(project.id)
    _check(context, ticket, current, Outcome.RESUMED if ticket.foreign else Outcome.CREATED)


def _check(context: Context, ticket: Ticket, project: Project, outcome: Outcome) -> None:
    """Compare the complete project with the row, and fail the row if they differ."""
    target = ticket.target
    if key_of(project.workspace, project.title) != target.key:
        reason = f"project {project.id} was renamed or moved while it was being made: check it"
        context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)
        return
    differs = _differing(ticket, project)
    if differs:
        names = ", ".join(sorted(differs))
        reason = (
            f"project {project.id} was made, but Label Studio did not keep {names} as the row has it: set it by hand"
        )
        context.outcomes.decide(ticket, Outcome.FAILED, project.id, "setting-not-kept", reason)
        return
    _note_cleaning(context, ticket, project)
    context.outcomes.decide(ticket, outcome, project.id)


def _differing(ticket: Ticket, project: Project) -> dict[str, JSON]:
    """The settings of the row that the project does not have, apart from the line about its steps."""
    settings = settings_of(project)
    pending = pending_of(project.description, ticket.target.key)
    if pending and pending.intent == ticket.target.intent:
        settings["description"] = pending.description
    return differing(ticket.target.final_settings, settings, whole=True)


def _note_cleaning(context: Context, ticket: Ticket, project: Project) -> None:
    """Note what Label Studio's HTML cleaner removed from the instructions."""
    wanted, actual = (each.get("expert_instruction") for each in (ticket.target.settings, project.settings))
    if isinstance(wanted, str) and isinstance(actual, str) and wanted != actual:
        removed = ", ".join(removed_by_cleaner(wanted, actual))
        if removed:
            context.cleaned.setdefault(removed, []).append(ticket.target.request.line)


# Existing projects


async def update(context: Context, ticket: Ticket) -> None:
    """Read an existing project, and apply what the row changes.

    Raises:
        NotYet: The answer was lost.
        LabelStudioError: Label Studio asked for a pause, rejected the token, or did not answer a read.
    """
    number, asked = ticket.planned.projects[0].id, 0.0

    def leaves() -> None:
        nonlocal asked
        asked = context.clock.now()

    # A large batch gets to a row long after the plan, and a colleague may have renamed or changed the project meanwhile.
    project = await context.looks.read(number, before=leaves)
    if project is None:
        reason = f"somebody deleted project {number} after the plan: run the row again to make a new one"
        context.outcomes.decide(ticket, Outcome.FAILED, None, "removed", reason)
        return
    if key_of(project.workspace, project.title) != ticket.target.key:
        reason = f"project {number} was renamed or moved after the plan, and was not updated: check it"
        context.outcomes.decide(ticket, Outcome.AMBIGUOUS, number, "renamed", reason)
        return
    planned = replanned(ticket.planned, project)
    if planned.action is not Action.UPDATE:
        outcome = Outcome.UPDATED if number in ticket.patched else Outcome.UNCHANGED
        context.outcomes.decide(ticket, outcome, number)
        return
    ticket.planned, changes = planned, planned.changes

    def before() -> None:
        if context.clock.now() - asked > context.patience.fresh:
            raise Stale

    try:
        # Before the readings of other rows, which would make this one old.
        echo = await context.label_studio.update_project(number, changes, before=before, turn=Turn.NOW)
    except Stale:
        raise NotYet(0.0, "its turn came too long after its project was read") from None
    except Rejected as rejected:
        context.outcomes.decide(ticket, Outcome.FAILED, project.id, "rejected", str(rejected))
        return
    except Unsure as unsure:
        if unsure.sent:
            ticket.patched |= {project.id}
        raise NotYet(context.patience.unanswered[0], str(unsure)) from unsure
    except asyncio.CancelledError:
        ticket.patched |= {project.id}
        raise
    if not _is_as_asked(echo, ticket.target.key, changes):
        ticket.patched |= {project.id}
        echo = await context.label_studio.project(project.id)
    differs = differing(changes, settings_of(echo), whole=True)
    if key_of(echo.workspace, echo.title) != ticket.target.key:
        reason = f"project {project.id} was renamed or moved while it was being updated: check it"
        context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)
    elif differs:
        reason = f"Label Studio did not keep {', '.join(sorted(differs))} as the row has it"
        context.outcomes.decide(ticket, Outcome.FAILED, project.id, "setting-not-kept", reason)
    else:
        _note_cleaning(context, ticket, echo)
        context.outcomes.decide(ticket, Outcome.UPDATED, project.id)


def _is_as_asked(project: Project, key: str, settings: Mapping[str, JSON]) -> bool:
    return key_of(project.workspace, project.title) == key and not differing(settings, settings_of(project), whole=True)


def _lost(ticket: Ticket, project: Project) -> None:
    """Note that the answer to a PATCH was lost: it may have been carried out, or be carried out later."""
    ticket.patched |= {project.id}
    ticket.odd = True


def _light(project: Project, ticket: Ticket) -> Project:
    """The project without its settings, sharing the row's texts, to save memory: a batch may hold a hundred thousand."""
    title, description = ticket.target.request.title, ticket.target.description
    return replace(
        project,
        title=title if title == project.title else project.title,
        description=description
        if isinstance(description, str) and description == project.description
        else project.description,
        settings=NOTHING,
    )
