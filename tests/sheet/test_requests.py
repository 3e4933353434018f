import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_stencil.files import Asker
from label_studio_stencil.problems import Problem, problem_lines
from label_studio_stencil.rows import references as references_module
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.requests import find_duplicates, requests_of
from label_studio_stencil.sheet.limits import MOST_IN_CELL
from label_studio_stencil.sheet.model import Sheet
from label_studio_stencil.sheet.sources import read_sheet

BIG = b"title,_n\nabc," + b"x" * (MOST_IN_CELL + 1)
OUTSIDE = "outside.txt"


def checked(content: bytes | str, *, allow_unknown: bool = False) -> tuple[list[Request], list[Problem]]:
    content = content.encode() if isinstance(content, str) else content
    return requests_of(read_sheet(content), template="t", allow_unknown_fields=allow_unknown)


def overrides(value: object) -> bytes:
    return json.dumps({"title": "abc", "overrides": value}).encode()


#: Code, sheet, and the line and column that its problem names.
ONE_OF_EACH: list[tuple[str, bytes | str, int | None, str | None]] = [
    ("empty-sheet", "title\n", None, None),
    ("column-missing", "color\n#000000\n", 1, None),
    ("duplicate-column", "title,color,Color\nabc,,\n", 1, "Color"),
    ("unknown-column", "title,colour\nabc,\n", 1, "colour"),
    ("read-only-field", "title,ID\nabc,\n", 1, "ID"),
    ("extra-cell", "title\nabc,x\n", 2, None),
    ("unclosed-quote", 'title\nabc\n"def\nghi\n', 3, None),
    ("bad-quote", 'title\n"abc"d\n', 2, None),
    ("nul-character", "title\na\0bc\n", 2, "title"),
    ("cell-too-large", BIG, 2, "_n"),
    ("not-a-row", '{"title": "abc"}\n3\n', 2, None),
    ("title-missing", "title,_n\n,x\n", 2, "title"),
    ("title-too-short", "title\n  ab \n", 2, "title"),
    ("title-too-long", f"title\n{'é' * 51}\n", 2, "title"),
    ("title-not-text", '{"title": true}', 1, "title"),
    ("title-unseen-letter", "title\nab\u200bc\n", 2, "title"),
    ("missing-value", "title,description\nabc,NaN\n", 2, "description"),
    ("title-control-character", 'title\n"ab\nc"\n', 2, "title"),
    ("bad-reference", '{"title": "abc", "workspace": [1]}', 1, "workspace"),
    ("duplicate-row", "title\nabc\nabc\n", 3, "title"),
    ("near-duplicate-row", "title\nabc\nABC\n", 3, "title"),
    ("unknown-field", overrides({"colour": "#000000"}), 1, "overrides.colour"),
    ("row-field", overrides({"title": "x"}), 1, "overrides.title"),
    ("conflicting-field", 'title;color;overrides\nabc;#000000;{"color":"#111111"}', 2, "overrides.color"),
    ("null-value", overrides({"color": None}), 1, "overrides.color"),
    ("not-a-boolean", "title,is_draft\nabc,maybe\n", 2, "is_draft"),
    ("not-a-number", "title,Maximum Annotations\nabc,many\n", 2, "Maximum Annotations"),
    ("too-precise", "title,agreement_threshold\nabc,0.123\n", 2, "agreement_threshold"),
    ("out-of-range", "title,maximum_annotations\nabc,0\n", 2, "maximum_annotations"),
    ("not-text", overrides({"description": [1]}), 1, "overrides.description"),
    ("too-long", f"title,task_data_login\nabc,{'x' * 257}\n", 2, "task_data_login"),
    ("control-character", overrides({"description": "a\0"}), 1, "overrides.description"),
    ("not-a-choice", "title,sampling\nabc,x\n", 2, "sampling"),
    ("not-a-colour", "title,color\nabc,red\n", 2, "color"),
    ("not-a-date", "title,pinned_at\nabc,soon\n", 2, "pinned_at"),
    ("bad-xml", "title,label_config\nabc,<View>\n", 2, "label_config"),
    ("not-json", "title,overrides\nabc,{\n", 2, "overrides"),
    ("not-an-object", "title,overrides\nabc,3\n", 2, "overrides"),
    ("bad-object", overrides({"control_weights": {"s": 1}}), 1, "overrides.control_weights"),
    ("unknown-key", overrides({"review_settings": {"x": 1}}), 1, "overrides.review_settings"),
    ("missing-key", overrides({"control_weights": {"s": {"overall": 1}}}), 1, "overrides.control_weights"),
    ("all-weights-zero", overrides({"control_weights": {}}), 1, "overrides.control_weights"),
    ("file-reference", "title,description\nabc,@x.txt\n", 2, "description"),
]


