"""What is wrong with a sheet, as data.

Every check of a sheet, a template or a workspace collects problems instead of raising the first one, so that a person
mends the sheet once. A problem names its place, carries a stable code that scripts may rely on, and says what to do.
"""

from collections.abc import Sequence
from dataclasses import dataclass

#: Longest part of a cell's value that a message repeats; a cell may hold a megabyte.
SHOWN_VALUE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a row, or the whole sheet, from being carried out.

    Attributes:
        code: Stable slug, such as `title-too-long`.
        message: One sentence that says what is wrong and what to do about it.
        line: Number of the row in its file (the header is line 1), or `None` where the problem is the sheet's.
        column: Name of the column, or `None` where the problem is the row's.
        value: The cell as it was read, cut to `SHOWN_VALUE_LENGTH` characters and without line breaks; `None` where there is
            none to show or where it must not be shown (passwords).
    """

    code: str
    message: str
    line: int | None = None
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        """One line: place, value, sentence, code."""
        place = [f"line {self.line}"] if self.line is not None else []
        place += [f"column {self.column}"] if self.column is not None else []
        shown = f" {self.value!r}:" if self.value is not None else ""
        prefix = f"{', '.join(place)}:" if place else ""
        return f"{prefix}{shown} {self.message} [{self.code}]".strip()


class StencilError(Exception):
    """Base of what the engine raises on purpose: its text is a sentence for the user, never a traceback's business."""


class InvalidSheet(StencilError):
    """The sheet can't be carried out as it is; nothing was created.

    Attributes:
        sheet: The sheet's name.
        problems: All that is wrong with it.
        notes: Sentences about how it was read, which may explain the problems.
    """

    def __init__(self, sheet: str, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        self.sheet = sheet
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        shown = "\n".join(f"  {problem}" for problem in self.problems[:MOST_SHOWN])
        rest = len(self.problems) - MOST_SHOWN
        more = f"\n  ... and {rest} more" if rest > 0 else ""
        noted = "".join(f"\n  Note: {note}" for note in self.notes)
        super().__init__(
            f"{sheet}: {counted(len(self.problems), 'problem')}; nothing was created.\n{shown}{more}{noted}"
        )


#: Problems that the text of an `InvalidSheet` spells out; `problems` holds all of them.
MOST_SHOWN = 200


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object) -> str:
    """A cell's value as one line, cut to `SHOWN_VALUE_LENGTH` characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN_VALUE_LENGTH else text[: SHOWN_VALUE_LENGTH - 1] + "…"
