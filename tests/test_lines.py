"""Some lines of a sheet alone."""

import pytest
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.options import BadOption, Options, chosen_lines
from label_studio_stencil.plans.targets import check
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from tests.soak.batches import projects

SHEET = b"title,template,workspace\n" + b"".join(b"Row %d,1,1\n" % number for number in range(2, 12))


async def carried_out(sandbox: Sandbox, lines: str, sheet: bytes = SHEET) -> Report:
    options = Options(lines=lines)
    async with open_label_studio(LabelStudioSettings(sandbox.url, SecretStr(sandbox.token)), options) as label_studio:
        return await provision(check(read_sheet(sheet), options), options, label_studio)


async def test_the_chosen_lines_alone_are_carried_out_and_reported() -> None:
    with Sandbox() as sandbox:
        report = await carried_out(sandbox, "4-6")
        assert sorted(project["title"] for project in projects(sandbox)) == ["Row 4", "Row 5", "Row 6"]
    assert [row.line for row in report.rows] == [4, 5, 6]


async def test_ranges_that_overlap_make_each_project_once() -> None:
    with Sandbox() as sandbox:
        for lines in ("2-7", "5-11", "7"):
            assert (await carried_out(sandbox, lines)).ok
        assert sorted(project["title"] for project in projects(sandbox)) == sorted(
            f"Row {number}" for number in range(2, 12)
        )


def test_a_problem_on_another_line_is_not_reported() -> None:
    assert check(read_sheet(SHEET + b"x,1,1\n"), Options(lines="2-11")).problems == ()


def test_a_row_that_another_line_holds_too_is_found() -> None:
    checked = check(read_sheet(SHEET + b"Row 3,1,1\n"), Options(lines="12"))
    assert [(problem.line, problem.code) for problem in checked.problems] == [(12, "duplicate-row")]


@pytest.mark.parametrize("sheet", [b"title,template,colour of\nAbc,1,1\n", b"title,title\nAbc,Abc\n"])
def test_a_problem_with_the_columns_is_reported_whatever_the_lines(sheet: bytes) -> None:
    whole = check(read_sheet(sheet), Options())
    assert whole.problems
    assert check(read_sheet(sheet), Options(lines="2")).problems == whole.problems


async def test_a_problem_on_a_chosen_line_keeps_the_others_from_being_carried_out() -> None:
    with Sandbox() as sandbox:
        with pytest.raises(InvalidSheet):
            await carried_out(sandbox, "10-12", SHEET + b"x,1,1\n")
        assert projects(sandbox) == []


@pytest.mark.parametrize(
    ("text", "lines"), [("", None), (" 2-500 ", range(2, 501)), ("7", range(7, 8)), ("2 - 3", range(2, 4))]
)
def test_lines_are_a_range_or_one(text: str, lines: range | None) -> None:
    assert chosen_lines(text) == lines


@pytest.mark.parametrize("text", ["0", "0-3", "5-2", "2-", "-5", "2-5-7", "two", "1.5", "²-3", "2,4"])
def test_other_lines_are_refused_with_the_value_and_an_example(text: str) -> None:
    with pytest.raises(BadOption, match=rf"`lines={text}` names no lines. Give .*2-500"):
        chosen_lines(text)


def test_lines_without_a_row_are_refused_with_those_that_have_one() -> None:
    with pytest.raises(BadOption, match=r"`lines=90-99` .* on lines 2 to 11"):
        check(read_sheet(SHEET), Options(lines="90-99"))
