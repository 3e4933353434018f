"""Sends the create of a row, whose description is the row's marker, and notes on the ticket how it was answered.

A create can't be repeated safely and its answer may be lost, so each is sent once and remembered as a *send*: refused,
rejected, answered or unsure. The look that follows decides whether another may be sent.
"""

from functools import partial
from http import HTTPStatus

from label_studio_stencil.engine.context import Context, NotYet
from label_studio_stencil.engine.ticket import Answer, Send, Ticket
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.labelstudio.outage import LongOutage
from label_studio_stencil.plans.marker import key_of, new_id, read_mark
from label_studio_stencil.report.outcomes import Outcome

#: Statuses with which Label Studio rejects the content of a request.
COMPLAINTS = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})


class Halted(Exception):
    """The batch was stopped while the create waited for its turn."""


async def send(context: Context, ticket: Ticket) -> None:
    """Send a create, and give the row its outcome if the answer leaves no doubt.

    Raises:
        Halted: The batch was stopped before the create left.
        NotYet: The answer was lost.
        LabelStudioError: The create was not sent, the token was rejected, or Label Studio is unavailable for too long.
    """
    send = Send(new_id(), floor=context.looks.covered, at=context.clock.wall())
    ticket.sends = (*ticket.sends, send)
    ticket.looks = 0
    context.looks.expect(send)
    try:
        project = await _create(context, ticket, send)
    except (Halted, LongOutage):
        send.answer, send.counted = Answer.REFUSED, False
        raise
    except Rejected as rejected:
        send.ended = context.clock.now()
        _rejected(context, ticket, send, rejected)
    except (Throttled, Unsure) as error:
        send.ended = context.clock.now()
        if isinstance(error, Unsure) and not error.sent:
            send.answer, send.counted = Answer.REFUSED, False
            raise
        if error.status == HTTPStatus.TOO_MANY_REQUESTS:
            # Label Studio refused it. But a proxy may answer so after passing the create on: look, then send again.
            send.answer, send.counted = Answer.REFUSED, False
            return
        send.answer, ticket.odd = Answer.UNSURE, True
        raise NotYet(context.patience.unanswered[0], str(error)) from error
    except Unauthorized:
        send.answer = Answer.REFUSED
        raise
    else:
        send.ended = context.clock.now()
        await _created(context, ticket, send, project)


async def _create(context: Context, ticket: Ticket, send: Send) -> Project:
    target = ticket.target
    title, mark = target.request.title, target.mark(context.batch, send.name)
    if target.template.id is not None:
        return await context.label_studio.create_from_template(
            target.template.id,
            title=title,
            description=mark,
            workspace=target.workspace,
            before=partial(_check_going, context),
        )
    place: dict[str, JSON] = {} if target.workspace is None else {"workspace": target.workspace}
    fields = {**target.at_creation, **place, "title": title, "description": mark}
    return await context.label_studio.create_project(fields, before=partial(_check_going, context))


def _check_going(context: Context) -> None:
    if context.stopping:
        raise Halted


async def _created(context: Context, ticket: Ticket, send: Send, project: Project) -> None:
    """Check that a 201 shows the project that was asked for.

    If it doesn't, read the project: the answer may be cut short, or a stale copy.

    Raises:
        NotYet: It is the answer to another request, so ours is lost.
        LabelStudioError: Label Studio did not answer.
    """
    known = project.id <= send.floor or project.id in context.answered
    if not known and not context.looks.lacking(project) and _is_ours(context, ticket, send, project):
        _take(context, ticket, send, project)
        return
    send.answer = Answer.UNSURE
    try:
        current = await context.looks.read(project.id)
    except LabelStudioError:
        ticket.odd = True
        raise
    mark = read_mark(current.description) if current is not None else None
    same = current is not None and key_of(current.workspace, current.title) == ticket.target.key
    if current is None or (mark.send != send.name if mark is not None else known or not same):
        ticket.odd = True
        reason = f"Label Studio answered the create with project {project.id}, which another request made"
        raise NotYet(context.patience.unanswered[0], reason)
    _take(context, ticket, send, current)
    if not same:
        reason = f"Label Studio made project {project.id} with another title or workspace than was asked for: check it"
        context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)
    elif mark is None:
        _unmarked(context, ticket, current)


def _is_ours(context: Context, ticket: Ticket, send: Send, project: Project) -> bool:
    mark = read_mark(project.description)
    same = key_of(project.workspace, project.title) == ticket.target.key
    return same and mark is not None and mark.send == send.name


def _take(context: Context, ticket: Ticket, send: Send, project: Project) -> None:
    send.answer, send.project, send.seen = Answer.CREATED, project.id, True
    ticket.known = (*ticket.known, project.id)
    context.answered.add(project.id)
    context.looks.answered(project)


def _unmarked(context: Context, ticket: Ticket, project: Project) -> None:
    reason = (
        f"Label Studio did not keep the description of project {project.id}, which marks projects that are not set up yet: "
        "delete the project before you run the sheet again"
    )
    # It won't keep other descriptions either.
    context.stopping.stop("Label Studio does not keep the description of a new project")
    context.outcomes.decide(ticket, Outcome.AMBIGUOUS, project.id, "mark-not-kept", reason)


def _rejected(context: Context, ticket: Ticket, send: Send, rejected: Rejected) -> None:
    """A 4xx: the row has failed.

    But look first if the answer is about the title, if an earlier create was lost and may have been carried out, or if the
    answer is not about the content of the request: it may come from a firewall instead of Label Studio.
    """
    send.answer, send.error = Answer.REJECTED, str(rejected)
    complaint = rejected.status in COMPLAINTS and "title" not in rejected.fields
    if complaint and not any(earlier.lost for earlier in ticket.sends):
        context.outcomes.decide(ticket, Outcome.FAILED, code="rejected", error=send.error)
