"""The report of a batch: all outcomes, and their forms for people and programs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, overload

from label_studio_stencil.json_value import JSON
from label_studio_stencil.report import summary
from label_studio_stencil.report.escaping import defused, web_address
from label_studio_stencil.report.masking import masked_cell, masked_error
from label_studio_stencil.report.outcomes import Outcome, RowReport, Scalar

if TYPE_CHECKING:
    import pandas as pd

#: Longest title and error that the table shows; a sheet's cell may hold a megabyte.
TABLE_TITLE_LENGTH = 200
TABLE_ERROR_LENGTH = 500


class _Rows(Sequence[RowReport]):
    """The rows of a report. It is not a tuple, because Prefect searches nested tuples, and would visit every cell."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[RowReport]) -> None:
        self._rows = tuple(rows)

    @overload
    def __getitem__(self, index: int) -> RowReport: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[RowReport, ...]: ...
    def __getitem__(self, index: int | slice) -> RowReport | tuple[RowReport, ...]:
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RowReport]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._rows == tuple(other)

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return repr(self._rows)


@dataclass(frozen=True, slots=True)
class Report:
    """The report on every row of a batch.

    Attributes:
        rows: One entry for each row of the sheet, in the order of their lines.
        sheet: Name of the sheet.
        columns: Input columns, in the order of the sheet.
        label_studio: Address of Label Studio, or `embedded sandbox`.
        edition: Edition of Label Studio.
        sandbox: Whether Label Studio was the embedded sandbox.
        batch: Eight hexadecimal digits that name the batch.
        started: When the batch started, with its time zone.
        seconds: Duration, planning included.
        requests: Requests sent to Label Studio.
        mode: `create` or `update`.
        dry_run: Whether nothing was written, so that outcomes are those that rows would have.
        notes: Sentences about the batch as a whole.
        stopped: Why the batch stopped early; empty if it did not.
        output_error: Why the result files could not be written; empty if they were, or if none were requested.
        separator: Separator of the cells of the result files: that of the sheet if it is `;`, else `,`.
        folder: Folder of the sheet on the machine that ran the batch; empty if the sheet is not a file there.
        planning: Seconds until the plan was made.
        pauses: How often Label Studio asked for a pause, by a 429 or a 503.
        paused: Seconds of these pauses.
    """

    rows: Sequence[RowReport]
    sheet: str
    columns: tuple[str, ...]
    label_studio: str
    edition: str
    sandbox: bool
    batch: str
    started: datetime
    seconds: float
    requests: int
    mode: str = "create"
    dry_run: bool = False
    notes: tuple[str, ...] = ()
    stopped: str = ""
    output_error: str = ""
    separator: str = ","
    folder: str = ""
    planning: float = 0.0
    pauses: int = 0
    paused: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", _Rows(sorted(self.rows, key=lambda row: row.line)))

    @property
    def counts(self) -> dict[Outcome, int]:
        """Number of rows by outcome, in the order of outcomes, zeros included."""
        return summary.count_outcomes(self.rows)

    @property
    def ok(self) -> bool:
        """Whether every row is ok."""
        return all(row.outcome.ok for row in self.rows)

    @property
    def input_columns(self) -> tuple[str, ...]:
        """The columns of the sheet, each once, without those that an earlier `results.csv` added."""
        return tuple(name for name in dict.fromkeys(self.columns) if name not in (*ADDED_COLUMNS, FOLDER_COLUMN))

    @property
    def needs_attention(self) -> tuple[RowReport, ...]:
        """The rows that need attention, in the order of the sheet."""
        return tuple(row for row in self.rows if not row.outcome.ok)

    @property
    def settled(self) -> int:
        """Number of rows with a certain outcome: all except `ambiguous` and `unprocessed`."""
        counts = self.counts
        return len(self.rows) - counts[Outcome.AMBIGUOUS] - counts[Outcome.UNPROCESSED]

    @property
    def attempted(self) -> int:
        """Number of rows that were processed: all except `invalid` and `unprocessed`."""
        counts = self.counts
        return len(self.rows) - counts[Outcome.INVALID] - counts[Outcome.UNPROCESSED]

    @property
    def rate(self) -> float:
        """Processed rows per second; 0 if no time passed."""
        return self.attempted / self.seconds if self.seconds > 0 else 0.0

    @property
    def retries(self) -> int:
        """Further attempts at rows after their first."""
        return sum(max(0, row.attempts - 1) for row in self.rows)

    @property
    def sentence(self) -> str:
        """One line: `27 rows: 24 created, 1 exists, 2 failed (line 7, line 19)`."""
        return summary.sentence(self.rows, dry_run=self.dry_run, stopped=self.stopped)

    def after(self, earlier: "Report | None") -> "Report":
        """The report of a run with an earlier attempt: rows that the attempt wrote have the outcome that it reported."""
        if earlier is None:
            return self
        wrote = {(row.line, row.workspace, row.title): row.outcome for row in earlier.rows if row.outcome.written}

        def merged(row: RowReport) -> RowReport:
            outcome = wrote.get((row.line, row.workspace, row.title))
            return replace(row, outcome=outcome) if outcome and row.outcome.ok else row

        return replace(
            self,
            rows=[merged(row) for row in self.rows],
            started=earlier.started,
            seconds=earlier.seconds + self.seconds,
            requests=earlier.requests + self.requests,
            planning=earlier.planning + self.planning,
            pauses=earlier.pauses + self.pauses,
            paused=earlier.paused + self.paused,
        )

    def table(self, limit: int = 1000) -> list[dict[str, Scalar]]:
        """The rows as a table of at most `limit` rows, those that need attention first.

        Texts are cut, and safe to show as Markdown.
        """
        rows = [*self.needs_attention, *(row for row in self.rows if row.outcome.ok)]
        return [self._table_row(row) for row in rows[: max(limit, 0)]]

    def to_json(self) -> dict[str, JSON]:
        """The report as JSON; keys are never renamed or removed.

        In a dry run outcomes are those that rows would have, and `dry_run` is true.
        """
        return {**self.json_head(), "rows": list(self.json_rows())}

    def json_head(self) -> dict[str, JSON]:
        """The report as JSON without its rows, which come last."""
        counts: dict[str, JSON] = {outcome.value: count for outcome, count in self.counts.items()}
        return {
            "sheet": self.sheet,
            "label_studio": self.label_studio,
            "edition": self.edition,
            "sandbox": self.sandbox,
            "batch": self.batch,
            "mode": self.mode,
            "dry_run": self.dry_run,
            "started": self.started.isoformat(),
            "seconds": round(self.seconds, 3),
            "planning_seconds": round(self.planning, 3),
            "requests": self.requests,
            "retries": self.retries,
            "pauses": self.pauses,
            "paused_seconds": round(self.paused, 3),
            "counts": counts,
            "ok": self.ok,
            "stopped": self.stopped,
            "notes": list(self.notes),
            "output_error": self.output_error,
        }

    def json_rows(self) -> Iterator[dict[str, JSON]]:
        """The rows of the report as JSON, one by one."""
        return map(_json_row, self.rows)

    def to_frame(self) -> "pd.DataFrame":
        """The columns of `results.csv` as a DataFrame, with cells as they were read; passwords are masked."""
        import pandas as pd

        frame = {name: [masked_cell(name, row.cells.get(name)) for row in self.rows] for name in self.input_columns}
        added = zip(*(added_values(row, row.outcome.value) for row in self.rows), strict=True)
        values = list(added) or [()] * len(ADDED_COLUMNS)
        frame |= {name: list(column) for name, column in zip(ADDED_COLUMNS, values, strict=True)}
        return pd.DataFrame(frame).astype({"project_id": "Int64"})

    def _table_row(self, row: RowReport) -> dict[str, Scalar]:
        return {
            "line": row.line,
            "title": defused(row.title, TABLE_TITLE_LENGTH),
            "workspace": defused(row.workspace, TABLE_TITLE_LENGTH),
            "outcome": row.outcome.shown(dry_run=self.dry_run),
            "project": web_address(row.project_url) or row.project_id,
            "attempts": row.attempts,
            "seconds": round(row.seconds, 3),
            "error_code": defused(row.error_code, TABLE_TITLE_LENGTH),
            "error": defused(masked_error(row.error, row.cells), TABLE_ERROR_LENGTH),
        }


#: Columns of `results.csv` after the input columns, in this order. An input column with such a name is left out.
ADDED_COLUMNS = (
    "line",
    "outcome",
    "project_id",
    "project_url",
    "attempts",
    "seconds",
    "error_code",
    "error",
    "steps",
)

#: And last: the folder of the sheet, where `stencil remove` finds the files that rows name.
FOLDER_COLUMN = "sheet_folder"


def added_values(row: RowReport, outcome: str) -> tuple[Scalar, ...]:
    """The values of `ADDED_COLUMNS` for one row; `outcome` is how its outcome is written."""
    return (
        row.line,
        outcome,
        row.project_id,
        row.project_url,
        row.attempts,
        round(row.seconds, 3),
        row.error_code,
        masked_error(row.error, row.cells),
        row.steps,
    )


def _json_row(row: RowReport) -> dict[str, JSON]:
    pairs: Iterator[tuple[str, Scalar]] = zip(ADDED_COLUMNS, added_values(row, row.outcome.value), strict=True)
    line, *rest = pairs
    changes: JSON = {each.field: {"old": each.old, "new": each.new} for each in row.changes}
    return dict([line, ("title", row.title), ("workspace", row.workspace), *rest, ("changes", changes)])
