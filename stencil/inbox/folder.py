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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stencil.batch import BatchFailed
from stencil.inbox.errors import InboxUnusable, without_password
from stencil.inbox.fates import Fate, Handled, fate_of
from stencil.problems import InvalidSheet, Problem, StencilError, shown
from stencil.report import Report, write_results
from stencil.sheet import EXTENSIONS
from stencil.spreadsheet import guard

#: What is wrong with a sheet that was refused.
PROBLEMS = "problems.csv"

#: Files that lie beside a sheet that was put away; a sheet of such a name, as a mended `failed.csv` is one, gets another there.
_TAKEN = frozenset({"results.csv", "failed.csv", PROBLEMS})
#: An old Excel file can't be read, and who drops one is to be told so.
_EXTENSIONS = EXTENSIONS | {"xls"}
#: Where file systems keep the time of a file's last change.
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified")
#: What stores know of a file's content beside its size and time.
_TAGS = ("ETag", "etag", "generation")
#: Longest part of a sheet's name, in bytes, that its folder is named by.
_LONGEST_NAME = 200
_LONGEST_REASON = 300


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

    def settled(self, now: float, seconds: float) -> bool:
        """Whether it was not changed within so many seconds.

        A time to come, as that of a file copied with the time of another machine, is none of a file that is being written.
        """
        return self.modified is None or abs(now - self.modified) >= seconds


