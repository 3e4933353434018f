"""A sheet that was read: its columns, rows and problems."""

from dataclasses import dataclass, field
from pathlib import Path

from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.problems import Problem, StencilError


class SheetUnreadable(StencilError):
    """The source as a whole can't be read as a sheet: it is missing, locked, broken, or needs an extra."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet, as it was read.

    Attributes:
        line: Number in the file; the header is line 1, and a record with line breaks counts from its first.
        cells: Column name as the sheet writes it to cell. Text for CSV; numbers, dicts and so on where the
            source has them.
    """

    line: int
    cells: dict[str, object]


@dataclass
class Sheet:
    """A source, read.

    Attributes:
        name: What messages call it: the file's name, `<stdin>`, `DataFrame`, `rows`.
        columns: Names of the columns as the sheet writes them, in order; a name that is there twice is here
            twice.
        rows: The rows that are not blank, those with problems too.
        problems: What was wrong with single rows while reading; a row whose line is named here gives no
            request.
        folder: Folder that the paths in its cells start from, or `None` where the source has none.
        digest: SHA-256 of the content, in hex.
        header_line: Line of the header, for problems with columns; `None` where the source has no such line.
        rows_asker: What its rows may open.
        notes: Sentences about how the source was read, where that could be otherwise than its author thinks.
    """

    name: str
    columns: list[str]
    rows: list[Row]
    problems: list[Problem] = field(default_factory=list)
    folder: Path | None = None
    digest: str = ""
    header_line: int | None = 1
    rows_asker: Asker = field(default_factory=PERSON.rows)
    notes: list[str] = field(default_factory=list)


@dataclass
class Table:
    """What one format's reader makes of a source's content."""

    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    header_line: int | None = 1
    notes: list[str] = field(default_factory=list)
