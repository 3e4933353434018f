"""The folder or bucket of an inbox: lists the sheets in it, and moves them away with their results.

A sheet is moved last, after its results are written. If the run dies before that, the sheet is still there and is run
again, which leaves complete projects alone.
"""

import contextlib
import csv
import hashlib
import io
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.files import DEPLOYMENT, Asker, Folder, Unusable, within
from label_studio_stencil.inbox.errors import InboxUnusable
from label_studio_stencil.inbox.outcomes import Handled, SheetOutcome, outcome_of
from label_studio_stencil.problems import InvalidSheet, Problem
from label_studio_stencil.redaction import redact, visible
from label_studio_stencil.report.files import write_results
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.formulas import guard
from label_studio_stencil.sheet.sources import EXTENSIONS

#: Name of the file with the problems of a sheet.
PROBLEMS = "problems.csv"

#: Files beside a sheet that was moved away. A sheet with such a name, as a corrected `failed.csv` has it, gets another name.
_TAKEN = frozenset({"results.csv", "failed.csv", PROBLEMS})
#: Old Excel files can't be read, but are taken so that `problems.csv` says so.
_EXTENSIONS = EXTENSIONS | {"xls"}
#: Longest part of a sheet's name in the name of its folder, in bytes.
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class WaitingSheet:
    """A sheet in the inbox, as it was when it was listed.

    Attributes:
        name: Its file's name.
        url: Its path or URL.
        size: Bytes; -1 if the file system does not say.
        modified: Unix time of its last change by the file system's clock, in seconds; `None` if that has none.
        tag: Other attributes that change with the content.
    """

    name: str
    url: str
    size: int
    modified: float | None
    tag: str

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Whether it was not changed within so many seconds.

        A time in the future counts as quiet: it comes from a copy with the time of another machine.
        """
        return self.modified is None or abs(now - self.modified) >= seconds


class Inbox:
    """A folder or bucket with sheets, opened.

    Args:
        url: A path, or a URL of a store that files can be put into and moved in.

    Raises:
        InboxUnusable: It names no folder, or an unknown file system.
    """

    def __init__(self, url: str) -> None:
        given = url.strip()
        if not given.endswith("://"):
            given = given.rstrip("/") or given[:1]
        self.name = visible(redact(given))
        if not given:
            # This would be the current folder.
            raise InboxUnusable("''", "name a folder or a bucket.")
        with self._usable():
            self._folder = Folder(given)

    @property
    def key(self) -> str:
        """Eight hexadecimal digits, the same for all runs on this inbox."""
        return hashlib.sha256(self._folder.key.encode("utf-8", "replace")).hexdigest()[:8]

    @property
    def asker(self) -> Asker:
        """The rights of people who put sheets here: a link to a file outside opens nothing."""
        return within("a sheet in an inbox", self._folder.at("")) if self._folder.is_local else DEPLOYMENT

    def waiting(self) -> list[WaitingSheet]:
        """The sheets directly in the inbox, oldest first, including those that are still being written.

        Raises:
            InboxUnusable: It can't be listed.
        """
        with self._usable():
            found = [self._look(name) for name in self._folder.files() if is_sheet(name)]
        sheets = [sheet for sheet in found if sheet is not None]
        return sorted(sheets, key=lambda sheet: (sheet.modified or 0.0, sheet.name))

    def now(self) -> float:
        """Unix time by the file system's clock, in seconds: writes a file and deletes it again.

        The clock may be another machine's; by ours, a sheet that is being written could look old. This also checks that sheets
        can be moved from here, before one is run.

        Raises:
            InboxUnusable: Files can't be written here, or not deleted.
        """
        probe = f".stencil-{secrets.token_hex(8)}"
        with self._usable():
            self._folder.write(probe, b"")
            try:
                found = self._folder.entry(probe)
            finally:
                self._folder.remove(probe)
        return time.time() if found is None or found.modified is None else found.modified

    def change(self, sheet: WaitingSheet) -> SheetOutcome | None:
        """The change of a sheet since it was listed; `None` if there is none.

        Raises:
            InboxUnusable: The sheet can't be read.
        """
        with self._usable():
            found = self._look(sheet.name)
        if found is None:
            return SheetOutcome.GONE
        return None if found == sheet else SheetOutcome.WRITING

    def put_away(self, sheet: WaitingSheet, result: object, at: datetime | None = None) -> Handled:
        """Move a sheet that was run away with its results, unless it has to be run again, and return its outcome.

        Args:
            sheet: The sheet, as it was when it was run.
            result: The report of the run, or its error.
            at: Time of the run; by default now.

        Raises:
            InboxUnusable: It can't be moved.
            OutputUnwritable: Its results can't be written.
        """
        outcome, message = outcome_of(result)
        if outcome is SheetOutcome.LEFT:
            return Handled(sheet.name, outcome, message)
        change = self.change(sheet)
        if change is not None:
            return Handled(sheet.name, change, message)
        folder = self._new_folder(outcome, sheet.name, at or datetime.now(UTC))
        self._write(folder, result)
        self._move(sheet, folder)
        return Handled(sheet.name, outcome, message, f"{self.name}/{folder}")

    def _look(self, name: str) -> WaitingSheet | None:
        found = self._folder.entry(name)
        return (
            None if found is None else WaitingSheet(name, self._folder.at(name), found.size, found.modified, found.tag)
        )

    def _new_folder(self, outcome: SheetOutcome, name: str, at: datetime) -> str:
        """The path of a new folder, relative to the inbox."""
        short = name.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        stamp, number = f"{at.astimezone(UTC):%Y-%m-%dT%H%M%SZ}", 1
        folder = f"{outcome}/{stamp}-{short}"
        with self._usable():
            while self._folder.exists(folder):
                number += 1
                folder = f"{outcome}/{stamp}-{number}-{short}"
        return folder

    def _write(self, folder: str, result: object) -> None:
        if isinstance(result, BatchFailed):
            result = result.report
        if isinstance(result, Report):
            write_results(result, self._folder.at(folder))
            return
        problems = result.problems if isinstance(result, InvalidSheet) else [Problem("unreadable", str(result))]
        with self._usable():
            # A sheet can hold halves of surrogate pairs, which have no UTF-8.
            self._folder.write(f"{folder}/{PROBLEMS}", problems_csv(problems).encode("utf-8-sig", "replace"))

    def _move(self, sheet: WaitingSheet, folder: str) -> None:
        kept = f"sheet-{sheet.name}" if sheet.name.lower() in _TAKEN else sheet.name
        with self._usable():
            self._folder.move(sheet.name, f"{folder}/{kept}")

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Turn errors of the folder into `InboxUnusable`."""
        try:
            yield
        except Unusable as error:
            raise InboxUnusable(self.name, error.reason, hint=error.hint) from error


def is_sheet(name: str) -> bool:
    """Whether a file of this name is a sheet: not a hidden file, a spreadsheet's lock, or half of a download.

    Unfinished files of downloads and editors have their own extensions: `.part`, `.tmp`, `.crdownload`, `.csv~`.
    """
    stem, _, extension = name.rpartition(".")
    return bool(stem) and not name.startswith((".", "~$")) and extension.lower() in _EXTENSIONS


def problems_csv(problems: Sequence[Problem]) -> str:
    """The problems of a sheet as CSV, a line for each, with cells guarded against formulas."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["line", "column", "value", "code", "message"])
    for problem in problems:
        cells = (problem.column, problem.value, problem.code, problem.text)
        writer.writerow([problem.line, *(guard(cell or "") for cell in cells)])
    return text.getvalue()
