"""The report of a removal: an outcome for each row of the results."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from label_studio_stencil.json_value import JSON
from label_studio_stencil.problems import counted

_LINES_NAMED = 5


class RemovalOutcome(StrEnum):
    """The outcome of a row's project; every row has exactly one.

    Attributes:
        REMOVED: The project was deleted.
        WOULD_BE_REMOVED: The project is provably the batch's. Nothing was deleted, as `--yes` was not given.
        GONE: The project no longer existed.
        KEPT: The results say that the batch made the project, but it can't be proven, or somebody changed it since.
        FAILED: Label Studio refused to delete the project, or did not answer.
        UNPROCESSED: The removal stopped before it reached the row.
        LEFT_ALONE: The results don't say that the batch made this project.
    """

    FAILED = "failed"
    KEPT = "kept"
    UNPROCESSED = "unprocessed"
    REMOVED = "removed"
    WOULD_BE_REMOVED = "would be removed"
    GONE = "gone"
    LEFT_ALONE = "left alone"

    @property
    def ok(self) -> bool:
        """Whether nothing that the batch made is left to delete."""
        return self not in (RemovalOutcome.FAILED, RemovalOutcome.KEPT, RemovalOutcome.UNPROCESSED)


@dataclass(frozen=True, slots=True)
class RemovalRow:
    """The report on one row's project.

    Attributes:
        line: Line of the row in the batch's sheet.
        title: Title of the project, as the results have it.
        project_id: Its id, if it is known.
        project_url: Its address; empty if there is none.
        outcome: Its outcome.
        code: Code of the reason why it was not deleted; empty if it was.
        why: The reason as a sentence.
        tasks: Number of imported tasks that are deleted with it.
    """

    line: int
    title: str
    project_id: int | None
    project_url: str
    outcome: RemovalOutcome
    code: str = ""
    why: str = ""
    tasks: int = 0


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """The report on all rows.

    Attributes:
        results: Name of the file.
        label_studio: Address of Label Studio.
        sandbox: Whether it was the embedded sandbox.
        dry_run: Whether nothing was deleted.
        rows: One for each row of the results, in the order of their lines.
        seconds: How long the removal took.
        requests: Number of requests sent.
        stopped: Why the removal stopped early; empty if it did not.
    """

    results: str
    label_studio: str
    sandbox: bool
    dry_run: bool
    rows: Sequence[RemovalRow]
    seconds: float
    requests: int
    stopped: str = ""

    @property
    def counts(self) -> dict[RemovalOutcome, int]:
        """Number of rows by outcome, zeros included."""
        counts = dict.fromkeys(RemovalOutcome, 0)
        for row in self.rows:
            counts[row.outcome] += 1
        return counts

    @property
    def ok(self) -> bool:
        """Whether nothing that the batch made is left; in a dry run, whether nothing would be left."""
        return all(row.outcome.ok for row in self.rows)

    @property
    def sentence(self) -> str:
        """One line: `26 rows: 1 kept (line 7), 25 removed`."""
        parts = [
            f"{count} {outcome}" + ("" if outcome.ok else f" ({self._lines(outcome)})")
            for outcome, count in self.counts.items()
            if count
        ]
        noun = "row" if len(self.rows) == 1 else "rows"
        tasks = sum(row.tasks for row in self.rows)
        imported = f", with {counted(tasks, 'imported task')}" if tasks else ""
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"{len(self.rows)} {noun}: {', '.join(parts) or 'nothing to remove'}{imported}{stopped}"

    def to_json(self) -> dict[str, JSON]:
        """The report as JSON; keys are never renamed or removed."""
        counts: dict[str, JSON] = {outcome.value: count for outcome, count in self.counts.items()}
        return {
            "results": self.results,
            "label_studio": self.label_studio,
            "sandbox": self.sandbox,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "counts": counts,
            "ok": self.ok,
            "stopped": self.stopped,
            "rows": [_json_row(row) for row in self.rows],
        }

    def _lines(self, outcome: RemovalOutcome) -> str:
        lines = [row.line for row in self.rows if row.outcome is outcome]
        more = len(lines) - _LINES_NAMED
        return ", ".join(f"line {line}" for line in lines[:_LINES_NAMED]) + (f" and {more} more" if more > 0 else "")


def _json_row(row: RemovalRow) -> dict[str, JSON]:
    return {
        "line": row.line,
        "title": row.title,
        "project_id": row.project_id,
        "project_url": row.project_url,
        "outcome": row.outcome.value,
        "code": row.code,
        "why": row.why,
        "tasks": row.tasks,
    }
