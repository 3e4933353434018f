"""The folder or bucket itself: which sheets wait in it, which are settled, and how a sheet is put away.

A sheet is moved last, after its results are written: where a run dies before, the sheet is still there and is run again, which
leaves finished projects alone.
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

#: What is wrong with a sheet that was refused.
PROBLEMS = "problems.csv"

#: Files that lie beside a sheet that was put away; a sheet of such a name, as a mended `failed.csv` is one, gets another there.
_TAKEN = frozenset({"results.csv", "failed.csv", PROBLEMS})
#: An old Excel file can't be read, and who drops one is to be told so.
_EXTENSIONS = EXTENSIONS | {"xls"}
#: Longest part of a sheet's name, in bytes, that its folder is named by.
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class WaitingSheet:
    """A sheet in the inbox, as it was when it was looked at.

    Attributes:
        name: Its file's name.
        url: What opens it: a path or a URL.
        size: Bytes; -1 where the file system does not say.
        modified: Unix time of its last change by the file system's clock, in seconds; `None` where that tells none.
        tag: What else tells this content from another.
    """

    name: str
    url: str
    size: int
    modified: float | None
    tag: str

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Whether it was not changed within so many seconds.

        A time to come, as that of a file copied with the time of another machine, is none of a file that is being written.
        """
        return self.modified is None or abs(now - self.modified) >= seconds


class Inbox:
    """A folder or bucket with sheets, opened.

    Args:
        url: A path, or a URL of a store that files can be put into and moved in.

    Raises:
        InboxUnusable: It names no folder, or a file system that can't be had.
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
        """Eight hexadecimal digits, the same for all who watch this inbox."""
        return hashlib.sha256(self._folder.key.encode("utf-8", "replace")).hexdigest()[:8]

    @property
    def asker(self) -> Asker:
        """Whoever puts sheets in here: a link that leads out of it opens nothing."""
        return within("a sheet in an inbox", self._folder.at("")) if self._folder.is_local else DEPLOYMENT

    def waiting(self) -> list[WaitingSheet]:
        """The sheets directly in the inbox, the oldest first; those that are still being written too.

        Raises:
            InboxUnusable: It can't be listed.
        """
        with self._usable():
            found = [self._look(name) for name in self._folder.files() if is_sheet(name)]
        sheets = [sheet for sheet in found if sheet is not None]
        return sorted(sheets, key=lambda sheet: (sheet.modified or 0.0, sheet.name))

    def now(self) -> float:
        """Unix time by the file system's own clock, in seconds: that of a file written just now, and deleted again.

        That clock may be another machine's: by ours, a sheet that is being written could look old. So it is known besides that
        sheets can be moved from here, before one is run.

        Raises:
            InboxUnusable: Nothing can be written here, or not deleted.
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
        """What happened to a sheet since it was looked at; `None` where nothing did.

        Raises:
            InboxUnusable: It can't be looked at.
        """
        with self._usable():
            found = self._look(sheet.name)
        if found is None:
            return SheetOutcome.GONE
        return None if found == sheet else SheetOutcome.WRITING

    def put_away(self, sheet: WaitingSheet, result: object, at: datetime | None = None) -> Handled:
        """What became of a sheet that was run; it is moved away with its results, unless it is to be run again.

        Args:
            sheet: As it was when it was run.
            result: The report of the run, or the error that it ended with.
            at: When that was; by default now.

        Raises:
            InboxUnusable: It can't be moved.
            OutputUnwritable: Its results can't be written.
        """
        outcome, told = outcome_of(result)
        if outcome is SheetOutcome.LEFT:
            return Handled(sheet.name, outcome, told)
        change = self.change(sheet)
        if change is not None:
            return Handled(sheet.name, change, told)
        folder = self._new_folder(outcome, sheet.name, at or datetime.now(UTC))
        self._write(folder, result)
        self._move(sheet, folder)
        return Handled(sheet.name, outcome, told, f"{self.name}/{folder}")

    def _look(self, name: str) -> WaitingSheet | None:
        found = self._folder.entry(name)
        return (
            None if found is None else WaitingSheet(name, self._folder.at(name), found.size, found.modified, found.tag)
        )

    def _new_folder(self, outcome: SheetOutcome, name: str, at: datetime) -> str:
        """The name, from the inbox, of a folder that is not there yet."""
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
            # Halves of surrogate pairs, which a sheet can smuggle in, have no UTF-8.
            self._folder.write(f"{folder}/{PROBLEMS}", problems_csv(problems).encode("utf-8-sig", "replace"))

    def _move(self, sheet: WaitingSheet, folder: str) -> None:
        kept = f"sheet-{sheet.name}" if sheet.name.lower() in _TAKEN else sheet.name
        with self._usable():
            self._folder.move(sheet.name, f"{folder}/{kept}")

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Turns what its folder can't do into `InboxUnusable`."""
        try:
            yield
        except Unusable as error:
            raise InboxUnusable(self.name, error.reason) from error


def is_sheet(name: str) -> bool:
    """Whether a file of this name is a sheet: not a hidden file, a spreadsheet's lock, or half of a download.

    What a download or an editor has not finished bears an extension of its own: `.part`, `.tmp`, `.crdownload`, `.csv~`.
    """
    stem, _, extension = name.rpartition(".")
    return bool(stem) and not name.startswith((".", "~$")) and extension.lower() in _EXTENSIONS


def problems_csv(problems: Sequence[Problem]) -> str:
    """What is wrong with a sheet, a line for each problem, in cells that a spreadsheet takes for no formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["line", "column", "value", "code", "message"])
    for problem in problems:
        cells = (problem.column, problem.value, problem.code, problem.message)
        writer.writerow([problem.line, *(guard(cell or "") for cell in cells)])
    return text.getvalue()
