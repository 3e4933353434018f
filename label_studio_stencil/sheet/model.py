"""A sheet that was read: its columns, rows and problems."""

from dataclasses import dataclass, field
from pathlib import Path

from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.problems import Problem, StencilError


class SheetUnreadable(StencilError):
    """The source can't be read as a sheet: it is missing, locked or broken, or needs an extra."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a sheet, as it was read.

    Attributes:
        line: Line in the file; the header is line 1. A record with line breaks has its first line.
        cells: Cell by column name as the sheet writes it. Text in CSV; numbers, dicts and so on if the source
            has them.
    """

    line: int
    cells: dict[str, object]


@dataclass
class Sheet:
    """A sheet that was read.

    Attributes:
        name: Name in messages: the file's name, `<stdin>`, `DataFrame`, `rows`.
        columns: Names of the columns as the sheet writes them, in order, duplicates included.
        rows: The rows that are not blank, including those with problems.
        problems: Problems of single rows found while reading; a row with such a problem has no request.
        folder: Folder where paths in cells start; `None` if the source has none.
        digest: SHA-256 of the content, in hex.
        header_line: Line of the header; `None` if the source has no such line.
        rows_asker: What its rows may open.
        notes: Sentences about how the source was read, if its author may expect something else.
        separator: `;` if its cells are separated by it, as spreadsheets of many countries have it; else `,`.
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
    separator: str = ","


@dataclass
class Table:
    """The result of one format's reader."""

    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    header_line: int | None = 1
    notes: list[str] = field(default_factory=list)
    separator: str = ","
