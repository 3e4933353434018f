"""Deletes the projects of a batch that are provably its work, after reading each of them.

A deletion can't be undone. So the project is read at most `FRESH` seconds before the deletion leaves (at slow rates a few
requests earlier), and a deletion is sent again only if Label Studio certainly did not carry it out.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple

from label_studio_stencil.access import Instance
from label_studio_stencil.concurrency import together, until_stopped
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.models import COUNTERS, Project
from label_studio_stencil.options import Options
from label_studio_stencil.plans.plan import Target
from label_studio_stencil.plans.targets import check, resolve_targets
from label_studio_stencil.problems import Problem
from label_studio_stencil.redaction import SECRET_FIELDS
from label_studio_stencil.removal.imported import compare_tasks, doubt_since
from label_studio_stencil.removal.proof import WRITTEN_BY_HAND, Doubt, Expected, doubt
from label_studio_stencil.removal.report import RemovalOutcome, RemovalReport, RemovalRow
from label_studio_stencil.removal.results import NotResults, Result, Results, check_label_studio, explained

logger = logging.getLogger(__name__)

#: Seconds after which a read is too old for a deletion.
FRESH = 5.0
#: Seconds after a deletion whose answer was lost before the project is read again.
SETTLE = 2.0
#: How far the clocks of Label Studio and of the results' folder may differ.
CLOCKS_APART = timedelta(minutes=2)
#: What a project has to which neither its row nor its template gives an instruction; any other was written by hand.
_UNWRITTEN: dict[str, JSON] = {"expert_instruction": ""}
#: How often a project is read and its deletion tried while Label Studio asks to wait.
_MOST_ROUNDS = 20

#: Reason of a removal that was cancelled.
STOPPED = "interrupted"


class Settled(NamedTuple):
    """What happened to a project, why, and how many imported tasks are or were in it."""

    outcome: RemovalOutcome
    code: str = ""
    why: str = ""
    tasks: int = 0


class _Stale(Exception):
    """The read is too old for a deletion."""


class Removal:
    """A removal: its input, and the outcome of each row so far.

    Attributes:
        under_way: Whether projects are being read and deleted. If so, stop it instead of cancelling it.
        stopped: Why it stops; empty while it runs.
    """

    def __init__(self, results: Results, options: Options, label_studio: Instance, *, dry_run: bool) -> None:
        """Prepare a removal without sending anything.

        Args:
            results: The results of the batch.
            options: Template and workspace of rows that name none, as the batch had them.
            label_studio: The Label Studio of the projects.
            dry_run: Whether to delete nothing.
        """
        self.under_way, self.stopped = False, ""
        self._results, self._label_studio, self._dry_run = results, label_studio, dry_run
        # Unknown fields that the batch passed on are compared too.
        self._options = options.model_copy(update={"allow_unknown_fields": True})
        self._clock = label_studio.pacer.clock
        self._began = self._clock.now()
        self._settled: dict[int, Settled] = {}
        # Projects whose deletion was sent.
        self._sent: set[int] = set()

    def stop(self, reason: str) -> None:
        """Start no further deletions; the first reason is kept."""
        self.stopped = self.stopped or reason

    async def run(self) -> RemovalReport:
        """Remove the projects. A first cancellation lets the rows under way finish, a second one ends them.

        Raises:
            NotResults: The results are of another Label Studio, or their columns can't be understood.
            LabelStudioError: Label Studio did not answer before the first project was read.
        """
        check_label_studio(
            self._results.name, self._results.rows, self._label_studio.client.url, sandbox=self._label_studio.sandbox
        )
        rows = self._sort_out()
        expected = await self._expected() if rows else {}
        places = asyncio.Semaphore(self._label_studio.pacer.max_concurrency)

        async def carry_out(row: Result) -> None:
            # A row's project is read only when it has a place, so that its deletion doesn't wait for other rows' reads.
            async with places:
                if row.line in expected and not self.stopped:
                    await self._carry_out(row, expected[row.line])

        self.under_way = True
        await until_stopped(together(carry_out(row) for row in rows), lambda: self.stop(STOPPED))
        return self.report()

    def report(self) -> RemovalReport:
        """The outcome of every row so far."""
        return RemovalReport(
            results=self._results.name,
            label_studio=self._label_studio.name,
            sandbox=self._label_studio.sandbox,
            dry_run=self._dry_run,
            rows=sorted(map(self._row, self._results.rows), key=lambda row: row.line),
            seconds=self._clock.now() - self._began,
            requests=self._label_studio.client.requests_sent,
            stopped=self.stopped,
        )

    def _row(self, row: Result) -> RemovalRow:
        stopped = self.stopped or "cancelled"
        if row.project_id in self._sent:
            why = f"the removal stopped while its deletion was under way, so it may be gone: {stopped}; run it again"
            otherwise = Settled(RemovalOutcome.FAILED, "unanswered", why)
        else:
            why = f"the removal stopped before this row: {stopped}; run it again"
            otherwise = Settled(RemovalOutcome.UNPROCESSED, "stopped", why)
        settled = self._settled.get(row.line, otherwise)
        return RemovalRow(row.sheet_line, row.title, row.project_id, row.project_url, *settled)

    # What the results say

    def _sort_out(self) -> list[Result]:
        """The rows whose projects have to be read; all others get their outcome here."""
        rows = []
        for row in self._results.rows:
            if row.line in self._results.unreadable:
                self._keep(row, Doubt("unreadable", self._results.unreadable[row.line]))
            elif not row.created:
                why = f"its outcome is {row.outcome or 'empty'}: only projects that the batch created are removed"
                self._settled[row.line] = Settled(RemovalOutcome.LEFT_ALONE, "not-created", why)
            elif row.project_id is None:
                self._keep(row, Doubt("no-project", "its project_id and project_url do not name the same project"))
            else:
                rows.append(row)
        return rows

    async def _expected(self) -> dict[int, Expected]:
        """The expected project of each row, by line; rows without one get their outcome here."""
        client = self._label_studio.client
        user = (await client.whoami()).id
        targets, problems, _ = await resolve_targets(
            check(self._results.made, self._options), self._options, self._label_studio
        )
        self._note(problems)
        templates = await self._written_by_hand(targets)
        not_after = self._not_after()
        return {
            target.request.line: Expected(
                title=target.request.title,
                workspace=target.workspace,
                settings=_comparable({**templates[target.template.id], **target.final_settings}),
                user=user,
                not_after=not_after,
                tasks=target.request.steps.tasks,
            )
            for target in targets
        }

    def _note(self, problems: list[Problem]) -> None:
        by_line: dict[int, list[Problem]] = {}
        lines = {row.line for row in self._results.made.rows}
        for problem in problems:
            if problem.line not in lines or problem.line is None:
                raise NotResults(f"{self._results.name}: {problem}")
            by_line.setdefault(problem.line, []).append(problem)
        for row in self._results.rows:
            if row.line in by_line and row.line not in self._settled:
                why = f"the settings that the batch gave it are unknown: {explained(by_line[row.line])}"
                self._keep(row, Doubt(by_line[row.line][0].code, why))

    async def _written_by_hand(self, targets: list[Target]) -> Mapping[int | None, Mapping[str, JSON]]:
        """What templates give of the settings that people write by hand, by the template's id, which only Enterprise has."""
        found: dict[int | None, Mapping[str, JSON]] = {target.template.id: {} for target in targets}
        for template in await self._label_studio.client.project_templates() if found.keys() - {None} else ():
            if template.id in found and template.project_settings:
                given = template.project_settings
                found[template.id] = _UNWRITTEN | {name: given[name] for name in WRITTEN_BY_HAND if given.get(name)}
        return found | {None: _UNWRITTEN}

    def _not_after(self) -> datetime | None:
        """The latest time at which the batch can have made a project, by Label Studio's clock."""
        written, now = self._results.written, self._label_studio.client.server_time()
        if written is None:
            return None
        ahead = now - self._clock.wall() if now is not None else timedelta()
        return written + ahead + CLOCKS_APART

    # Reading and deleting

    async def _carry_out(self, row: Result, expected: Expected) -> None:
        try:
            settled = await self._settle(row, expected)
        except Unauthorized as error:
            self._sent -= {row.project_id}
            self.stop(str(error))
            return
        except LabelStudioError as error:
            code = "rejected" if isinstance(error, Rejected) else "unanswered"
            settled = Settled(RemovalOutcome.FAILED, code, str(error))
        self._settled[row.line] = settled
        if settled.outcome is RemovalOutcome.REMOVED:
            logger.info("removed project %s of line %s", row.project_id, row.sheet_line)

    async def _settle(self, row: Result, expected: Expected) -> Settled:
        """Read the project and delete it, if it is provably what the batch made.

        Raises:
            LabelStudioError: It could not be read, or Label Studio refused to delete it.
        """
        assert row.project_id is not None  # noqa: S101 - such rows were settled before
        compared: dict[str, JSON] | None = None
        newest: datetime | None = None
        for _ in range(_MOST_ROUNDS):
            # The comparison, or Label Studio's pause after a 429, takes a while.
            since = await self._since(row.project_id, newest) if compared is not None else None
            project = await self._read(row.project_id)
            read_at = self._clock.now()
            if project is None:
                return Settled(RemovalOutcome.GONE)
            found = doubt(expected, project) or since
            counts = {name: project.settings.get(name) for name in COUNTERS}
            if found is None and expected.tasks is not None and project.tasks and compared != counts:
                found, newest = await compare_tasks(self._label_studio.client, project.id, expected.tasks)
                if found is None and not self._dry_run:
                    compared = counts
                    continue
            if found is not None:
                return Settled(RemovalOutcome.KEPT, found.code, found.reason)
            tasks = expected.tasks.count if expected.tasks is not None and project.tasks else 0
            if self._dry_run:
                return Settled(RemovalOutcome.WOULD_BE_REMOVED, tasks=tasks)
            settled = await self._delete(row.project_id, read_at)
            if settled is not None:
                return settled._replace(tasks=tasks)
        return Settled(RemovalOutcome.FAILED, "throttled", "Label Studio kept the removal waiting: run it again later")

    async def _since(self, number: int, newest: datetime | None) -> Doubt | None:
        try:
            return await doubt_since(self._label_studio.client, number, newest)
        except Rejected as rejected:
            if not _is_gone(rejected):
                raise
            return None

    async def _read(self, number: int) -> Project | None:
        try:
            return await self._label_studio.client.project(number)
        except Rejected as rejected:
            if not _is_gone(rejected):
                raise
            return None

    async def _delete(self, number: int, read_at: float) -> Settled | None:
        """Delete a project once; `None` if it was certainly not carried out, and may be tried again.

        Raises:
            LabelStudioError: Label Studio refused it.
        """
        pacer = self._label_studio.pacer
        # Every place may hold a request that is sent before ours.
        fresh = max(FRESH, 2 * pacer.max_concurrency / pacer.rate)

        def check_fresh() -> None:
            if self._clock.now() - read_at > fresh:
                raise _Stale
            self._sent.add(number)

        try:
            await self._label_studio.client.delete_project(number, before=check_fresh)
        except _Stale:
            return None
        except Rejected as rejected:
            if not _is_gone(rejected):
                raise
            return Settled(RemovalOutcome.GONE)
        except (Throttled, Unsure) as error:
            refused = error.status == HTTPStatus.TOO_MANY_REQUESTS or (isinstance(error, Unsure) and not error.sent)
            return None if refused else await self._look_after(number, error)
        return Settled(RemovalOutcome.REMOVED)

    async def _look_after(self, number: int, error: LabelStudioError) -> Settled:
        """Read the project after the answer to its deletion was lost."""
        await self._clock.sleep(SETTLE)
        if await self._read(number) is None:
            return Settled(RemovalOutcome.REMOVED)
        why = f"{error}; the project was still there {SETTLE:.0f} seconds later, but may yet be deleted: run the removal again"
        return Settled(RemovalOutcome.FAILED, "unanswered", why)

    def _keep(self, row: Result, why: Doubt) -> None:
        self._settled[row.line] = Settled(RemovalOutcome.KEPT, why.code, why.reason)


def _comparable(settings: Mapping[str, JSON]) -> dict[str, JSON]:
    """The settings without those that results mask."""
    return {name: value for name, value in settings.items() if name not in SECRET_FIELDS}


def _is_gone(rejected: Rejected) -> bool:
    return rejected.status == HTTPStatus.NOT_FOUND and not rejected.absent
