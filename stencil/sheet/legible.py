"""Problems that can be printed: what a sheet smuggles in must not reach a terminal, or stop a report from being written."""

import re
from dataclasses import replace

from stencil.problems import Problem, shown

#: Control characters, which move a terminal's cursor; marks that turn text round, or that nobody sees; half characters,
#: which have no UTF-8.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""The text with an escape, such as `\x1b`, in the place of every character that is not to be seen."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def legible(problem: Problem) -> Problem:
    """The problem with nothing in it that can't be printed."""
    column = None if problem.column is None else visible(shown(problem.column))
    # A problem quotes its value when it is printed; only half characters would stop it from being written as JSON.
    value = None if problem.value is None else problem.value.encode("utf-8", "backslashreplace").decode()
    return replace(problem, column=column, value=value, message=visible(problem.message))
