"""Reads back the results of a batch: which projects it made, on which Label Studio, and from which rows."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from label_studio_stencil.files import PERSON, modified
from label_studio_stencil.labelstudio.address import base_address, is_loopback
from label_studio_stencil.labelstudio.errors import InvalidAddress
from label_studio_stencil.problems import Problem, StencilError
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import ADDED_COLUMNS, FOLDER_COLUMN
from label_studio_stencil.sheet.model import Row, Sheet
from label_studio_stencil.sheet.sources import read_sheet

#: Columns that every results file has.
_NEEDED = ("outcome", "project_id", "project_url")
_REPORTED = frozenset({*ADDED_COLUMNS, FOLDER_COLUMN})
#: A spreadsheet or pandas may have written the id as a decimal.
_ID = re.compile(r"([0-9]{1,18})(?:\.0+)?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443}
_MOST_NAMED_LABEL_STUDIOS = 3

Site = tuple[str, int | None, str]


class NotResults(StencilError):
    """The file has no results of a batch on this Label Studio, so nothing is deleted."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one row of the results says.

    Attributes:
        line: Line in the results file, which identifies the row.
        sheet_line: Line in the sheet of the batch, for messages.
        title: Title of the project.
        outcome: Outcome of the row, as written.
        project_id: Id of the project; `None` if there is none, or if id and address do not agree.
        project_url: Address of the project.
    """

    line: int
    sheet_line: int
    title: str
    outcome: str
    project_id: int | None
    project_url: str

    @property
    def created(self) -> bool:
        """Whether the batch reported that it made the project."""
        return self.outcome == Outcome.CREATED


@dataclass(frozen=True, slots=True)
class Results:
    """The results of a batch.

    Attributes:
        name: Name of the file, for messages.
        rows: All rows.
        made: The original sheet, with only the rows whose outcome is `created`.
        unreadable: Reason by line, for rows that can't be read.
        written: When the file was last written; `None` if that is not known.
    """

    name: str
    rows: tuple[Result, ...]
    made: Sheet
    unreadable: dict[int, str]
    written: datetime | None = None


def read_results(source: str, *, folder: str = "") -> Results:
    """The results in a file.

    Args:
        source: Path or URL of a `results.csv`.
        folder: Folder of the batch's sheet, to which `@path` cells and template files are relative; empty takes the one that a
            file on this machine names, or else the file's own.

    Raises:
        SheetUnreadable: The file can't be read at all.
        NotResults: It is not what a batch wrote.
    """
    sheet = read_sheet(source)
    missing = [name for name in _NEEDED if name not in sheet.columns]
    missing += [] if any(map(_is_title, sheet.columns)) else ["title"]
    if missing:
        raise NotResults(
            f"{sheet.name} has no column {', '.join(missing)}.",
            hint="Give the results.csv that a batch wrote with `output=DIR`.",
        )
    general = [problem for problem in sheet.problems if problem.line in (None, sheet.header_line)]
    if general:
        raise NotResults(f"{sheet.name}: {'; '.join(map(str, general))}")
    unreadable = {problem.line: explained([problem]) for problem in sheet.problems if problem.line}
    rows = tuple(_result(row) for row in sheet.rows)
    created = {row.line for row in rows if row.created and row.line not in unreadable}
    folder = folder or (_recorded(sheet, created) if sheet.folder else "")
    made = Sheet(
        name=sheet.name,
        columns=[name for name in sheet.columns if name not in _REPORTED],
        rows=[_input(row) for row in sheet.rows if row.line in created],
        folder=Path(folder).resolve() if folder else sheet.folder,
        rows_asker=PERSON.rows(str(Path(folder) / sheet.name)) if folder else sheet.rows_asker,
        header_line=sheet.header_line,
    )
    return Results(sheet.name, rows, made, unreadable, modified(source))


def check_label_studio(name: str, rows: Iterable[Result], url: str, *, sandbox: bool = False) -> None:
    """Check that all projects that the results call created are on this Label Studio.

    `localhost`, `127.0.0.1` and `[::1]` count as one host. The embedded sandbox has another port each time, so for the sandbox
    any address on this machine will do.

    Args:
        name: Name of the file, for messages.
        rows: The rows of its results.
        url: Label Studio's address.
        sandbox: Whether it is the embedded sandbox.

    Raises:
        NotResults: Some are on another one.
    """
    here = _site(url)
    elsewhere = dict.fromkeys(
        label_studio
        for row in rows
        if row.created and (label_studio := label_studio_of(row.project_url))
        if not (is_loopback(label_studio) if sandbox else _site(label_studio) == here)
    )
    if elsewhere:
        label_studios = ", ".join(list(elsewhere)[:_MOST_NAMED_LABEL_STUDIOS])
        asked = "the embedded sandbox" if sandbox else url
        raise NotResults(f"{name} is about projects on {label_studios}, but this is {asked}: nothing was deleted.")


def label_studio_of(project_url: str) -> str:
    """The Label Studio in a project's address; empty if it is no such address."""
    try:
        return base_address(project_url)
    except InvalidAddress:
        return ""


def _site(url: str) -> Site:
    """What two addresses of one Label Studio have in common: host, port and base path."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return "localhost" if host in _LOOPBACK else host, parts.port or _PORTS.get(parts.scheme), parts.path


def _result(row: Row) -> Result:
    url = _text(row, "project_url")
    named = _ID.fullmatch(_text(row, "project_id"))
    number = int(named[1]) if named else None
    agree = number is not None and label_studio_of(url) and urlsplit(url).path.endswith(f"/projects/{number}")
    line = _ID.fullmatch(_text(row, "line"))
    return Result(
        line=row.line,
        sheet_line=int(line[1]) if line else row.line,
        title=next((str(cell) for name, cell in row.cells.items() if _is_title(name)), ""),
        outcome=_text(row, "outcome").casefold(),
        project_id=number if agree else None,
        project_url=url,
    )


def _recorded(sheet: Sheet, lines: Collection[int]) -> str:
    """The sheet's folder according to these rows; empty if it does not exist, or if they name several."""
    folders = {_text(row, FOLDER_COLUMN) for row in sheet.rows if row.line in lines}
    folder = folders.pop() if len(folders) == 1 else ""
    return folder if folder and Path(folder).is_absolute() and Path(folder).is_dir() else ""


def _is_title(column: str) -> bool:
    return column.strip().casefold() == "title"


def _text(row: Row, column: str) -> str:
    cell = row.cells.get(column)
    return "" if cell is None else str(cell).strip()


def _input(row: Row) -> Row:
    return Row(row.line, {name: cell for name, cell in row.cells.items() if name not in _REPORTED})


def explained(problems: Iterable[Problem]) -> str:
    """The problems of one row in a sentence, without their place in the file and their codes."""
    return "; ".join(
        str(replace(problem, line=None)).removesuffix(f" [{problem.code}]").removesuffix(".") for problem in problems
    )
