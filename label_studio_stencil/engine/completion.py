"""Applies a row's settings with one PATCH, and compares the project with the row.

The PATCH of a placeholder writes its settings and final description, and so takes the mark off, the proof that it is
ours. So it goes out only while rivals are as they were seen and the look that it was decided by is fresh; and where its answer
was lost, it counts for nothing until the project was read again.
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
from label_studio_stencil.plans.marker import Standing, key_of, standing
from label_studio_stencil.plans.pending import pending_of
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.markup import removed_by_cleaner

# Placeholders


async def apply_settings(context: Context, ticket: Ticket, project: Project, look: Look) -> bool:
    """Write settings and final description; whether that settled the row.

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
    # What a template gives to a project may be written after the create was answered: only what the create itself carried
    # is taken for granted.
    granted = project.settings if ticket.target.template.id is None else {}
    fields = differing(settings, granted)
    ticket.bound = project.id
    try:
        echo, at = await _patch(context, project, {**fields, "description": settings["description"]}, look)
    except Rejected as rejected:
        return await _refused(context, ticket, project, rejected)
    except Throttled as throttled:
        # A 429 says no; a 503 may stand for a write that was carried out.
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
        # An answer may be a stale copy, or be cut short: the project itself decides.
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
    """Whether rivals are still as they were seen: another owner may be finishing one at this moment."""
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
    """The project as the PATCH left it, and when that left; it is not waited for longer than rivals wait for each other."""
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
    """A 4xx: the project is gone and the row is resolved anew; or the row has failed and its placeholder goes."""
    ticket.bound = None
    ticket.patched -= {project.id}
    if rejected.status == HTTPStatus.NOT_FOUND:
        context.looks.forget(project.id)
        ticket.known = tuple(number for number in ticket.known if number != project.id)
        return False
    if rejected.status not in COMPLAINTS:
        # A firewall may have said it in place of Label Studio's own answer.
        current = await context.looks.read(project.id)
        if current is None or standing(current) is not Standing.MARKED:
            _lost(ticket, project)
            return False
    # Kept, in case its removal has to be tried again.
    ticket.refusal = str(rejected)
    await deletion.refuse(context, ticket, ticket.refusal)
    return True


# What is finished


async def check_done(context: Context, ticket: Ticket, project: Project) -> None:
    """Our PATCH whose answer was lost has landed, or somebody else finished the project: compare.

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
    """Compare the finished project with the row: a project that is not as asked for fails the row."""
    target = ticket.target
    if key_of(project.workspace, project.title) != target.key:
        reason = f"project {project.id} was renamed or moved while it was being made: look at it"
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
    """What the row asks for and the project does not have, how far its steps have come aside."""
    settings = settings_of(project)
    pending = pending_of(project.description, ticket.target.key)
    if pending and pending.intent == ticket.target.intent:
        settings["description"] = pending.description
    return differing(ticket.target.final_settings, settings, whole=True)


def _note_cleaning(context: Context, ticket: Ticket, project: Project) -> None:
    """Note what Label Studio's HTML cleaner took out of the instructions."""
    wanted, actual = (each.get("expert_instruction") for each in (ticket.target.settings, project.settings))
    if isinstance(wanted, str) and isinstance(actual, str) and wanted != actual:
        removed = ", ".join(removed_by_cleaner(wanted, actual))
        if removed:
            context.cleaned.setdefault(removed, []).append(ticket.target.request.line)


# What existed


async def update(context: Context, ticket: Ticket) -> None:
    """Bring an existing project to the row's overrides.

    Raises:
        NotYet: The answer was lost.
        LabelStudioError: Label Studio asked for a pause, does not take the token any more, or did not answer a read.
    """
    project, changes = ticket.planned.projects[0], ticket.planned.changes
    if project.id in ticket.patched:
        current = await context.label_studio.project(project.id)
        if not differing(changes, settings_of(current), whole=True):
            context.outcomes.decide(ticket, Outcome.UPDATED, project.id)
            return
    try:
        echo = await context.label_studio.update_project(project.id, changes)
    except Rejected as rejected:
        context.outcomes.decide(ticket, Outcome.FAILED, project.id, "rejected", str(rejected))
        return
    except Unsure as unsure:
        if unsure.sent:
            ticket.patched |= {project.id}
        raise NotYet(context.patience.unanswered[0], str(unsure)) from unsure
    if not _is_as_asked(echo, ticket.target.key, changes):
        ticket.patched |= {project.id}
        echo = await context.label_studio.project(project.id)
    differs = differing(changes, settings_of(echo), whole=True)
    if key_of(echo.workspace, echo.title) != ticket.target.key:
        reason = f"project {project.id} was renamed or moved while it was being updated: look at it"
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
    """The answer to a PATCH was lost: it may have landed, or land yet."""
    ticket.patched |= {project.id}
    ticket.odd = True


def _light(project: Project, ticket: Ticket) -> Project:
    """The project without its settings, and with texts that the row has already: a batch may hold a hundred thousand."""
    title, description = ticket.target.request.title, ticket.target.description
    return replace(
        project,
        title=title if title == project.title else project.title,
        description=description
        if isinstance(description, str) and description == project.description
        else project.description,
        settings=NOTHING,
    )
