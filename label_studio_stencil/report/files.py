"""`results.csv` and `failed.csv`: the report as files, for people, spreadsheets, and the next batch.

Both are comma-separated UTF-8 with the byte order mark without which Excel on Windows garbles every letter
beyond ASCII. Cells that a spreadsheet would take for a formula are guarded as `label_studio_stencil.sheet.formulas` says.
"""

import contextlib
import csv
import io
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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
    """Results can't be written where they were asked to go."""

    def __init__(self, output: str, reason: str) -> None:
        self.output, self.reason = redact(output), reason
        super().__init__(f"Results can't be written to {self.output}: {reason}")


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where the files of a report are: paths, or URLs."""

    results: str
    failed: str


def results_csv(report: Report) -> str:
    """Every row: its input columns, then `ADDED_COLUMNS` and `FOLDER_COLUMN`.

    An input column that bears the name of an added one gives way to it, so that a `results.csv` that is fed
    back does not double them. Passwords are masked. In a dry run the outcome reads `would be created`.
    """
    columns = report.input_columns
    told = {outcome: outcome.told(dry_run=report.dry_run) for outcome in Outcome}
    shows = [(name, _shown_text(name)) for name in columns]
    folder = guard(report.folder)
    rows = (
        [
            *[show(row.cells.get(name)) for name, show in shows],
            *[guard(value) if type(value) is str else value for value in added_values(row, told[row.outcome])],
            folder,
        ]
        for row in report.rows
    )
    return _csv([*columns, *ADDED_COLUMNS, FOLDER_COLUMN], rows)


def failed_csv(report: Report) -> str:
    """The rows that need attention, with input columns only: a sheet to correct and run again.

    Read again, from whatever folder, it means what was read the first time: texts stand in place of the files that
    cells named. So a password in it is the password: it is
    the user's own input, and a mask would be sent to Label Studio in its place. Without such rows it is the
    header alone.
    """
    columns = report.input_columns
    cells = (row.cells if row.again is None else row.again for row in report.needs_attention)
    return _csv(columns, ([cell_text(found.get(name)) for name in columns] for found in cells))


def check_output(output: str, asker: Asker = PERSON) -> None:
    """Returns where results can be written to this folder or URL; to be called before a batch starts.

    Creates the folder, writes an empty file of a name of its own into it, and takes that away again.

    Raises:
        OutputUnwritable: The folder can't be created or written.
    """
    probe = f".stencil-{secrets.token_hex(8)}"
    with _unwritable(output):
        folder = Folder(output, asker)
        folder.write(probe, b"")
    # Some stores let a user write and not delete: an empty file stays, and results can be written anyway.
    with contextlib.suppress(Unusable):
        folder.remove(probe)


def write_results(report: Report, output: str, asker: Asker = PERSON) -> ResultFiles:
    """Writes both files into a folder, or under a URL, and returns where they are.

    On a disk a file is replaced as a whole, so that nobody reads half of one, and only its owner may read it. `failed.csv` is
    written also where no row failed: one that an earlier batch left would be fed back by mistake.

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
    """Turns what a folder can't do into `OutputUnwritable`."""
    try:
        yield
    except Unusable as exc:
        raise OutputUnwritable(exc.name or output, exc.reason) from exc


def _encoded(text: str) -> bytes:
    # Halves of surrogate pairs, which JSON can smuggle in, have no UTF-8; a report is not lost over one.
    return text.encode("utf-8-sig", errors="replace")


def _shown_text(column: str) -> Callable[[object], str]:
    """What turns a cell of this column into text that may be shown."""
    unwrapped = not holds_secrets(column)

    def text(value: object) -> str:
        # Almost every cell is text without a secret, and a report has a million of them.
        return guard(value) if unwrapped and type(value) is str else cell_text(masked_cell(column, value))

    return text


def _csv(header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(map(guard, header))
    writer.writerows(rows)
    return text.getvalue()