@pytest.mark.parametrize(("code", "content", "line", "column"), ONE_OF_EACH, ids=[code for code, *_ in ONE_OF_EACH])
def test_each_mistake_is_one_problem_at_its_place(
    code: str, content: bytes | str, line: int | None, column: str | None
) -> None:
    _, problems = checked(content)
    assert [(each.code, each.line, each.column) for each in problems] == [(code, line, column)]
    assert problems[0].message[-1] in ".?"
    assert len(str(problems[0])) < 500


def test_a_valid_row_is_a_request() -> None:
    header = "Title ;Workspace;TEMPLATE;maximum-annotations;overrides;_note"
    content = header + '\n Cafe\u0301 1 ;7;NER;3.0;"{""is_draft"":""yes""}";x'
    requests, problems = checked(content)
    assert problems == []
    [request] = requests
    assert (request.line, request.title, request.workspace, request.template) == (2, "Café 1", "7", "NER")
    assert request.overrides == {"maximum_annotations": 3, "is_draft": True}
    assert list(request.cells) == ["Title", "Workspace", "TEMPLATE", "maximum-annotations", "overrides", "_note"]


def test_blank_cells_take_the_batchs_defaults_and_set_nothing() -> None:
    sheet = read_sheet(b"title,workspace,template,color\nabc, , ,  \n")
    [request], problems = requests_of(sheet, template=" NER ", workspace="Sales")
    assert problems == []
    assert (request.workspace, request.template, request.overrides) == ("Sales", "NER", {})


def test_numbers_are_ids_and_titles() -> None:
    [request], _ = requests_of(read_sheet([{"title": 2026.0, "workspace": 7.0, "template": 3}]))
    assert (request.title, request.workspace, request.template) == ("2026", "7", "3")


def test_a_template_is_needed_and_a_workspace_where_the_batch_says_so() -> None:
    _, problems = requests_of(read_sheet(b"title,template\nabc,\n"), workspaces_required=True)
    assert [each.code for each in problems] == ["workspace-missing", "template-missing"]


def test_a_row_whose_own_interface_can_not_be_read_has_only_that_problem(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("title,label_config\nOwn,@none.xml\n", encoding="utf-8")
    assert [each.code for each in requests_of(read_sheet(tmp_path / "s.csv"))[1]] == ["file-not-found"]


def test_a_row_with_an_interface_of_its_own_needs_no_template() -> None:
    sheet = read_sheet([{"title": "Own", "label_config": "<View/>"}, {"title": "Without"}])
    requests, problems = requests_of(sheet)
    assert [(each.title, each.template) for each in requests] == [("Own", "")]
    assert [(each.code, each.line) for each in problems] == [("template-missing", 3)]


@pytest.mark.parametrize("title", ["abc", "é" * 50, "😀😀😀", "  abc  "])
def test_titles_of_three_to_fifty_characters_are_taken(title: str) -> None:
    [request], problems = requests_of(read_sheet([{"title": title}]), template="t")
    assert (request.title, problems) == (title.strip(), [])


@pytest.mark.parametrize("title", ["a\0bc", "ab\u2028c", "ab\x85c", "ab\ud800"], ids=ascii)
def test_titles_with_control_characters_are_not(title: str) -> None:
    _, [problem] = requests_of(read_sheet([{"title": title}]), template="t")
    assert problem.code == "title-control-character"


def test_a_long_title_says_its_length_and_the_limit() -> None:
    _, [problem] = checked(f"title\n{'x' * 60}\n")
    assert "has 60 characters, and at most 50" in problem.message


def test_all_problems_come_at_once_in_the_order_of_lines() -> None:
    content = "title,color,is_draft\nab,red,maybe\nabc,#000000,\nabc,,zz\n,,x,y\n"
    requests, problems = checked(content)
    assert [(each.line, each.code) for each in problems] == [
        (5, "extra-cell"),
        (2, "title-too-short"),
        (2, "not-a-colour"),
        (2, "not-a-boolean"),
        (4, "not-a-boolean"),
        (4, "duplicate-row"),
    ]
    assert [request.line for request in requests] == [3]


def test_a_problem_with_a_column_leaves_no_request() -> None:
    requests, problems = checked("title,colour\nabc,\nab,\n")
    assert requests == []
    assert [each.code for each in problems] == ["unknown-column", "title-too-short"]


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("template id", "Did you mean template?"),
        ("Maximum anotations", "Did you mean maximum_annotations?"),
        ("outcome", "failed.csv"),
        ("zork", "`allow_unknown_fields=True`. To copy the column to the results, start its name with _."),
    ],
)
def test_an_unknown_column_says_what_may_be_meant(column: str, words: str) -> None:
    _, [problem] = checked(f"title,{column}\nabc,\n")
    assert problem.code == "unknown-column"
    assert words in problem.text


