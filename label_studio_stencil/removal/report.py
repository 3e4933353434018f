"""What became of each row of the results that a removal was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from label_studio_stencil.json_value import JSON

_LINES_NAMED = 5


class Fate(StrEnum):
    """What became of the project of a row; every row has exactly one.

    Attributes:
        REMOVED: It was deleted.
        WOULD_BE_REMOVED: It can be proven to be the batch's; nothing was deleted in this run.
        GONE: It was not there any more.
        KEPT: The batch says that it made it, and it can't be proven, or something has become of it since.
        FAILED: The studio refused to delete it, or did not say whether it did.
        UNPROCESSED: The removal stopped first.
        LEFT_ALONE: The batch does not say that it made one.
    """

    FAILED = "failed"
    KEPT = "kept"
    UNPROCESSED = "unprocessed"
    REMOVED = "removed"
    WOULD_BE_REMOVED = "would be removed"
    GONE = "gone"
    LEFT_ALONE = "left alone"

    @property
    def well(self) -> bool:
        """Whether nothing that the batch made is left to delete."""
        return self not in (Fate.FAILED, Fate.KEPT, Fate.UNPROCESSED)


@dataclass(frozen=True, slots=True)
class RemovalRow:
    """What became of one row's project.

    Attributes:
        line: Number of the row in the batch's sheet.
        title: Title of the project, as the results have it.
        project_id: Its number, where it is known.
        project_url: Its address; empty where there is none.
        fate: What became of it.
        code: Stable slug of why it is still there; empty where it is not.
        why: The same for people.
    """

    line: int
    title: str
    project_id: int | None
    project_url: str
    fate: Fate
    code: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """What became of all rows.

    Attributes:
        results: Name of the file.
        studio: Address of the studio, for people.
        sandbox: Whether it was the embedded sandbox.
        dry_run: Whether nothing was deleted.
        rows: One for each row of the results, in the order of their lines.
        seconds: How long it took.
        requests: Requests sent.
        stopped: Why it stopped before its end; empty where it did not.
    """

    results: str
    studio: str
    sandbox: bool
    dry_run: bool
    rows: Sequence[RemovalRow]
    seconds: float
    requests: int
    stopped: str = ""

    @property
    def counts(self) -> dict[Fate, int]:
        """How many rows have each fate: all of them, zeros included."""
        counts = dict.fromkeys(Fate, 0)
        for row in self.rows:
            counts[row.fate] += 1
        return counts

    @property
    def well(self) -> bool:
        """Whether nothing that the batch made is left to delete; in a dry run, whether nothing would be."""
        return all(row.fate.well for row in self.rows)

    @property
    def sentence(self) -> str:
        """One line: `26 rows: 1 kept (line 7), 25 removed`."""
        parts = [
            f"{count} {fate}" + ("" if fate.well else f" ({self._lines(fate)})")
            for fate, count in self.counts.items()
            if count
        ]
        noun = "row" if len(self.rows) == 1 else "rows"
        stopped = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"{len(self.rows)} {noun}: {', '.join(parts) or 'nothing to remove'}{stopped}"

    def to_json(self) -> dict[str, JSON]:
        """The report for machines: keys are never renamed or taken away."""
        counts: dict[str, JSON] = {fate.value: count for fate, count in self.counts.items()}
        return {
            "results": self.results,
            "studio": self.studio,
            "sandbox": self.sandbox,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "counts": counts,
            "well": self.well,
            "stopped": self.stopped,
            "rows": [_json_row(row) for row in self.rows],
        }

    def _lines(self, fate: Fate) -> str:
        lines = [row.line for row in self.rows if row.fate is fate]
        more = len(lines) - _LINES_NAMED
        return ", ".join(f"line {line}" for line in lines[:_LINES_NAMED]) + (f" and {more} more" if more > 0 else "")


def _json_row(row: RemovalRow) -> dict[str, JSON]:
    return {
        "line": row.line,
        "title": row.title,
        "project_id": row.project_id,
        "project_url": row.project_url,
        "fate": row.fate.value,
        "code": row.code,
        "why": row.why,
    }