class Inbox:
    """A folder or bucket with sheets, opened.

    Args:
        url: A path, or any URL that fsspec opens for reading and writing.

    Raises:
        InboxUnusable: It names no folder, or a file system that can't be had.
    """

    def __init__(self, url: str) -> None:
        given = url.strip()
        if not given.endswith("://"):
            given = given.rstrip("/") or given[:1]
        self.name = without_password(given)
        if not given:
            # fsspec takes it for the current folder.
            raise InboxUnusable("''", "name a folder or a bucket.")
        with self._usable():
            self._system, path = url_to_fs(given)
        self._path = path.rstrip("/")
        # Sheets of a local inbox are run by their paths, so that their cells may name files beside them.
        self._local = isinstance(self._system, LocalFileSystem)
        self._url = self._path if self._local else given.removesuffix("/")

    @property
    def key(self) -> str:
        """Eight hexadecimal digits, the same for all who watch this inbox."""
        where = Path(self._path or "/").resolve().as_uri() if self._local else self.name
        return hashlib.sha256(where.encode("utf-8", "replace")).hexdigest()[:8]

    def waiting(self) -> list[WaitingSheet]:
        """The sheets directly in the inbox, the oldest first; those that are still being written too.

        Raises:
            InboxUnusable: It can't be listed.
        """
        with self._usable():
            found = [self._look(name) for name in self._names() if is_sheet(name)]
        sheets = [sheet for sheet in found if sheet is not None]
        return sorted(sheets, key=lambda sheet: (sheet.modified or 0.0, sheet.name))

    def now(self) -> float:
        """Unix time by the file system's own clock, in seconds: that of a file written just now, and deleted again.

        That clock may be another machine's: by ours, a sheet that is being written could look old. So it is known besides that
        sheets can be moved from here, before one is run.

        Raises:
            InboxUnusable: Nothing can be written here, or not deleted.
        """
        path = self._at(f".stencil-{secrets.token_hex(8)}")
        with self._usable():
            self._system.pipe_file(path, b"")
            try:
                now = self._modified(path, self._info(path))
            finally:
                self._system.rm_file(path)
        return time.time() if now is None else now

    def change(self, sheet: WaitingSheet) -> Fate | None:
        """What happened to a sheet since it was looked at; `None` where nothing did.

        Raises:
            InboxUnusable: It can't be looked at.
        """
        with self._usable():
            found = self._look(sheet.name)
        if found is None:
            return Fate.GONE
        return None if found == sheet else Fate.WRITING

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
        fate, told = fate_of(result)
        if fate is Fate.LEFT:
            return Handled(sheet.name, fate, told)
        change = self.change(sheet)
        if change is not None:
            return Handled(sheet.name, change, told)
        folder = self._new_folder(fate, sheet.name, at or datetime.now(UTC))
        self._write(folder, result)
        self._move(sheet, folder)
        return Handled(sheet.name, fate, told, f"{self.name}/{folder}")

    def _names(self) -> list[str]:
        path = self._path or "/"
        self._system.invalidate_cache()
        try:
            listed = self._system.ls(path, detail=True)
        except FileNotFoundError:
            if self._may_be_empty():
                return []
            raise InboxUnusable(self.name, "there is no such folder.") from None
        files = [entry["name"] for entry in listed if entry["type"] == "file"]
        if path in files:
            raise InboxUnusable(self.name, "this is a file; name the folder that sheets are put into.")
        return [name.rpartition("/")[2] for name in files]

    def _may_be_empty(self) -> bool:
        """Whether a folder that is not there may be one without files: where all are in buckets, there are no others."""
        bucket = self._path.partition("/")[0]
        return bool(bucket) and not self._local and bool(self._system.exists(bucket))

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _info(self, path: str) -> Mapping[str, object]:
        # Never from an earlier listing, which may be old, and may tell the same things in other words.
        self._system.invalidate_cache()
        info: Mapping[str, object] = self._system.info(path)
        return info

    def _look(self, name: str) -> WaitingSheet | None:
        path = self._at(name)
        try:
            info = self._info(path)
            modified = self._modified(path, info)
        except FileNotFoundError:
            return None
        tag = " ".join(f"{key}={info[key]}" for key in _TAGS if key in info)
        return WaitingSheet(name, f"{self._url}/{name}", _size(info), modified, tag)

    def _modified(self, path: str, info: Mapping[str, object]) -> float | None:
        for key in _TIMES:
            if info.get(key) is not None:
                return _seconds(info[key])
        try:
            return _seconds(self._system.modified(path))
        except NotImplementedError:
            return None

    def _new_folder(self, fate: Fate, name: str, at: datetime) -> str:
        """The name, from the inbox, of a folder that is not there yet."""
        short = name.encode("utf-8", "replace")[:_LONGEST_NAME].decode("utf-8", "ignore")
        stamp, number = f"{at.astimezone(UTC):%Y-%m-%dT%H%M%SZ}", 1
        folder = f"{fate}/{stamp}-{short}"
        with self._usable():
            self._system.invalidate_cache()
            while self._system.exists(self._at(folder)):
                number += 1
                folder = f"{fate}/{stamp}-{number}-{short}"
        return folder

    def _write(self, folder: str, result: object) -> None:
        if isinstance(result, BatchFailed):
            result = result.report
        if isinstance(result, Report):
            write_results(result, f"{self._url}/{folder}")
            return
        problems = result.problems if isinstance(result, InvalidSheet) else [Problem("unreadable", str(result))]
        with self._usable():
            # Stores without folders, or that let nobody list buckets, refuse this and take the file.
            with contextlib.suppress(OSError, NotImplementedError):
                self._system.makedirs(self._at(folder), exist_ok=True)
            # Halves of surrogate pairs, which a sheet can smuggle in, have no UTF-8.
            content = problems_csv(problems).encode("utf-8-sig", "replace")
            self._system.pipe_file(self._at(f"{folder}/{PROBLEMS}"), content)

    def _move(self, sheet: WaitingSheet, folder: str) -> None:
        kept = f"sheet-{sheet.name}" if sheet.name.lower() in _TAKEN else sheet.name
        source, target = self._at(sheet.name), self._at(f"{folder}/{kept}")
        with self._usable():
            if self._local:
                # Renames, where that is possible.
                self._system.mv(source, target)
                return
            try:
                # Before the file system's own `mv`, which may take a name with `[` or `*` for a pattern.
                self._system.cp_file(source, target)
            except NotImplementedError:
                self._system.mv(source, target)
                return
            if _size(self._info(target)) != sheet.size:
                raise InboxUnusable(self.name, f"the copy of {sheet.name} is not as large as the sheet.")
            self._system.rm_file(source)

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Turns what a file system raises into `InboxUnusable`."""
        try:
            yield
        except StencilError:
            raise
        except OSError as error:
            raise InboxUnusable(self.name, f"{shown(error.strerror or error)}.") from error
        except Exception as error:
            # Each store's library has errors of its own (no credentials, unknown protocol, missing package).
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:_LONGEST_REASON]}"
            raise InboxUnusable(self.name, reason) from error


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


def _size(info: Mapping[str, object]) -> int:
    size = info.get("size")
    return size if isinstance(size, int) else -1


def _seconds(moment: object) -> float | None:
    """Unix time of what a file system gives as a time, in whole seconds: some stores cut the rest from one answer of two."""
    if isinstance(moment, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(moment)
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return float(int(moment)) if isinstance(moment, int | float) else None
