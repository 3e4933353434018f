"""Titles made from a pattern over the columns of a sheet."""

import pytest

from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.rows.titles import BadPattern, TitlePattern
from label_studio_stencil.sheet.sources import read_sheet

LONG = "A very long name of a customer of the northern branch office"


def titles(content: str, pattern: str, *, cut: bool = False) -> list[str]:
    requests, problems = requests_of(
        read_sheet(content.encode()), template="1", titles=TitlePattern(pattern), cut_titles=cut
    )
    return [*(request.title for request in requests), *(f"{each.line} {each.code}" for each in problems)]


@pytest.mark.parametrize(
    ("content", "pattern", "title"),
    [
        ("_customer,_year,_batch\nAlder,2026,3\n", "{customer} {year}-{batch:02d}", "Alder 2026-03"),
        ("_customer,_batch\nAlder,3.0\n", "{_customer} {batch:d}", "Alder 3"),
        ("var.customer,_share\nAlder,0.5\n", "{customer} {share:.2f} {{x}}", "Alder 0.50 {x}"),
        ("_a\nAlder\n", "{A:>8}", "Alder"),
        ("title,_a\nMy own,Alder\n", "{a} {a}", "My own"),
        ("title,_a\n,Alder\n", "{a} {a}", "Alder Alder"),
    ],
)
def test_a_pattern_makes_the_title_of_a_row_that_has_none(content: str, pattern: str, title: str) -> None:
    assert titles(content, pattern) == [title]


@pytest.mark.parametrize(
    ("content", "pattern", "problems"),
    [
        ("_a,_b\n,x\n", "{a} {b}", ["2 title-missing"]),
        ("_a\nx\n", "{a:02d}", ["2 title-missing"]),
        ("_a\nx\n", "{nobody}", ["1 column-missing"]),
        (f"_a\n{LONG}\n", "{a}", ["2 title-too-long"]),
        ("_a\nAlder\nalder\n", "{a} x", ["Alder x", "3 near-duplicate-row"]),
        ("_a\nx\n", "{a}", ["2 title-too-short"]),
    ],
    ids=["blank cell", "no number", "no column", "too long", "collision", "too short"],
)
def test_what_keeps_a_title_from_being_made_is_told(content: str, pattern: str, problems: list[str]) -> None:
    assert titles(content, pattern) == problems


def test_a_title_that_is_cut_stays_the_same_and_tells_itself_from_others_that_begin_like_it() -> None:
    found = titles(f"_a\n{LONG} 1\n{LONG} 2\n", "{a}", cut=True)
    assert found == titles(f"_a\n{LONG} 1\n{LONG} 2\n", "{a}", cut=True)
    assert len(set(found)) == 2
    assert all(len(title) <= 50 and title.startswith(LONG[:30]) for title in found)


def test_the_whole_title_of_a_row_is_kept() -> None:
    [request], _ = requests_of(read_sheet(f"title\n{LONG}\n".encode()), template="1", cut_titles=True)
    assert request.whole_title == LONG


@pytest.mark.parametrize("pattern", ["{a", "{}", "{a!r}", "{a.b:{c}}", "{a:99999d}", "a}"])
def test_a_pattern_that_can_not_be_one_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern, match="title"):
        TitlePattern(pattern)