def test_unknown_columns_set_fields_where_that_is_allowed() -> None:
    [request], problems = checked("title,new_one\nabc,true\n", allow_unknown=True)
    assert (request.overrides, problems) == ({"new_one": True}, [])


def test_one_value_in_both_places_is_no_conflict() -> None:
    [request], problems = checked('title;agreement_threshold;overrides\nabc;0.8;{"agreement_threshold":0.80}\n')
    assert (request.overrides, problems) == ({"agreement_threshold": "0.80"}, [])


def test_one_title_in_two_workspaces_is_no_duplicate() -> None:
    requests, problems = checked("title,workspace\nabc,1\nabc,2\nabc,\n")
    assert (len(requests), problems) == (3, [])


def test_duplicates_name_both_lines() -> None:
    [problem] = find_duplicates([(2, 7, "abc"), (3, 8, "abc"), (9, "7", "abc")])
    assert problem == Problem(
        "duplicate-row",
        "lines 2 and 9 ask for the same project.",
        line=9,
        column="title",
        value="abc",
        hint="Remove one of the rows, or change its title.",
    )


@pytest.mark.parametrize(
    ("one", "other"), [("Straße", "STRASSE"), ("ﬁne", "fine"), ("a  b", "a\u00a0b"), ("\uff21\uff22\uff23", "abc")]
)
def test_titles_that_look_alike_are_near_duplicates(one: str, other: str) -> None:
    [problem] = find_duplicates([(2, None, one), (5, "", other)])
    assert problem.code == "near-duplicate-row"
    assert "lines 2 and 5" in problem.message


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(), st.none() | st.integers() | st.text(), st.text())))
def test_looking_for_duplicates_never_fails(items: list[tuple[int, str | int | None, str]]) -> None:
    assert len(find_duplicates(items)) <= len(items)


def test_a_password_is_in_no_problem() -> None:
    _, [problem] = checked(f"title,task_data_password\nabc,{'geheim' * 50}\n")
    assert "geheim" not in str(problem)
    assert problem.value is None


def test_a_formulas_error_in_excel_is_a_problem(tmp_path: Path) -> None:
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.active.append(["title", "description"])
    workbook.active.append(["abc", "#REF!"])
    workbook.save(tmp_path / "x.xlsx")
    _, [problem] = requests_of(read_sheet(tmp_path / "x.xlsx"), template="t")
    assert (problem.code, problem.line, problem.column) == ("formula-error", 2, "description")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "sheets"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "config.xml").write_bytes(b"\xef\xbb\xbf<View>\n</View>\n")
    (inside / "broken.xml").write_text("<View>")
    (inside / "latin.txt").write_bytes(b"\xe9")
    (tmp_path / OUTSIDE).write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / OUTSIDE)
    (inside / "ring").symlink_to(inside / "ring")
    return inside


def with_cell(folder: Path, field: str, cell: str) -> Sheet:
    (folder / "rows.csv").write_text(f"title,{field}\nabc,{cell}\n")
    return read_sheet(folder / "rows.csv")


def test_a_reference_reads_the_file_beside_the_sheet(folder: Path) -> None:
    [request], problems = requests_of(with_cell(folder, "label_config", "@sub/config.xml"), template="t")
    assert (request.overrides, problems) == ({"label_config": "<View>\n</View>\n"}, [])


def test_a_reference_is_read_in_the_overrides_column_too(folder: Path) -> None:
    (folder / "rows.jsonl").write_bytes(overrides({"label_config": "@sub/config.xml", "description": "@@x"}))
    [request], problems = requests_of(read_sheet(folder / "rows.jsonl"), template="t")
    assert (request.overrides, problems) == ({"label_config": "<View>\n</View>\n", "description": "@x"}, [])


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("@none.txt", "file-not-found"),
        ("@sub", "file-not-found"),
        ("@", "file-not-found"),
        (f"@../{OUTSIDE}", "outside-folder"),
        ("@/etc/passwd", "outside-folder"),
        ("@link.txt", "outside-folder"),
        ("@../sheets/../outside.txt", "outside-folder"),
        ("@latin.txt", "file-not-text"),
        ("@ring", "file-unreadable"),
        (f"@{'x' * 300}", "file-unreadable"),
        ("@broken.xml", "bad-xml"),
    ],
)
def test_a_reference_that_can_not_be_followed_is_a_problem(cell: str, code: str, folder: Path) -> None:
    _, [problem] = requests_of(with_cell(folder, "label_config", cell), template="t")
    assert (problem.code, problem.line, problem.column) == (code, 2, "label_config")
    assert "secret" not in str(problem)


