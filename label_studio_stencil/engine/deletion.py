"""Clears surplus projects away while a batch runs: the only code of a batch that deletes.

Only what is provably ours goes: a placeholder, by its marker, or one that this process finished itself and that
has an equal twin. Each is read again by its id just before, and stays where anything of it has changed or our user did not
make it; what stands in a row's way and stays is named in its outcome. (To undo a batch on somebody's order is
`label_studio_stencil.removal`.)
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
from label_studio_stencil.plan.marker import Standing, standing
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.comparison import differing

logger = logging.getLogger(__name__)


class Deletion:
    """Removes surplus projects of a batch's rows."""

    def __init__(self, context: Context) -> None:
        self._batch, self._label_studio, self._looks = context.batch, context.label_studio, context.looks
        self._clock, self._patience, self._decide = context.clock, context.patience, context.outcomes.decide
        self._user: int | None = None

    async def clear(self, ticket: Ticket, decision: Abandoned | Twins, project: Project) -> bool:
        """Remove an abandoned placeholder, or our own surplus twin; whether the row is settled since it can't be."""
        if isinstance(decision, Abandoned):
            removed = await self._removed(ticket, project)
        elif await self._has_equal_twin(ticket, project):
            removed = await self._removed(ticket, project, holding=ticket.target.settings)
        else:
            ids = tuple(sorted(ticket.known))
            reason = (
                "two projects of this workspace and title exist, and they differ: keep one, delete or rename the other"
            )
            self._decide(ticket, Outcome.AMBIGUOUS, project.id, "twins", with_ids(reason, ids))
            return True
        if removed:
            return False
        reason = (
            f"project {project.id} stands in the way and can't be shown to be ours: look at it, then delete it by hand"
        )
        self._decide(ticket, Outcome.AMBIGUOUS, project.id, "not-ours", reason)
        return True

    async def refuse(self, ticket: Ticket, reason: str) -> None:
        """Settle a row that Label Studio refuses; what this batch half made of it goes."""
        left = []
        for project in self._looks.remembered(ticket.target.key):
            ours = batch_of(project) == self._batch
            if standing(project) is not Standing.COMPLETE and not (ours and await self._removed(ticket, project)):
                left.append(project.id)
        if left:
            reason += f"; project {left[0]} is left half made: mend the row and run it again, or delete it by hand"
        self._decide(ticket, Outcome.FAILED, left[0] if left else None, "rejected", reason)

    async def _removed(self, ticket: Ticket, project: Project, *, holding: Mapping[str, JSON] | None = None) -> bool:
        """`remove`, for a row that the sweep looks after where the answer is lost."""
        try:
            return await self.remove(project, holding=holding)
        except (Throttled, Unsure):
            ticket.odd = True
            raise

    async def remove(self, project: Project, *, holding: Mapping[str, JSON] | None = None) -> bool:
        """Delete a project if it is still what it was and our user made it; whether it is gone.

        Args:
            project: As it was seen: half made, or, where `holding` is given, finished by ourselves.
            holding: Settings that it must still hold.

        Raises:
            Stale: The deletion had to wait for its turn until the reading before it was old.
        """
        us = await self._our_user()
        async with self._looks.quiet():
            current = await self._looks.read(project.id)
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
            # As it was asked, and not as it was answered: the process may have been stopped before it saw that.
            asked = self._looks.confirmed_at(current.id)

            def before() -> None:
                if self._clock.now() - asked > self._patience.read:
                    raise Stale

            try:
                await self._label_studio.delete_project(current.id, before=before)
            except Rejected as rejected:
                if rejected.status != HTTPStatus.NOT_FOUND:
                    return False
            except (Throttled, Unsure):
                # It may be carried out yet, whatever becomes of the project meanwhile.
                self._looks.deletion_lost = self._clock.now()
                raise
            self._looks.forget(current.id)
            logger.info("removed project %s, a surplus copy of %r", current.id, current.title)
            return True

    async def _our_user(self) -> int:
        if self._user is None:
            self._user = (await self._label_studio.whoami()).id
        return self._user

    async def _has_equal_twin(self, ticket: Ticket, project: Project) -> bool:
        """Whether a finished project of a lower id is as the row has it, so that ours is the surplus one."""
        for number in sorted(ticket.known):
            if number >= project.id:
                return False
            twin = await self._looks.read(number)
            if twin is not None and standing(twin) is Standing.COMPLETE:
                return not differing(ticket.target.settings, settings_of(twin))
        return False
