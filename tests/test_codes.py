"""The catalogue of codes has every code that is raised, and no other; its examples have the problems that they show."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil import InvalidSheet, plan
from label_studio_stencil.cli import main
from label_studio_stencil.codes import CODES, SUBJECTS, Code
from label_studio_stencil.rows import payload, references

SOURCE = Path(__file__).resolve().parents[1] / "label_studio_stencil"
#: Names that codes are assigned to, and calls that take one first, second, ... or by the keyword `code`.
NAMES = {"code", "error_code"}
CALLS = {"Problem": 0, "Doubt": 0, "Fault": 0, "fault": 0, "Unclear": 0, "Text": 1, "decide": 3}
SHEETS = [entry for entry in CODES.values() if entry.sheet]


def trees() -> Iterator[ast.Module]:
    for path in SOURCE.rglob("*.py"):
        if path.parent.name != "codes":
            yield ast.parse(path.read_text(encoding="utf-8"))


def spelt(node: ast.expr | None) -> Iterator[str]:
    """The codes that an expression spells out: of `f"{kind}-unknown"`, one for each kind."""
    match node:
        case ast.Constant(value=str(code)) if code:
            yield code
        case ast.JoinedStr(
            values=[ast.FormattedValue(value=ast.Name(id="kind" | "noun")), ast.Constant(value=str(end))]
        ):
            yield from (f"{kind}{end}" for kind in ("template", "workspace"))
        case ast.Tuple(elts=[first, *_]):
            yield from spelt(first)
        case ast.IfExp():
            yield from (*spelt(node.body), *spelt(node.orelse))


def raised(tree: ast.Module) -> Iterator[str]:
    """Each code in a place where only codes stand."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                place = CALLS.get(name)
                if place is not None and len(node.args) > place:
                    yield from spelt(node.args[place])
                yield from (code for each in node.keywords if each.arg == "code" for code in spelt(each.value))
            case ast.Assign(targets=[ast.Name(id=name)]) if name in NAMES:
                yield from spelt(node.value)
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, values, strict=True):
                    if getattr(target, "id", getattr(target, "attr", "")) in NAMES:
                        yield from spelt(value)
            case ast.FunctionDef(name="fault_of_title"):
                yield from (
                    code for each in ast.walk(node) if isinstance(each, ast.Return) for code in spelt(each.value)
                )


def written(tree: ast.Module) -> Iterator[str]:
    """Each text that may be a code."""
    yield from (code for node in ast.walk(tree) if isinstance(node, ast.expr) for code in spelt(node))


def test_every_code_that_is_raised_has_an_entry() -> None:
    codes = {code for tree in trees() for code in raised(tree)}
    codes |= {*payload._CODES.values(), *references._CODES.values()}
    assert len(codes) > 60
    # Notes share a table with problems, and are none.
    assert sorted(codes - CODES.keys() - {"note"}) == []


def test_every_entry_is_raised_somewhere() -> None:
    assert sorted(CODES.keys() - {code for tree in trees() for code in written(tree)}) == []


def test_no_code_has_two_entries() -> None:
    assert sum(map(len, SUBJECTS.values())) == len(CODES)


@pytest.mark.parametrize("entry", CODES.values(), ids=CODES.keys())
def test_an_entry_says_what_is_wrong_why_and_what_to_do(entry: Code) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", entry.code)
    assert entry.title.endswith(".")
    assert entry.title.count(". ") == 0
    assert all(text.endswith((".", "`.")) for text in (entry.why, entry.remedy))
    assert bool(entry.sheet) != bool(entry.example)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("entry", SHEETS, ids=[entry.code for entry in SHEETS])
async def test_the_sheet_of_an_entry_has_that_problem_alone(entry: Code, sandbox: Sandbox, tmp_path: Path) -> None:
    suffix = "jsonl" if entry.sheet.startswith("{") else "json" if entry.sheet.startswith("[") else "csv"
    for name, text in {f"sheet.{suffix}": entry.sheet, **entry.files}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidSheet) as invalid:
        await plan(
            tmp_path / f"sheet.{suffix}",
            template="Sentiment Analysis",
            workspace="Customer Feedback",
            url=sandbox.url,
            token=sandbox.token,
        )
    assert {problem.code for problem in invalid.value.problems} == {entry.code}


def test_explain_prints_the_entry_of_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "[title-too-short]"]) == 0
    printed = capsys.readouterr().out
    assert printed == f"{CODES['title-too-short']}\n"
    assert printed.startswith("title-too-short: The title has fewer than 3 characters.\n")
    assert "Example: a sheet\n\n    title\n    ab\n" in printed


def test_explain_names_the_nearest_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "title-to-short"]) == 2
    assert capsys.readouterr().err == "error: There is no code 'title-to-short'.\nhint: Did you mean title-too-short?\n"


def test_an_outcome_in_place_of_a_code_leads_to_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "ambiguous"]) == 2
    assert "error_code" in capsys.readouterr().err


def test_explain_alone_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    printed = capsys.readouterr().out
    assert [code for code, entry in CODES.items() if f"{code}\t{entry.title}\n" not in printed] == []
    assert main(["explain", "--json"]) == 0
    assert [each["code"] for each in json.loads(capsys.readouterr().out)["codes"]] == list(CODES)
