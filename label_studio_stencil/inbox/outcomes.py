"""The outcomes of an inbox's sheets, decided by how the run of each ended."""

from dataclasses import dataclass
from enum import StrEnum

from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.problems import InvalidSheet, StencilError, counted
from label_studio_stencil.redaction import visible
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.model import SheetUnreadable


class SheetOutcome(StrEnum):
    """The outcome of a sheet in the inbox.

    Attributes:
        DONE: All its rows are ok.
        FAILED: The sheet has problems, or some of its rows need attention.
        LEFT: It was not run to its end, for a reason outside of the sheet; the next run tries it again.
        WRITING: It was changed just now, or while it was run; the next run tries it.
        GONE: It was removed.
    """

    DONE = "done"
    FAILED = "failed"
    LEFT = "left for the next time"
    WRITING = "still being written"
    GONE = "taken away meanwhile"


@dataclass(frozen=True, slots=True)
class Handled:
    """The outcome of one sheet.

    Attributes:
        name: The sheet.
        outcome: Its outcome.
        message: The report's sentence, or why there is none; empty if it was not run.
        folder: The folder with the sheet and its results; empty if it was not moved.
    """

    name: str
    outcome: SheetOutcome
    message: str = ""
    folder: str = ""

    def __str__(self) -> str:
        """One line for the log."""
        return visible("; ".join(filter(None, (f"{self.name}: {self.outcome}", self.message, self.folder))))


@dataclass(frozen=True, slots=True)
class Poll:
    """The outcomes of one run on an inbox."""

    sheets: tuple[Handled, ...] = ()

    def of(self, *outcomes: SheetOutcome) -> tuple[Handled, ...]:
        """The sheets with one of these outcomes."""
        return tuple(sheet for sheet in self.sheets if sheet.outcome in outcomes)

    @property
    def sentence(self) -> str:
        """One line: `2 sheets: 1 done, 1 failed; 1 still being written`."""
        run = (SheetOutcome.DONE, SheetOutcome.FAILED, SheetOutcome.LEFT)
        new = f"{counted(len(self.of(*run)), 'sheet')}: {', '.join(self._counts(*run))}"
        return "; ".join(
            [new if self.of(*run) else "no new sheet", *self._counts(SheetOutcome.WRITING, SheetOutcome.GONE)]
        )

    def _counts(self, *outcomes: SheetOutcome) -> list[str]:
        return [f"{len(self.of(outcome))} {outcome}" for outcome in outcomes if self.of(outcome)]


class SheetsLeft(StencilError):
    """Sheets stay in the inbox for a reason outside of the sheets; `poll` has all outcomes."""

    def __init__(self, poll: Poll) -> None:
        self.poll = poll
        reasons = [visible(f"{sheet.name}: {sheet.message}") for sheet in poll.of(SheetOutcome.LEFT)]
        super().__init__("\n  ".join([poll.sentence, *reasons]))


def outcome_of(result: object) -> tuple[SheetOutcome, str]:
    """The outcome of a sheet by the result of its run, with the reason as a sentence.

    Args:
        result: A report, or the error of the run.
    """
    match result:
        case BatchFailed():
            return outcome_of(result.report)
        case Report() if result.ok:
            return SheetOutcome.DONE, result.sentence
        case Report():
            # A batch without a limit of failures stops if Label Studio does not accept the token any more.
            return SheetOutcome.LEFT if result.stopped else SheetOutcome.FAILED, result.sentence
        case InvalidSheet():
            return SheetOutcome.FAILED, f"{counted(len(result.problems), 'problem')}; nothing was created"
        case SheetUnreadable():
            return SheetOutcome.LEFT if _lacks_a_package(result) else SheetOutcome.FAILED, str(result)
        case StencilError():
            return SheetOutcome.LEFT, str(result)
        case _:
            return SheetOutcome.LEFT, f"its run ended with {type(result).__name__}; the run's log says more"


def _lacks_a_package(error: BaseException | None) -> bool:
    """Whether a sheet can't be read because its format needs a package that is not installed."""
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__ or error.__context__
    return error is not None
