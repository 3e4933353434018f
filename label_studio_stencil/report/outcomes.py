"""The outcome of a row, and the report on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from label_studio_stencil.report.masking import masked_cell, masked_error

Scalar: TypeAlias = bool | int | float | str | None


class Outcome(StrEnum):
    """The outcome of a row; every row has exactly one.

    Attributes:
        CREATED: This batch made the project.
        RESUMED: An earlier run had left the project unfinished (a placeholder, or steps); this batch completed it.
        UPDATED: The project existed, and `--mode update` changed it.
        UNCHANGED: The project existed, and had everything that the row asks for.
        EXISTS: The project existed and was left alone.
        INVALID: The row has problems, so nothing was sent for it.
        FAILED: Label Studio rejected the row, or every attempt failed.
        AMBIGUOUS: It is uncertain whether the project exists, or which one is the row's; the error names what to check.
        UNPROCESSED: The batch stopped before the row was done.
    """

    CREATED = "created"
    RESUMED = "resumed"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    EXISTS = "exists"
    INVALID = "invalid"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    UNPROCESSED = "unprocessed"

    @property
    def ok(self) -> bool:
        """Whether the row's project exists as the row asks for it."""
        return self in _OK

    @property
    def written(self) -> bool:
        """Whether Label Studio was changed."""
        return self in _WRITTEN

    def shown(self, *, dry_run: bool) -> str:
        """The outcome as text; in a dry run `would be created` instead of `created`."""
        return f"would be {self}" if dry_run and self.written else self.value


_WRITTEN = frozenset({Outcome.CREATED, Outcome.RESUMED, Outcome.UPDATED})
_OK = _WRITTEN | {Outcome.UNCHANGED, Outcome.EXISTS}


class Change(NamedTuple):
    """A field that an update would change, with both values as they are shown."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        """`color: #FFFFFF -> #112233`."""
        return f"{self.field}: {self.old} -> {self.new}"


@dataclass(frozen=True, slots=True)
class RowReport:
    """The report on one row.

    Attributes:
        line: Line of the row in its file; the header is line 1.
        title: Title of the project, as the row asked for it.
        workspace: Name or id of the workspace, as the row asked for it; empty if it names none.
        outcome: Outcome of the row; in a dry run, the outcome that it would have.
        project_id: Id of the project in Label Studio, if it is known.
        project_url: Address of the project's page; empty if there is none.
        attempts: Number of attempts at the row.
        seconds: Time spent on the row, waits included.
        error_code: Code of the error; empty if the row is ok. `stencil explain CODE` explains it.
        error: The error as a sentence; empty if the row is ok.
        steps: What was done about the row's members, tasks, publication and pin.
        changes: The fields that an update has changed; in a dry run, those that it would change.
        cells: The input columns as they were read.
        again: The input columns for a sheet in another folder; `None` if they are the same.
    """

    line: int
    title: str
    workspace: str
    outcome: Outcome
    project_id: int | None = None
    project_url: str = ""
    attempts: int = 0
    seconds: float = 0.0
    error_code: str = ""
    error: str = ""
    steps: str = ""
    changes: tuple[Change, ...] = ()
    cells: Mapping[str, object] = field(default_factory=dict)
    again: Mapping[str, object] | None = None

    def __repr__(self) -> str:
        """All attributes, without passwords."""
        shown = {each.name: getattr(self, each.name) for each in fields(self)}
        shown["error"] = masked_error(self.error, self.cells)
        for name in ("cells", "again"):
            if shown[name]:
                shown[name] = {column: masked_cell(column, cell) for column, cell in shown[name].items()}
        return f"RowReport({', '.join(f'{name}={value!r}' for name, value in shown.items())})"
