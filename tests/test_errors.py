"""What is raised on purpose moves between processes, and is copied, with all that it says."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import label_studio_stencil
from label_studio_stencil.inbox.outcomes import Handled, Poll, SheetOutcome
from label_studio_stencil.problems import Problem, StencilError
from label_studio_stencil.report.outcomes import Outcome
from tests.report.reports import report, row

#: What the errors are made of, by the name of the parameter.
PARTS: dict[str, Any] = {
    "absent": True,
    "detail": "The server's own words.",
    "error": ValueError("a cause"),
    "fields": {"title": ["too long"]},
    "inbox": "inbox",
    "may_pass": False,
    "message": "A sentence.",
    "method": "POST",
    "hint": "Correct it.",
    "name": "projects.csv",
    "notes": ("Read as Latin-1.",),
    "output": "results",
    "path": "/api/projects/",
    "poll": Poll((Handled("a.csv", SheetOutcome.LEFT, "the disk is full"),)),
    "problems": (Problem("not-a-number", "give a number.", 2, "color", "red"),),
    "reason": "the disk is full.",
    "reference": "ERR-1",
    "rows": (row(2),),
    "report": report(row(2, Outcome.FAILED, error="no", cells={"title": "a", "password": "p"}), row(3)),
    "retry_after": 2.5,
    "seconds": 3.0,
    "sent": False,
    "sheet": "projects.csv",
    "status": 400,
    "tickets": [SimpleNamespace(target=SimpleNamespace(request=SimpleNamespace(line=2)), waiting_for="a look")],
}


def errors() -> list[type[StencilError]]:
    """Every kind of error of the package, its own modules all imported."""
    for module in pkgutil.walk_packages(label_studio_stencil.__path__, "label_studio_stencil."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(kind: type[StencilError]) -> Iterator[type[StencilError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    return [kind for kind in below(StencilError) if kind.__module__.startswith("label_studio_stencil.")]


def example(kind: type[StencilError]) -> StencilError:
    if kind.__init__ is Exception.__init__:
        return kind("A sentence.")
    parameters = list(inspect.signature(kind).parameters.values())
    positional = [PARTS[each.name] for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    return kind(*positional, **{each.name: PARTS[each.name] for each in parameters if each.kind is each.KEYWORD_ONLY})


COPIES = [
    pytest.param(copy.copy, id="copied"),
    pytest.param(copy.deepcopy, id="copied deeply"),
    *(
        pytest.param(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)), id=f"pickled {protocol}"
        )
        for protocol in (2, pickle.HIGHEST_PROTOCOL)
    ),
]


@pytest.mark.parametrize("copied", COPIES)
def test_every_error_survives_as_it_was(copied: Any) -> None:
    found = errors()
    assert len(found) > 20
    for kind in found:
        error = example(kind)
        error.add_note("on the way")
        twin = copied(error)
        assert type(twin) is kind
        assert (str(twin), repr(twin), vars(twin).keys()) == (str(error), repr(error), vars(error).keys()), kind
        assert {name: repr(value) for name, value in vars(twin).items()} == {
            name: repr(value) for name, value in vars(error).items()
        }, kind


@pytest.mark.parametrize("copied", COPIES[1:])
def test_a_report_survives_as_it_was(copied: Any) -> None:
    assert copied(PARTS["report"]) == PARTS["report"]
