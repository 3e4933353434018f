"""Instructions: what Label Studio's HTML cleaner takes away, and what becomes of Markdown."""

from pathlib import Path

import pytest

from label_studio_stencil.rows.markup import html_of_markdown, removed_by_cleaner
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.sources import read_sheet


@pytest.mark.parametrize(
    ("wanted", "actual", "removed"),
    [
        ("<p style='x' onclick=y>Hi</p>", "<p>Hi</p>", ["onclick", "style"]),
        ("<center>x</center><!-- y -->", "&lt;center&gt;x&lt;/center&gt;", ["<center>", "comments"]),
        ("<b>a & b", "<b>a &amp; b</b>", []),
    ],
)
def test_what_the_cleaner_took_away_is_named(wanted: str, actual: str, removed: list[str]) -> None:
    assert removed_by_cleaner(wanted, actual) == removed


def test_markdown_becomes_html_with_tables_and_lists() -> None:
    assert html_of_markdown("# Guide\n\n1. one\n2. two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n") == (
        "<h1>Guide</h1>\n<ol>\n<li>one</li>\n<li>two</li>\n</ol>\n<table>\n<thead>\n<tr>\n<th>a</th>\n<th>b</th>\n</tr>\n"
        "</thead>\n<tbody>\n<tr>\n<td>1</td>\n<td>2</td>\n</tr>\n</tbody>\n</table>\n"
    )


def test_instructions_in_a_markdown_file_are_converted_once_with_a_note(tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("Read **twice**.\n", encoding="utf-8")
    (tmp_path / "guide.txt").write_text("Read *twice*.\n", encoding="utf-8")
    path = tmp_path / "sheet.csv"
    path.write_text(
        "title,template,expert_instruction,description\nOne,1,@guide.md,@guide.md\nTwo,1,@guide.md,\nThree,1,@guide.txt,\n",
        encoding="utf-8",
    )
    sheet = read_sheet(path)
    requests, problems = requests_of(sheet)
    assert problems == []
    assert [each.overrides["expert_instruction"] for each in requests] == [
        "<p>Read <strong>twice</strong>.</p>\n",
        "<p>Read <strong>twice</strong>.</p>\n",
        "Read *twice*.\n",
    ]
    assert requests[0].overrides["description"] == "Read **twice**.\n"
    assert sheet.notes == ["guide.md is Markdown: it was converted to HTML, which Label Studio shows."]
