"""`results.csv` and `failed.csv`: the report as files, for people, spreadsheets, and the next batch.

Both are comma-separated UTF-8 with the byte order mark without which Excel on Windows garbles every letter
beyond ASCII. Cells that a spreadsheet would take for a formula are guarded as `stencil.spreadsheet` says.
"""

import contextlib
import csv
import io
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from stencil.problems import StencilError, shown
from stencil.report.batch import ADDED_COLUMNS, Report, added_values
from stencil.report.cells import cell_text
from stencil.report.masking import holds_secrets, masked_cell
from stencil.report.outcomes import Outcome, Scalar
from stencil.spreadsheet import guard

RESULTS = "results.csv"
FAILED = "failed.csv"

_REASON_LENGTH = 300


class OutputUnwritable(StencilError):
    """Results can't be written where they were asked to go."""

    def __init__(self, output: str, reason: str) -> None:
        self.output = _without_password(output)
        self.reason = reason
        super().__init__(f"Results can't be written to {self.output}: {reason}")


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where the files of a report are: paths, or URLs."""

    results: str
    failed: str


def results_csv(report: Report) -> str:
    """Every row: its input columns, then `ADDED_COLUMNS`.

    An input column that bears the name of an added one gives way to it, so that a `results.csv` that is fed
    back does not double them. Passwords are masked. In a dry run the outcome reads `would be created`.
    """
    columns = report.input_columns
    told = {outcome: outcome.told(dry_run=report.dry_run) for outcome in Outcome}
    shows = [(name, _shown_text(name)) for name in columns]
    rows = (
        [
            *[show(row.cells.get(name)) for name, show in shows],
            *[guard(value) if type(value) is str else value for value in added_values(row, told[row.outcome])],
        ]
        for row in report.rows
    )
    return _csv([*columns, *ADDED_COLUMNS], rows)


def failed_csv(report: Report) -> str:
    """The rows that are not well, input columns alone: a sheet to be mended and fed back as it is.

    Read again, from whatever folder, it means what was read the first time: texts stand in place of the files that
    cells named. So a password in it is the password: it is
    the user's own input, and a mask would be sent to the studio in its place. Without such rows it is the
    header alone.
    """
    columns = report.input_columns
    cells = (row.cells if row.again is None else row.again for row in report.not_well)
    return _csv(columns, ([cell_text(found.get(name)) for name in columns] for found in cells))


def check_output(output: str) -> None:
    """Returns where results can be written to this folder or URL; to be called before a batch starts.

    Creates the folder, writes an empty file of a name of its own into it, and takes that away again.

    Raises:
        OutputUnwritable: The folder can't be created or written.
    """
    folder = _folder(output)
    probe = f".stencil-{secrets.token_hex(8)}"
    with _unwritable(output):
        folder.write(probe, b"")
    # Some stores let a user write and not delete: an empty file stays, and results can be written anyway.
    with contextlib.suppress(OSError):
        folder.remove(probe)


def write_results(report: Report, output: str) -> ResultFiles:
    """Writes both files into a folder, or under a URL that fsspec opens, and returns where they are.

    In a local folder a file is replaced as a whole, so that nobody reads half of one. `failed.csv` is written
    also where no row failed: one that an earlier batch left would be fed back by mistake.

    Raises:
        OutputUnwritable: The folder can't be created or written.
    """
    folder = _folder(output)
    with _unwritable(output):
        results = folder.write(RESULTS, _encoded(results_csv(report)))
        failed = folder.write(FAILED, _encoded(failed_csv(report)))
    return ResultFiles(results=results, failed=failed)


class _Folder(Protocol):
    """Where files go."""

    def write(self, name: str, content: bytes) -> str:
        """Where the file is, once it is there as a whole."""

    def remove(self, name: str) -> None:
        """Takes the file away."""


@dataclass(frozen=True, slots=True)
class _LocalFolder:
    """A folder of this machine."""

    path: Path

    def write(self, name: str, content: bytes) -> str:
        self.path.mkdir(parents=True, exist_ok=True)
        target = self.path / name
        half = self.path / f".{name}.{secrets.token_hex(4)}"
        try:
            half.write_bytes(content)
            half.replace(target)
        except OSError:
            half.unlink(missing_ok=True)
            raise
        return str(target)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()


@dataclass(frozen=True, slots=True)
class _RemoteFolder:
    """A folder of any file system that fsspec knows."""

    system: AbstractFileSystem
    path: str

    def write(self, name: str, content: bytes) -> str:
        # Stores without folders, or that let nobody list buckets, refuse this and take the file.
        with contextlib.suppress(OSError, NotImplementedError):
            self.system.makedirs(self.path, exist_ok=True)
        target = f"{self.path.rstrip('/')}/{name}"
        self.system.pipe_file(target, content)
        return str(self.system.unstrip_protocol(target))

    def remove(self, name: str) -> None:
        self.system.rm_file(f"{self.path.rstrip('/')}/{name}")


def _folder(output: str) -> _Folder:
    with _unwritable(output):
        system, path = url_to_fs(output)
    if isinstance(system, LocalFileSystem):
        # The path is shown as it was given, not as fsspec resolves it.
        return _LocalFolder(Path(path if "://" in output else output).expanduser())
    return _RemoteFolder(system, path)


@contextlib.contextmanager
def _unwritable(output: str) -> Iterator[None]:
    """Turns what a file system raises into `OutputUnwritable`."""
    try:
        yield
    except FileExistsError as exc:
        raise OutputUnwritable(output, "it, or a folder above it, is a file and not a folder.") from exc
    except OSError as exc:
        raise OutputUnwritable(output, f"{shown(exc.strerror or exc)}.") from exc
    except Exception as exc:
        # Each store's library has errors of its own (no credentials, unknown protocol, missing package).
        reason = f"{type(exc).__name__}: {' '.join(str(exc).split())[:_REASON_LENGTH]}"
        raise OutputUnwritable(output, _without_password(reason)) from exc


def _without_password(text: str) -> str:
    """The text, its URLs without the user and password that they may carry."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def _encoded(text: str) -> bytes:
    # Halves of surrogate pairs, which JSON can smuggle in, have no UTF-8; a report is not lost over one.
    return text.encode("utf-8-sig", errors="replace")


def _shown_text(column: str) -> Callable[[object], str]:
    """What turns a cell of this column into text that may be shown."""
    plain = not holds_secrets(column)

    def text(value: object) -> str:
        # Almost every cell is text without a secret, and a report has a million of them.
        return guard(value) if plain and type(value) is str else cell_text(masked_cell(column, value))

    return text


def _csv(header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(map(guard, header))
    writer.writerows(rows)
    return text.getvalue()
