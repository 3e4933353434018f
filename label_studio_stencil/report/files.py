"""Writes `results.csv` and `failed.csv`, for people, spreadsheets, and the next batch.

Both are UTF-8, separated by commas, or by semicolons if the sheet is. They begin with a byte order mark, without which Excel
on Windows garbles letters beyond ASCII. Cells that a spreadsheet would take for a formula are guarded, see
`label_studio_stencil.sheet.formulas`.
"""

import contextlib
import csv
import io
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from label_studio_stencil.files import PERSON, Asker, Folder, Unusable
from label_studio_stencil.problems import StencilError
from label_studio_stencil.redaction import holds_secrets, redact
from label_studio_stencil.report.cells import cell_text
from label_studio_stencil.report.masking import masked_cell
from label_studio_stencil.report.outcomes import Outcome, Scalar
from label_studio_stencil.report.report import ADDED_COLUMNS, FOLDER_COLUMN, Report, added_values
from label_studio_stencil.sheet.formulas import guard

RESULTS = "results.csv"
FAILED = "failed.csv"


class OutputUnwritable(StencilError):
    """Results can't be written to the output folder or URL."""

    def __init__(self, output: str, reason: str, *, hint: str = "") -> None:
        self.output, self.reason = redact(output), reason
        super().__init__(f"Results can't be written to {self.output}: {reason}", hint=hint)


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """The paths or URLs of the files of a report."""

    results: str
    failed: str


def results_csv(report: Report) -> str:
    """Every row: its input columns, then `ADDED_COLUMNS` and `FOLDER_COLUMN`.

    An input column with the name of an added column is left out, so that running a `results.csv` again doesn't
    double them. Passwords are masked. In a dry run the outcome reads `would be created`.
    """
    columns = report.input_columns
    shown = {outcome: outcome.shown(dry_run=report.dry_run) for outcome in Outcome}
    shows = [(name, _shown_text(name)) for name in columns]
    folder = guard(report.folder)
    rows = (
        [
            *[show(row.cells.get(name)) for name, show in shows],
            *[guard(value) if type(value) is str else value for value in added_values(row, shown[row.outcome])],
            folder,
        ]
        for row in report.rows
    )
    return _csv([*columns, *ADDED_COLUMNS, FOLDER_COLUMN], rows, report.separator)


def failed_csv(report: Report) -> str:
    """The rows that need attention, with input columns only: a sheet to correct and run again.

    It means the same in any folder: texts replace the files that cells named. Passwords are not masked, because the mask
    would be sent to Label Studio in their place. Without such rows the sheet is only a header.
    """
    return _failed_csv(report, lambda _, cell: cell)


def _failed_csv(report: Report, show: Callable[[str, object], object]) -> str:
    columns = report.input_columns
    cells = (row.cells if row.again is None else row.again for row in report.needs_attention)
    rows = ([cell_text(show(name, found.get(name))) for name in columns] for found in cells)
    # A single column shows no separator, and is read as if it were a comma.
    return _csv(columns, rows, report.separator if len(columns) > 1 else ",")


def shareable_failed_csv(report: Report) -> str | None:
    """`failed.csv` for a page that others see; `None` if its cells hold passwords or signed addresses.

    A mask in their place would be sent to Label Studio when the rows are run again.
    """
    text = failed_csv(report)
    return text if redact(_failed_csv(report, masked_cell)) == text else None


def check_output(output: str, asker: Asker = PERSON) -> None:
    """Check, before a batch starts, that results can be written to this folder or URL.

    Creates the folder, writes an empty file with a random name into it, and removes the file.

    Raises:
        OutputUnwritable: The folder can't be created or written.
    """
    probe = f".stencil-{secrets.token_hex(8)}"
    with _unwritable(output):
        folder = Folder(output, asker)
        folder.write(probe, b"")
    # Some stores let a user write but not delete. Then the empty file stays, and results can be written anyway.
    with contextlib.suppress(Unusable):
        folder.remove(probe)


def write_results(report: Report, output: str, asker: Asker = PERSON) -> ResultFiles:
    """Write both files to a folder or URL, and return their places.

    On a disk a file is replaced as a whole, so that nobody reads half of it, and only its owner may read it. `failed.csv` is
    written even if no row failed: otherwise one of an earlier batch could be run again by mistake.

    Raises:
        OutputUnwritable: The folder can't be created or written.
    """
    with _unwritable(output):
        folder = Folder(output, asker)
        results = folder.write(RESULTS, _encoded(results_csv(report)))
        failed = folder.write(FAILED, _encoded(failed_csv(report)))
    return ResultFiles(results=results, failed=failed)


@contextlib.contextmanager
def _unwritable(output: str) -> Iterator[None]:
    """Turn errors of the folder into `OutputUnwritable`."""
    try:
        yield
    except Unusable as exc:
        raise OutputUnwritable(exc.name or output, exc.reason, hint=exc.hint) from exc


def _encoded(text: str) -> bytes:
    # JSON can hold halves of surrogate pairs, which have no UTF-8.
    return text.encode("utf-8-sig", errors="replace")


def _shown_text(column: str) -> Callable[[object], str]:
    """The function that turns a cell of this column into text to show."""
    unwrapped = not holds_secrets(column)

    def text(value: object) -> str:
        # A shortcut: almost every cell is text without a secret, and a report may have a million.
        return guard(value) if unwrapped and type(value) is str else cell_text(masked_cell(column, value))

    return text


def _csv(header: Sequence[str], rows: Iterable[Sequence[Scalar]], separator: str) -> str:
    text = io.StringIO(newline="")
    # Whoever reads it finds the separator in the header, outside of quotes.
    other = any(mark in name for name in header for mark in ",;\t|")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if separator == ";" and other else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator="\r\n", quoting=quoting).writerow(map(guard, header))
    csv.writer(text, delimiter=separator, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
