"""What is wrong with a sheet, as data.

Every check of a sheet, a template or a workspace collects problems instead of raising the first one, so that a person
fixes the sheet once. A problem names its place, carries a stable code that scripts may rely on, and says what to do.
"""

import copyreg
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Longest part of a cell's value that a message repeats; a cell may hold a megabyte.
SHOWN_VALUE_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that keeps a row, or the whole sheet, from being carried out.

    Attributes:
        code: Stable slug, such as `title-too-long`.
        message: One sentence that says what is wrong.
        line: Line of the row in its file (the header is line 1); `None` if the problem is the sheet's.
        column: Name of the column; `None` if the problem is the row's.
        value: The cell as it was read, cut to `SHOWN_VALUE_LENGTH` characters and without line breaks; `None` if there is
            none to show, or if it must not be shown (passwords).
        hint: What to do about it: a sentence with the value or option to use; empty if the entry of the code says it all.
    """

    code: str
    message: str
    line: int | None = None
    column: str | None = None
    value: str | None = None
    hint: str = ""

    @property
    def text(self) -> str:
        """What is wrong and what to do about it, in one line."""
        return f"{self.message} {self.hint}".rstrip()

    def __str__(self) -> str:
        """One line: place, value, sentence, hint, code."""
        return str(ProblemGroup((self,)))


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """Problems that have one cause, shown as one.

    Attributes:
        problems: All of them, at least one. They have the same column and code, and their messages differ only in numbers.
    """

    problems: tuple[Problem, ...]

    @property
    def lines(self) -> str:
        """Where they are: `7`, or `2, 3, 4 and 597 more`; empty where they are the whole sheet's."""
        return listed([str(each.line) for each in self.problems if each.line is not None], most=3)

    @property
    def values(self) -> str:
        """Their values: `'a', 'b' and 3 more`; empty where they have none."""
        return listed(list(dict.fromkeys(repr(each.value) for each in self.problems if each.value is not None)), most=5)

    @property
    def message(self) -> str:
        """What is wrong with the first of them, and what to do; where the others differ, it is an example."""
        first = self.problems[0].message
        return first if all(each.message == first for each in self.problems) else f"for example, {first}"

    @property
    def hint(self) -> str:
        """What to do about the first of them."""
        return self.problems[0].hint

    @property
    def text(self) -> str:
        """What is wrong and what to do about it, in one line."""
        return f"{self.message} {self.hint}".rstrip()

    def __str__(self) -> str:
        """One line: places, values, sentence, hint, code."""
        return self._line(self.text)

    @property
    def without_hint(self) -> str:
        """One line: places, values, sentence, code."""
        return self._line(self.message)

    def _line(self, text: str) -> str:
        first, lines = self.problems[0], self.lines
        place = [f"{'line' if len(self.problems) == 1 else 'lines'} {lines}"] if lines else []
        place += [f"column {first.column}"] if first.column is not None else []
        shown = [f"{', '.join(place)}:"] if place else []
        shown += [f"{self.values}:"] if self.values else []
        return " ".join([*shown, text, f"[{first.code}]"])


def grouped(problems: Iterable[Problem]) -> list[ProblemGroup]:
    """The problems by their cause, in the order of the first problem of each: a whole column may be wrong in the same way.

    If a line has the same problem twice, these count as two causes.
    """
    groups: dict[object, list[Problem]] = {}
    times: Counter[object] = Counter()
    for problem in problems:
        cause = (problem.code, problem.column, _NUMBER.sub("0", problem.message), _NUMBER.sub("0", problem.hint))
        times[cause, problem.line] += 1
        groups.setdefault((cause, times[cause, problem.line]), []).append(problem)
    return [ProblemGroup(tuple(group)) for group in groups.values()]


_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class StencilError(Exception):
    """Base of all errors that are raised on purpose: the text is for the user.

    Attributes:
        message: What happened.
        hint: What to do about it: a sentence with the command or value to use; empty if there is nothing to say.
    """

    hint = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint

    @property
    def message(self) -> str:
        """What happened."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        """What happened and what to do about it, in one line."""
        return f"{self.message} {self.hint}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy without calling `__init__` again, which may take other arguments than the text."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class InvalidSheet(StencilError):
    """The sheet can't be carried out as it is; nothing was created.

    Attributes:
        sheet: The sheet's name.
        problems: All problems of the sheet.
        notes: Sentences about how it was read, which may explain the problems.
    """

    def __init__(self, sheet: str, problems: Sequence[Problem], notes: Sequence[str] = ()) -> None:
        self.sheet = sheet
        self.problems = tuple(problems)
        self.notes = tuple(notes)
        shown = "\n".join(f"  {line}" for line in problem_lines(self.problems))
        noted = "".join(f"\n  Note: {note}" for note in self.notes)
        super().__init__(f"{sheet}: {counted(len(self.problems), 'problem')}; nothing was created.\n{shown}{noted}")


#: Most groups of problems that are shown.
MOST_SHOWN = 200


def problem_lines(problems: Iterable[Problem]) -> list[str]:
    """A line for each cause of problems, and one that counts what is left out."""
    groups = grouped(problems)
    rest = sum(len(group.problems) for group in groups[MOST_SHOWN:])
    more = [f"... and {counted(rest, 'more problem')}"] if rest else []
    return [*map(str, groups[:MOST_SHOWN]), *more]


def listed(items: Sequence[str], *, most: int) -> str:
    """`a`, `a and b`, or `a, b, c and 597 more`: at most `most` of them by name, or one more if that is all."""
    if len(items) > most + 1:
        items = [*items[:most], f"{len(items) - most:,} more"]
    *head, last = items or [""]
    return f"{', '.join(head)} and {last}" if head else last


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object) -> str:
    """A cell's value as one line, cut to `SHOWN_VALUE_LENGTH` characters."""
    return shortened(" ".join(str(value).split()), SHOWN_VALUE_LENGTH)


def shortened(text: str, length: int) -> str:
    """A line of at most `length` characters, cut between words where that leaves most of it."""
    if len(text) <= length:
        return text
    head = text[: length - 1]
    words = head if text[length - 1].isspace() else head.rpartition(" ")[0]
    return f"{(words if len(words) > length // 2 else head).rstrip()}…"


#: What a value must be, by pydantic's error types. Pydantic's own texts name types of Python.
_TAKES = {
    "greater_than_equal": "takes a number of at least {ge:g}",
    "less_than_equal": "takes a number of at most {le:g}",
    "int_type": "takes a whole number",
    "int_parsing": "takes a whole number",
    "int_from_float": "takes a whole number",
    "float_type": "takes a number",
    "float_parsing": "takes a number",
    "bool_type": "takes true or false",
    "bool_parsing": "takes true or false",
    "string_type": "takes text",
    "literal_error": "takes {expected}",
    "list_type": "takes a list",
    "dict_type": "takes a JSON object",
    "model_type": "takes a JSON object",
    "value_error": "{error}",
}


def taken(error: Mapping[str, Any]) -> str:
    """What a value must be, by pydantic's error about it: `takes a number of at most 64`; or else pydantic's own text."""
    words = _TAKES.get(error["type"])
    return words.format(**error.get("ctx", {})) if words else str(error["msg"])