def test_a_file_that_is_too_large_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references_module, "MOST_IN_TEXT", 5)
    _, [problem] = requests_of(with_cell(folder, "description", "@sub/config.xml"), template="t")
    assert problem.code == "file-too-large"


def test_a_file_is_read_once_for_all_rows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rows.csv").write_text("title,description\n" + "".join(f"row {n},@broken.xml\n" for n in range(9)))
    reads: list[str] = []

    def counting(path: str, _asker: Asker, *, most: int) -> bytes:
        assert most
        reads.append(Path(path).name)
        return b"text"

    monkeypatch.setattr(references_module, "read", counting)
    requests, _ = requests_of(read_sheet(folder / "rows.csv"), template="t")
    assert len(requests) == 9
    assert reads == ["broken.xml"]


def test_other_columns_may_start_with_an_at_sign(folder: Path) -> None:
    [request], problems = requests_of(with_cell(folder, "task_data_login", "@me"), template="t")
    assert (request.overrides, problems) == ({"task_data_login": "@me"}, [])


def test_overrides_that_are_alike_are_kept_once_and_those_that_only_compare_so_are_not() -> None:
    values = (1, True, 1.0, "x", 1, [1], [1])
    rows = "\n".join(json.dumps({"title": f"Row {n}", "new": value}) for n, value in enumerate(values))
    found, problems = checked(rows, allow_unknown=True)
    assert not problems
    assert [(type(each.overrides["new"]), each.overrides["new"]) for each in found] == [(type(v), v) for v in values]
    assert found[0].overrides is found[4].overrides


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("title,pin", lambda n: f"Row {n},perhaps"),
        ("title,agreement_threshold", lambda n: f'Row {n},"0,{n % 90 + 10}"'),
        ("title,color", lambda n: f"Row {n},#REF!"),
        ("title,color", lambda n: f"Row {n},NaN"),
        ("title", lambda n: "x" * (51 + n)),
        ("title", lambda n: f"{'x' * (n % 20)}\u200by {n}"),
        ("title", lambda n: f"Row {n // 2 * 2}"),
        ("title", lambda n: f"{'row' if n % 2 else 'Row'} {chr(0x4E00 + n // 2)}"),
        ("title,overrides", lambda n: f'Row {n},{{x" : {n}'),
        ("title", lambda n: f"Row {n}" + ",one more" * (n % 3 > 0)),
        ("title,description", lambda n: f"Row {n},@texts/{n}.txt"),
    ],
    ids=["boolean", "number", "error", "missing", "long", "unseen", "twice", "alike", "json", "cells", "file"],
)
def test_what_is_wrong_with_every_row_in_one_way_is_shown_as_one(header: str, cells: Callable[[int], str]) -> None:
    _, problems = checked("\n".join([header, *map(cells, range(600))]))
    assert len(problems) >= 300
    assert len(problem_lines(problems)) == 1


@pytest.mark.parametrize(
    ("header", "row", "found"),
    [
        ("title,pin,color", "abc,perhaps,#REF!", ["formula-error", "bad-step"]),
        ("title,pin,color", "#REF!,perhaps,red", ["formula-error", "not-a-colour", "bad-step"]),
        ("title,template,pin", "abc,#N/A,perhaps", ["formula-error", "bad-step"]),
        ("title,color,pin", "#REF!,#REF!,yes", ["formula-error", "formula-error"]),
        ("title,color,pin", "abc,NaN,perhaps", ["missing-value", "bad-step"]),
    ],
)
def test_the_other_cells_of_a_row_with_one_that_says_nothing_are_checked_too(
    header: str, row: str, found: list[str]
) -> None:
    requests, problems = checked(f"{header}\n{row}\n")
    assert ([each.code for each in problems], requests) == (found, [])


def test_a_reference_that_says_nothing_is_one_problem() -> None:
    _, problems = requests_of(read_sheet(b"title,template,workspace\nabc,NaN,#N/A\n"), workspaces_required=True)
    assert [each.code for each in problems] == ["formula-error", "missing-value"]


@pytest.mark.parametrize("separator", "^ ~")
def test_a_header_that_is_a_single_cell_says_how_cells_are_separated(separator: str) -> None:
    content = (
        separator.join(("title", "workspace", "template")) + "\n" + separator.join(("Alpha", "Research", "Reviews"))
    )
    (problem,) = requests_of(read_sheet(content.encode()))[1]
    assert problem.code == "column-missing"
    assert "single cell" in problem.hint
    assert "sep=" in problem.hint


def test_a_separator_that_is_named_above_the_header_is_used() -> None:
    requests, problems = requests_of(read_sheet(b"sep=^\ntitle^workspace^template\nAlpha^Research^Reviews\n"))
    assert [(request.title, request.template) for request in requests] == [("Alpha", "Reviews")]
    assert not problems
