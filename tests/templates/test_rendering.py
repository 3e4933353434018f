"""Filling a template ends, however it was written."""

import pytest

from label_studio_stencil.problems import Problem
from label_studio_stencil.templates import rendering
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.rendering import TooSlow, Unrenderable, names_in, render
from label_studio_stencil.templates.variables import variable

LONG = "x" * 100_000

SLOW = {
    "nested loops": "{% for a in x %}{% for b in x %}{% endfor %}{% endfor %}",
    "a loop with a condition": "{% for a in x if x is undefined %}{% endfor %}" * 500,
    "a macro that calls itself": "{% macro m(n) %}{% if n %}{{ m(n - 1) ~ m(n - 1) }}{% endif %}{% endmacro %}{{ m(90) }}",
    "filters one after another": "{{ x|list|sort|length }}" * 1_000,
    "lists that are added up": "{{ y|sum(start=[]) }}",
}


@pytest.mark.parametrize("text", SLOW.values(), ids=SLOW)
def test_a_text_that_takes_too_long_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "LONGEST_SECONDS", 0.05)
    with pytest.raises(TooSlow, match=r"more than 0\.05 seconds"):
        render("title", text, {"x": LONG, "y": [[1]] * 100_000})


def test_a_number_beyond_all_measure_is_refused() -> None:
    with pytest.raises(Unrenderable, match="number that is too large"):
        render("title", "{% set n = 9 ** 90 %}" + "{% set n = n * n %}" * 60 + "{{ n }}", {})


def test_more_placeholders_than_are_filled_are_refused() -> None:
    with pytest.raises(Unrenderable, match="2,001 placeholders"):
        names_in("{{ x }}" * 2_001)


def test_loops_are_what_they_were() -> None:
    text = "{% for a in x %}{{ loop.index }}/{{ loop.length }} {{ a }}{{ ', ' if not loop.last }}{% else %}none{% endfor %}"
    assert render("title", text, {"x": ["a", "b"]}) == "1/2 a, 2/2 b"
    assert render("title", text, {"x": []}) == "none"
    nested = "{% for a in x recursive %}{{ loop(a) if a is iterable else a }}{% endfor %}{{ [1, 2]|sum }}{{ 6 * 7 }}"
    assert render("title", nested, {"x": [1, [2, 3]]}) == "123342"


def test_a_template_that_was_too_slow_for_a_row_is_not_tried_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def slow(field: str, text: str, values: object) -> str:
        tried.append(field)
        raise TooSlow("it takes long")

    monkeypatch.setattr("label_studio_stencil.templates.model.render", slow)
    template = Template("t.yaml", "t", "file:1", variables={"v": variable("v", None)}, texts={"title": "{{ v }}"})
    problems: list[Problem] = [found for _ in range(3) for found in template.filled({"v": "x"})[1]]
    assert [problem.message for problem in problems] == ["title of t: it takes long."] * 3
    assert tried == ["title"]
