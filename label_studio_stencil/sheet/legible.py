"""Problems that can be printed: what a sheet smuggles in must not reach a terminal, or stop a report from being written."""

from dataclasses import replace

from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.redaction import redact, visible


def legible(problem: Problem) -> Problem:
    """The problem with nothing in it that can't be printed."""
    column = None if problem.column is None else visible(shown(problem.column))
    # A problem quotes its value when it is printed; only half characters would stop it from being written as JSON.
    value = None if problem.value is None else redact(problem.value.encode("utf-8", "backslashreplace").decode())
    return replace(problem, column=column, value=value, message=visible(problem.message))
