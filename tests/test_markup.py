"""Instructions: what Label Studio's HTML cleaner takes away, and what becomes of Markdown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Edition, GalleryEntry
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.problems import Problem
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.markup import html_of_markdown, removed_by_cleaner
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.projects import from_gallery


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


async def test_what_the_cleaner_takes_away_is_a_note_and_no_failure() -> None:
    interface = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    rows = [
        {"title": title, "label_config": interface, "expert_instruction": text}
        for title, text in (("Styled", "<p style='x'>A<br/>b"), ("Plain", "A & b"), ("Styled too", "<p style='y'>C"))
    ]
    options = Options(workspace="1")
    with Sandbox() as sandbox:
        settings = LabelStudioSettings(sandbox.url, SecretStr(sandbox.token))
        async with open_label_studio(settings, options) as label_studio:
            report = await provision(check(read_sheet(rows), options), options, label_studio)
    assert {row.outcome for row in report.rows} == {Outcome.CREATED}
    assert report.notes == ("Label Studio's HTML cleaner removed style from expert_instruction (lines 2 and 4).",)


async def test_an_interface_of_the_gallery_that_community_can_not_open_is_a_problem() -> None:
    class Gallery(LabelStudio):
        async def gallery(self) -> list[GalleryEntry]:
            return [GalleryEntry(title="Chat", config="<View/>", type="enterprise")]

    async with Gallery("http://localhost:1", "0" * 40) as label_studio:
        for edition, kind in ((Edition.COMMUNITY, Problem), (Edition.ENTERPRISE, Template)):
            found = await from_gallery(["gallery:Chat"], label_studio, edition)
            assert isinstance(found["gallery:Chat"], kind)
