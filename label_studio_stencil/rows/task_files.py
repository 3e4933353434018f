"""Reads files of tasks: JSON in Label Studio's format, or a table in any format of sheets."""

import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from label_studio_stencil.files import Asker, file_name, read
from label_studio_stencil.json_value import JSON
from label_studio_stencil.rows.predictions import BadLabels, Labelled, labelled
from label_studio_stencil.rows.steps import MOST_IN_TASK_FILE, BadStep, content_digest, tasks_in
from label_studio_stencil.sheet.formats import table_of
from label_studio_stencil.sheet.leftovers import note_formula_errors
from label_studio_stencil.sheet.model import SheetUnreadable, Table
from label_studio_stencil.sheet.sources import split_worksheet

#: Most tasks in one import.
MOST_TASKS = 250_000
#: Largest request in bytes (measured on Community 1.23.2).
MOST_SENT = 250 * 1024 * 1024
#: Most memory for the values of a JSON file, in bytes, and the most that each object, list and other value needs.
MOST_MEMORY = 2_000_000_000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_NEEDS = ((b"{", 232), (b"[", 88), (b",", 32))


class Tasks(NamedTuple):
    """The content of a file of tasks.

    Attributes:
        tasks: Tasks in Label Studio's format.
        keys: Fields that the data of all tasks have.
        notes: Sentences about how the file was read.
        labelled: Predictions and annotations within the tasks.
        digest: 16 hex digits for the content; empty if it was not a file.
    """

    tasks: list[JSON]
    keys: frozenset[str]
    notes: tuple[str, ...] = ()
    labelled: Labelled = Labelled()
    digest: str = ""


def open_tasks(where: str, asker: Asker) -> Tasks:
    """The tasks of a file at a path or URL; `tasks.xlsx#Name` names a worksheet.

    Raises:
        Unusable: The file can't be opened, or is too large.
        BadStep: The file holds no tasks, too many, or something else.
    """
    path, worksheet = split_worksheet(where)
    content = read(path, asker, most=MOST_IN_TASK_FILE)
    found = read_tasks(content, file_name(path), worksheet)
    return found._replace(digest=content_digest(content + f"#{worksheet}".encode() if worksheet else content))


def read_tasks(content: bytes, name: str, worksheet: str = "") -> Tasks:
    """The tasks of a file: a JSON list, JSON lines, or a table with a column for each field of the data.

    Args:
        content: The whole file.
        name: Its name. The extension counts if the content doesn't show the format.
        worksheet: Worksheet of a workbook; empty takes the first visible one.

    Raises:
        BadStep: The file holds no tasks, too many, or something else.
    """
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"[", b"{"):
        _refuse_costly(content, name)
        found = Tasks(tasks_in(content, name), frozenset())
    else:
        found = _of_table(content, name, worksheet)
    if len(found.tasks) > MOST_TASKS:
        raise BadStep(
            f"{name} holds {len(found.tasks):,} tasks, and Label Studio takes {MOST_TASKS:,} at once: split it"
        )
    _refuse_large(found.tasks, name)
    try:
        more = labelled(found.tasks)
    except BadLabels as error:
        raise BadStep(f"{name}: {error}; Label Studio refuses such a file, or imports only its tasks") from None
    return found._replace(keys=_keys_of_all(found.tasks), labelled=more, notes=(*found.notes, *more.notes))


def _refuse_costly(content: bytes, name: str) -> None:
    """Reject a JSON file whose values need far more memory than its text."""
    if sum(content.count(mark) * needs for mark, needs in _NEEDS) > MOST_MEMORY:
        raise BadStep(f"{name} holds more values than fit into {MOST_MEMORY // 1_000_000:,} MB of memory: split it")


def _refuse_large(tasks: list[JSON], name: str) -> None:
    """Reject tasks that need more than one request, or can't be sent."""
    size = 0
    try:
        for number, task in enumerate(tasks, start=1):
            text = json.dumps(task, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
            if _NUL.search(text):
                raise BadStep(
                    f"task {number} of {name} holds a NUL, which Label Studio on PostgreSQL can't store: remove it"
                )
            try:
                size += len(text.encode()) + 1
            except UnicodeEncodeError:
                # Community 1.23.2 on SQLite accepts it, and from then on answers 500 to anybody who opens the project's tasks.
                raise BadStep(
                    f"task {number} of {name} holds an unpaired surrogate, which Label Studio can't show: remove it"
                ) from None
            if size > MOST_SENT:
                raise BadStep(f"{name} is more than {MOST_SENT // 1_000_000} MB of JSON: split it")
    except RecursionError:
        raise BadStep(f"{name} is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, BadStep):
            raise
        raise BadStep(f"{name} holds NaN or Infinity, which JSON does not have: write null instead") from None


def _of_table(content: bytes, name: str, worksheet: str) -> Tasks:
    suffix = PurePosixPath(name.partition("?")[0]).suffix.lower().removeprefix(".")
    try:
        table = table_of(content, name, suffix, worksheet=worksheet)
    except SheetUnreadable as error:
        # Its hint may be to name an encoding, which counts for the sheet alone.
        hint = "" if "`encoding=" in error.hint else error.hint
        raise BadStep(f"{name}: {error.message.rstrip('.')}", hint=hint) from None
    note_formula_errors(table)
    if table.problems:
        raise BadStep(f"{name} can't be read as tasks: {_first(table)}")
    if not table.rows:
        raise BadStep(f"{name} holds no tasks")
    tasks: list[JSON] = [{column: _sendable(cell) for column, cell in row.cells.items()} for row in table.rows]
    return Tasks(tasks, frozenset(), tuple(f"{_without_option(note)}." for note in table.notes))


def _without_option(message: str) -> str:
    """The note without the advice to name an encoding, which applies to sheets only."""
    return message.partition(" If that is wrong")[0].rstrip(".")


def _first(table: Table) -> str:
    """The first problem, without quotes from the file, and the number of problems."""
    first, rest = table.problems[0], len(table.problems) - 1
    place = f"line {first.line}: " if first.line else ""
    return f"{place}{first.text.rstrip('.')}" + (f" (and {rest:,} more)" if rest else "")


def _sendable(cell: object) -> JSON:
    if cell is None or isinstance(cell, str | bool | int | float):
        return cell
    if isinstance(cell, list):
        return [_sendable(part) for part in cell]
    if isinstance(cell, Mapping):
        return {str(name): _sendable(part) for name, part in cell.items()}
    return str(cell)


def _keys_of_all(tasks: list[JSON]) -> frozenset[str]:
    keys: set[str] | None = None
    for task in tasks:
        data = task.get("data", task) if isinstance(task, Mapping) else {}
        names = data.keys() if isinstance(data, Mapping) else ()
        keys = set(names) if keys is None else keys & set(names)
        if not keys:
            break
    return frozenset(keys or ())
