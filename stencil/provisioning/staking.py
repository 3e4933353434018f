"""Sends the create of a row, whose description is the row's mark, and notes on the ticket what its answer is worth.

A create can't be repeated and its answer may be lost, so each is sent once and remembered as a *send*: refused, rejected,
answered or unsure. Whether another may follow is not decided here but by the look that comes next.
"""

from http import HTTPStatus

from stencil.json_value import JSON
from stencil.labelstudio import Project, Rejected, Throttled, Unauthorized, Unsure
from stencil.marks import key_of, new_id, read_mark
from stencil.provisioning.settling import Means, NotYet
from stencil.provisioning.tickets import Answer, Send, Ticket
from stencil.report import Outcome


class Halted(Exception):
    """The batch was stopped while the create waited for its turn."""


class Staker:
    """Stakes the rows of a batch."""

    def __init__(self, means: Means) -> None:
        self._batch, self._studio, self._looker = means.batch, means.studio, means.looker
        self._stopping = means.stopping
        self._clock, self._patience, self._settle = means.clock, means.patience, means.settler.settle

    async def send(self, ticket: Ticket) -> None:
        """Send a create; settles the row only where the answer leaves nothing to look for.

        Raises:
            Halted: The batch was stopped before the create left.
            NotYet: The answer was lost.
            LabelStudioError: The create never left, or the token is not taken any more.
        """
        send = Send(new_id(), floor=self._looker.covered, at=self._clock.wall())
        ticket.sends = (*ticket.sends, send)
        ticket.looks = 0
        self._looker.expect(send)
        try:
            project = await self._create(ticket, send)
        except Halted:
            send.answer, send.counted = Answer.REFUSED, False
            raise
        except Rejected as rejected:
            send.ended = self._clock.now()
            self._rejected(ticket, send, rejected)
        except (Throttled, Unsure) as error:
            send.ended = self._clock.now()
            if isinstance(error, Unsure) and not error.sent:
                send.answer, send.counted = Answer.REFUSED, False
                raise
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                # The studio said no. A proxy may have said it for a create that it had passed on: look, then send again.
                send.answer, send.counted = Answer.REFUSED, False
                return
            send.answer, ticket.odd = Answer.UNSURE, True
            raise NotYet(self._patience.settle[0], str(error)) from error
        except Unauthorized:
            send.answer = Answer.REFUSED
            raise
        else:
            send.ended = self._clock.now()
            await self._staked(ticket, send, project)

    async def _create(self, ticket: Ticket, send: Send) -> Project:
        target = ticket.target
        title, mark = target.request.title, target.mark(self._batch, send.name)
        if target.template.id is not None:
            return await self._studio.create_from_template(
                target.template.id,
                title=title,
                description=mark,
                workspace=target.workspace,
                before=self._check_going,
            )
        place: dict[str, JSON] = {} if target.workspace is None else {"workspace": target.workspace}
        fields = {**target.at_creation, **place, "title": title, "description": mark}
        return await self._studio.create_project(fields, before=self._check_going)

    def _check_going(self) -> None:
        if self._stopping:
            raise Halted

    async def _staked(self, ticket: Ticket, send: Send, project: Project) -> None:
        """A 201; it has to name the project that was asked for, or nobody would know it again."""
        send.answer, send.project, send.seen = Answer.STAKED, project.id, True
        ticket.known = (*ticket.known, project.id)
        mark = read_mark(project.description)
        if mark is None or mark.send != send.name:
            reason = (
                f"the studio did not keep the description of project {project.id}, by which a half-made project is known: "
                "delete it before you run the sheet again"
            )
            # Nor will it keep any other.
            self._stopping.stop("the studio does not keep the description of a new project")
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "mark-not-kept", reason)
            return
        self._looker.answered(project)
        if key_of(project.workspace, project.title) != ticket.target.key:
            await self._misnamed(ticket, project)

    async def _misnamed(self, ticket: Ticket, project: Project) -> None:
        """A 201 with another title or workspace: what the project itself says counts."""
        current = await self._looker.read(project.id)
        if current is not None and key_of(current.workspace, current.title) != ticket.target.key:
            reason = f"the studio gave project {project.id} another title or workspace than was asked for: look at it"
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)

    def _rejected(self, ticket: Ticket, send: Send, rejected: Rejected) -> None:
        """A 4xx: the row has failed; but look first where the answer speaks of its title, or a lost create may have landed."""
        send.answer, send.error = Answer.REJECTED, str(rejected)
        title_taken = rejected.status == HTTPStatus.CONFLICT or "title" in rejected.fields
        if not title_taken and not any(earlier.lost for earlier in ticket.sends):
            self._settle(ticket, Outcome.FAILED, code="rejected", error=send.error)
