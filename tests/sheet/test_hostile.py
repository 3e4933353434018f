"""Sheets that somebody made to do harm, or that a broken program left.

Each is read right or refused in words, within bounded memory, and never ends in an exception that is not the house's own.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from label_studio_stencil.cli import main
from label_studio_stencil.codes import CODES
from label_studio_stencil.files import Asker
from label_studio_stencil.problems import Problem
from label_studio_stencil.rows import references as references_module
from label_studio_stencil.rows import requests as requests_module
from label_studio_stencil.rows.request import Request
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet import limits as limits_module
from label_studio_stencil.sheet import sources as sources_module
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import EXTENSIONS, read_sheet

MB = 1_000_000
NAMESPACE = b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
EXTENSION = st.sampled_from(sorted({*EXTENSIONS, "txt", "json", "xls", ""}))


def judged(source: bytes | Path | list[dict[str, object]], name: str = "") -> tuple[list[Request], list[Problem]]:
    """The requests and problems of a sheet, of which each can be told."""
    requests, problems = requests_of(read_sheet(source, name=name), template="t", allow_unknown_fields=True)
    for problem in problems:
        assert problem.code in CODES
        assert "".join(str(problem).split()).isprintable()
        assert len(str(problem)) < 1000
    assert not {problem.line for problem in problems} & {request.line for request in requests}
    return requests, problems


def refused(source: bytes | Path, name: str = "") -> str:
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet(source, name=name)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def command(*arguments: str | Path) -> tuple[int, str]:
    """The exit code of a command, and all that it prints."""
    out, err = (
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors=errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    text = b"".join(stream.buffer.getvalue() for stream in (out, err) if isinstance(stream.buffer, io.BytesIO)).decode()
    assert "Traceback" not in text
    return code, text


def sheet_xml(rows: bytes, before: bytes = b"") -> bytes:
    return b"%s<worksheet %s><sheetData>%s</sheetData></worksheet>" % (before, NAMESPACE, rows)


def text_cell(text: str, attributes: str = "") -> bytes:
    return f'<c t="inlineStr" {attributes}><is><t>{text}</t></is></c>'.encode()


def row_xml(*cells: bytes) -> bytes:
    return b"<row>%s</row>" % b"".join(cells)


TITLE = row_xml(text_cell("title"))


def plain_workbook() -> dict[str, bytes]:
    """The parts of a good workbook."""
    workbook, content = openpyxl.Workbook(), io.BytesIO()
    for row in (["title", "_n"], ["abc", 1], ["def", 2]):
        workbook.active.append(row)
    workbook.save(content)
    with zipfile.ZipFile(content) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


SHEET, STRINGS, BOOK, TYPES = (
    "xl/worksheets/sheet1.xml",
    "xl/sharedStrings.xml",
    "xl/workbook.xml",
    "[Content_Types].xml",
)


def workbook(rows: bytes = b"", **more: bytes) -> bytes:
    """A workbook with these rows, or with the plain ones; `more` are further parts."""
    return zipped({**plain_workbook(), **({SHEET: sheet_xml(rows)} if rows else {}), **more})


def parquet(table: pa.Table, *, store_schema: bool = True) -> bytes:
    content = io.BytesIO()
    pq.write_table(table, content, store_schema=store_schema)
    return content.getvalue()


# Bytes that are no sheet, and sheets that are no longer whole.


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"", b"PK\x03\x04", b"PAR1", b'{"title":', b"title\n"]), EXTENSION
)
# A blank of Windows-1252 alone: a text without a line that says anything.
@example(b"\xa0", b"", "csv")
def test_random_bytes_end_a_command_with_a_message(
    tmp_path: Path, content: bytes, start: bytes, extension: str
) -> None:
    path = tmp_path / f"random.{extension}"
    path.write_bytes(start + content)
    code, text = command("check", path, "--template", "t")
    assert code in (0, 2)
    assert "random" in text


VALID: dict[str, bytes] = {
    "x.csv": 'title;workspace;color;overrides;_n\nabc;7;#000000;"{""is_draft"": true}";"a\nb"\ndéf;8;;;\n'.encode(),
    "x.jsonl": b'{"title": "abc", "overrides": {"is_draft": true, "_n": [1, {"a": null}]}}\n{"title": "def", "_n": 1e3}\n',
    "x.parquet": parquet(
        pa.table({"title": ["abc", "def"], "overrides": [{"is_draft": True}, None], "_n": [[1], [2]]})
    ),
    "x.xlsx": workbook(),
}
EDITS = st.lists(
    st.tuples(st.sampled_from(["flip", "insert", "delete", "double"]), st.floats(0, 1), st.integers(1, 255)),
    min_size=1,
    max_size=8,
)


def edited(content: bytes, edits: list[tuple[str, float, int]]) -> bytes:
    """The content after some accidents, each at a place and with a byte."""
    for kind, share, byte in edits:
        at = int(share * max(len(content) - 1, 0))
        size = 1 + byte % 16
        before, after = content[:at], content[at:]
        match kind:
            case "flip":
                content = before + bytes(each ^ byte for each in after[:1]) + after[1:]
            case "insert":
                content = before + bytes([byte]) + after
            case "delete":
                content = before + after[size:]
            case _:
                content = before + after[:size] * 2 + after[size:]
    return content


@pytest.mark.parametrize("name", VALID)
def test_the_sheets_that_are_mutated_are_good(name: str) -> None:
    requests, problems = judged(VALID[name], name)
    assert ([request.title[0] for request in requests], problems) == (["a", "d"], [])


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=100, deadline=None)
@given(edits=EDITS)
def test_a_mutated_sheet_is_read_or_refused_with_a_message(name: str, edits: list[tuple[str, float, int]]) -> None:
    with contextlib.suppress(SheetUnreadable):
        judged(edited(VALID[name], edits), name)


@settings(max_examples=100, deadline=None)
@given(part=st.sampled_from(sorted(plain_workbook())), edits=EDITS)
def test_a_workbook_with_a_mutated_part_is_read_or_refused_with_a_message(
    part: str, edits: list[tuple[str, float, int]]
) -> None:
    parts = plain_workbook()
    with contextlib.suppress(SheetUnreadable):
        judged(zipped({**parts, part: edited(parts[part], edits)}))


@pytest.mark.parametrize("name", ["x.xlsx", "x.parquet"])
def test_a_truncated_file_is_refused_wherever_it_ends(name: str) -> None:
    content = VALID[name]
    for length in range(5, len(content), len(content) // 25):
        assert "can't be read" in (words := refused(content[:length], name)) or "damaged" in words


# Sizes.


def as_csv(text: str) -> bytes:
    return f"title,_n\nabc,{text}\n".encode()


def as_json(text: str) -> bytes:
    return json.dumps({"title": "abc", "_n": text}).encode()


def as_excel(text: str) -> bytes:
    return workbook(row_xml(text_cell("title"), text_cell("_n")) + row_xml(text_cell("abc"), text_cell(text)))


def as_parquet(text: str) -> bytes:
    return parquet(pa.table({"title": ["abc"], "_n": [text]}))


FORMATS = pytest.mark.parametrize("written", [as_csv, as_json, as_excel, as_parquet])


@FORMATS
def test_a_cell_of_five_megabytes_is_read(written: Callable[[str], bytes]) -> None:
    [request], problems = judged(written("x" * 5 * MB))
    assert (request.cells["_n"], problems) == ("x" * 5 * MB, [])


@FORMATS
def test_a_cell_of_more_than_ten_megabytes_is_a_problem(written: Callable[[str], bytes]) -> None:
    _, [problem] = judged(written("x" * 11 * MB))
    assert (problem.code, problem.column) == ("cell-too-large", "_n")
    assert "at most 10,000,000" in problem.message


def test_a_quote_that_is_not_closed_for_megabytes_stops_the_sheet() -> None:
    requests, [problem] = judged(b'title\nabc\n"def\n' + b"some text\n" * 2_100_000 + b'"\n')
    assert (problem.code, problem.line, problem.value) == ("cell-too-large", None, '"def')
    assert "opens on line 3" in problem.message
    assert [request.title for request in requests] == ["abc"]


def test_what_follows_too_many_broken_quotes_can_not_be_skipped() -> None:
    _, problems = judged(b"title\n" + b'"x\n' * 30 + b"abc\n")
    assert problems[-1].line is None


@pytest.mark.parametrize("content", [b"title\nabc" + b",x" * MB, workbook(TITLE + row_xml(*[text_cell("x")] * 999))])
def test_a_row_of_too_many_cells_is_one_problem(content: bytes) -> None:
    _, [problem] = judged(content)
    assert (problem.code, problem.line, problem.value) == ("extra-cell", 2, "x")
    assert " more" in problem.message


TEN_THOUSAND = [f"column {number}" for number in range(10_000)]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(",".join(TEN_THOUSAND).encode() + b"\nx\n", id="csv"),
        pytest.param(json.dumps(dict.fromkeys(TEN_THOUSAND, 1)).encode(), id="json"),
        pytest.param(workbook(row_xml(*map(text_cell, TEN_THOUSAND))), id="excel"),
        pytest.param(parquet(pa.table({name: [1] for name in TEN_THOUSAND[:1001]})), id="parquet"),
    ],
)
def test_a_sheet_of_ten_thousand_columns_is_refused(source: bytes) -> None:
    assert "columns; at most 1,000 are read" in refused(source)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(b"title\nabc\ndef\nghi\n", id="csv"),
        pytest.param(b'{"title":"abc"}\n' * 3, id="json"),
        pytest.param(workbook(TITLE + row_xml(text_cell("abc")) * 3), id="excel"),
        pytest.param(parquet(pa.table({"title": ["abc"] * 3})), id="parquet"),
    ],
)
@pytest.mark.parametrize(("limit", "words"), [("MOST_ROWS", "2 rows"), ("MOST_CELLS", "2 cells")])
def test_a_sheet_of_too_many_rows_or_cells_is_refused(
    source: bytes, limit: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits_module, limit, 2)
    assert f"more than {words}" in refused(source)


def test_a_sheet_of_countless_problems_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "MOST_PROBLEMS", 3)
    requests, problems = judged(b"title\nabc\n" + b"ab\n" * 10 + b"def\n")
    assert [(each.code, each.line) for each in problems][:2] == [("too-many-problems", None), ("title-too-short", 3)]
    assert (len(problems), requests) == (4, [])


def repeated(path: Path, start: bytes, piece: bytes, size: int, end: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(start)
        for _ in range(size // (len(piece) * 10_000)):
            file.write(piece * 10_000)
        file.write(end)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def lying(part: str, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A workbook with a part of 100 MB that is said to hold 100 bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, good in {**plain_workbook(), part: b""}.items():
            with archive.open(name, "w") as file:
                for piece in [b"\0" * MB] * 100 if name == part else [good]:
                    file.write(piece)
        archive.getinfo(part).file_size, archive.getinfo(part).CRC = 100, zlib.crc32(bytes(100))
    return content.getvalue()


def shared(*, store_schema: bool) -> bytes:
    """A Parquet file of a few kilobytes whose rows share one long text: unpacked, 1.5 GB."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["x" * 30_000]))
    return parquet(pa.table({"title": text}), store_schema=store_schema)


def nested_and_shared() -> bytes:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), pa.array(["x" * 30_000]))
    return parquet(pa.table({"title": pa.StructArray.from_arrays([text], ["a"])}))


def long_list() -> bytes:
    return parquet(pa.table({"title": pa.ListArray.from_arrays(pa.array([0, 21 * MB], pa.int32()), pa.nulls(21 * MB))}))


WIDE = ",".join(f"_{number}" for number in range(1000)).encode() + b"\n"

#: Name, what makes the file, the words that refuse it, and how many megabytes that may take.
BOMBS: list[tuple[str, Callable[[Path], object], str, int]] = [
    ("line.csv", lambda path: repeated(path, b"title\n", b"x", 100 * MB), "Line 2 holds 100,000,000", 350),
    ("header.csv", lambda path: repeated(path, b"", b"ab,", 50 * MB), "Line 1 holds", 350),
    ("line.jsonl", lambda path: repeated(path, b'{"_n":"', b"x", 50 * MB, b'"}'), "Line 1 holds 50,000,009", 200),
    ("values.jsonl", lambda path: repeated(path, b'{"_n":[', b"[],", 50 * MB, b"1]}"), "JSON values", 200),
    ("lines.csv", lambda path: repeated(path, b"title\n", b"\n", 100 * MB), "10,000,000 lines", 350),
    ("nul.csv", lambda path: sparse(path, 50 * MB), "NUL characters", 200),
    ("sparse.csv", lambda path: sparse(path, 1000 * MB), "at most 500 MB", 20),
    ("wide.csv", lambda path: repeated(path, WIDE, b"x\n", 100_000), "20,000,000 cells", 1200),
    ("lying.xlsx", lambda path: path.write_bytes(lying(SHEET)), "damaged", 50),
    ("types.xlsx", lambda path: path.write_bytes(lying(TYPES)), "damaged", 50),
    ("bzip2.xlsx", lambda path: path.write_bytes(lying(TYPES, zipfile.ZIP_BZIP2)), "damaged", 50),
    ("dense.xlsx", lambda path: path.write_bytes(workbook(TITLE + row_xml(b"<c/>" * 3 * MB))), "outside of rows", 50),
    ("gap.xlsx", lambda path: path.write_bytes(workbook(TITLE + b'<row r="999999999"/>')), "1,048,576 rows", 50),
    ("far.xlsx", lambda path: path.write_bytes(workbook(TITLE + b'<row><c r="ZZZ1"/></row>' * 2000)), "cells", 50),
    ("parts.xlsx", lambda path: path.write_bytes(b"PK\x03\x04" + b"PK\x01\x02" * 100_000), "10,000 files", 20),
    ("shared.parquet", lambda path: path.write_bytes(shared(store_schema=True)), "more than 200 MB", 600),
    ("plain.parquet", lambda path: path.write_bytes(shared(store_schema=False)), "more than 200 MB", 600),
    ("nested.parquet", lambda path: path.write_bytes(nested_and_shared()), "more than 200 MB", 900),
    ("list.parquet", lambda path: path.write_bytes(long_list()), "21,000,000 values", 50),
]

#: Reads a sheet in a process of its own, and tells by how much the peak of its memory rose.
MEASURE = """
import json, resource, sys
if sys.argv[1].endswith("xlsx"):
    import openpyxl
elif sys.argv[1].endswith("parquet"):
    import pyarrow.parquet
from label_studio_stencil.problems import StencilError
from label_studio_stencil.sheet.sources import read_sheet

resource.setrlimit(resource.RLIMIT_AS, (6_000_000_000,) * 2)

def peak():
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

before = peak()
try:
    words = f"read {len(read_sheet(sys.argv[1]).rows)} rows"
except StencilError as error:
    words = str(error)
print(json.dumps([words, (peak() - before) // 1_000_000]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux, which tells the peak of a process")
@pytest.mark.slow
@pytest.mark.parametrize(("name", "make", "words", "most"), BOMBS, ids=[name for name, *_ in BOMBS])
def test_a_bomb_is_refused_within_bounded_memory(
    name: str, make: Callable[[Path], object], words: str, most: int, tmp_path: Path
) -> None:
    make(tmp_path / name)
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path / name], capture_output=True, check=True)
    told, megabytes = json.loads(done.stdout)
    (tmp_path / name).unlink()
    assert words in told
    assert megabytes < most


# Excel.


def laughs(encoding: str, part: str) -> bytes:
    """A workbook in which a part of a kilobyte says a gigabyte."""
    entities = ['<!ENTITY a "lol">']
    entities += [f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)]
    head = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE x [{"".join(entities)}]>'
    rows = f"<row><c t='inlineStr'><is><t>&{chr(106)};</t></is></c></row>"
    body = f"{head}<worksheet {NAMESPACE.decode()}><sheetData>{rows}</sheetData></worksheet>"
    return zipped({**plain_workbook(), part: body.encode(encoding)})


@pytest.mark.parametrize("part", [SHEET, STRINGS, BOOK, TYPES])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_a_workbook_that_laughs_is_refused(encoding: str, part: str) -> None:
    assert "XML entities" in refused(laughs(encoding, part))


@pytest.mark.parametrize("name", ["../../evil.xml", "/etc/evil.xml", "..\\evil.xml", "xl/worksheets/../../../evil.xml"])
def test_parts_that_want_to_be_elsewhere_are_not_written(name: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = tmp_path / "a" / "b" / "x.xlsx"
    path.write_bytes(workbook(**{name: b"<evil/>"}))
    requests, problems = judged(path)
    assert ([request.title for request in requests], problems) == (["abc", "def"], [])
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def test_a_workbook_with_a_password_on_its_parts_is_refused() -> None:
    content = bytearray(workbook())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(start) + flags] |= 1
    assert "damaged" in refused(bytes(content))


def test_macros_and_links_to_elsewhere_are_left_alone() -> None:
    parts = plain_workbook()
    namespace = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    link = b'<externalReferences><externalReference xmlns:r="%s" r:id="rId9"/></externalReferences>' % namespace
    relation = b'<Relationship Id="rId9" Type="%s/externalLink" Target="http://127.0.0.1:9/x.xlsx"' % namespace
    relation += b' TargetMode="External"/></Relationships>'
    macros = b"application/vnd.ms-excel.sheet.macroEnabled.main+xml"
    plain = b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
    book = parts[BOOK].replace(b"<definedNames", link + b"<definedNames")
    relations = parts["xl/_rels/workbook.xml.rels"].replace(b"</Relationships>", relation)
    assert link in book
    more = {BOOK: book, "xl/_rels/workbook.xml.rels": relations, TYPES: parts[TYPES].replace(plain, macros)}
    content = zipped({**parts, **more, "xl/vbaProject.bin": b"\xd0\xcf\x11\xe0 nonsense"})
    requests, problems = judged(content, "x.xlsm")
    assert ([request.title for request in requests], problems) == (["abc", "def"], [])


def formula(saved: str, attributes: str = "") -> bytes:
    return f"<c {attributes}><f>1+2</f>{saved}</c>".encode()


TWO = row_xml(text_cell("title"), text_cell("maximum_annotations"))


def test_a_formula_counts_with_the_value_that_is_saved_for_it() -> None:
    saved, blank = formula("<v>3</v>"), formula("<v></v>", 't="str"')
    content = workbook(TWO + row_xml(text_cell("abc"), saved) + row_xml(text_cell("def"), blank))
    requests, problems = judged(content)
    assert ([request.overrides for request in requests], problems) == ([{"maximum_annotations": 3}, {}], [])


@pytest.mark.parametrize("saved", ["", "<v/>", "<v></v>"])
def test_a_formula_without_a_saved_value_is_no_blank_cell(saved: str) -> None:
    requests, [problem] = judged(workbook(TWO + row_xml(text_cell("abc"), formula(saved)) + row_xml(text_cell("def"))))
    assert (problem.code, problem.line, problem.column) == ("formula-unsaved", 2, "maximum_annotations")
    assert [request.line for request in requests] == [3]


def test_a_header_that_is_a_formula_is_its_value_or_a_problem() -> None:
    header = [text_cell("title"), formula("<v>color</v>", 't="str"'), formula("")]
    _, problems = judged(workbook(row_xml(*header) + row_xml(text_cell("abc"), text_cell("red"))))
    assert [(each.code, each.line, each.column) for each in problems] == [
        ("formula-unsaved", 1, None),
        ("not-a-colour", 2, "color"),
    ]


# Parquet and JSON.


def test_nested_values_of_parquet_are_objects_or_problems() -> None:
    table = {
        "title": [["a", "b"], ["c"]],
        "overrides": [{"review_settings": {"requeue_rejected_tasks_to_annotator": True}}, {"review_settings": None}],
        "_map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
        "_deep": [[[[1], []], None], []],
    }
    _, problems = judged(parquet(pa.table(table)))
    assert [(each.code, each.line, each.column, each.value) for each in problems] == [
        ("title-not-text", 2, "title", "['a', 'b']"),
        ("title-not-text", 3, "title", "['c']"),
    ]


DEEP = "[" * 100_000
NESTED = "[" * 200 + "]" * 200


@pytest.mark.parametrize("deep", [DEEP, '{"a":' * 100_000], ids=["lists", "objects"])
def test_json_of_a_hundred_thousand_levels_is_a_problem_at_its_place(deep: str) -> None:
    quoted = deep.replace('"', '""')
    _, [problem] = judged(f'title,overrides\nabc,"{quoted}"\n'.encode())
    assert (problem.code, problem.line, problem.column) == ("not-json", 2, "overrides")
    assert "nests too deeply" in problem.message
    _, problems = judged(f'{{"title": "abc"}}\n{{"title": "def", "overrides": {deep}\n{deep}\n'.encode(), "x.jsonl")
    assert [(each.code, each.line) for each in problems] == [("not-a-row", 2), ("not-a-row", 3)]


@pytest.mark.parametrize("column", ["title", "workspace", "overrides", "color", "_n"])
def test_json_that_python_can_just_read_is_a_problem_too(column: str) -> None:
    line = f'{{"title": "abc", "{column}": {NESTED}}}' if column != "title" else f'{{"title": {NESTED}}}'
    _, [problem] = judged(line.encode())
    assert (problem.code, problem.line) == ("not-a-row", 1)
    _, [problem] = judged([json.loads(line)])
    assert (problem.code, problem.line) == ("not-a-row", 2)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("NaN", "NaN is not a JSON number"),
        ("-Infinity", "-Infinity is not a JSON number"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("1" * 5000, "5000 digits"),
        ("-" + "1" * 5000, "5000 digits"),
    ],
)
def test_json_that_others_would_read_otherwise_is_a_problem(value: str, words: str) -> None:
    for content in (f'{{"title": "abc", "_n": {value}}}', f'title;overrides\nabc;{{"color": {value}}}'):
        _, [problem] = judged(content.encode())
        assert (problem.code, problem.line) in {("not-a-row", 1), ("not-json", 2)}
        assert words in problem.message


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("title", "1e999", "title-not-text"),
        ("title", "1" * 4300, "title-too-long"),
        ("workspace", "1" * 4300, "bad-reference"),
        ("template", '"' + "x" * 1001 + '"', "bad-reference"),
        ("maximum_annotations", "1e999", "not-a-number"),
        ("maximum_annotations", "1" * 4300, "out-of-range"),
        ("agreement_threshold", "1e28", "out-of-range"),
        ("description", "1e999", "not-text"),
        ("zork", "1e999", "not-json"),
    ],
)
def test_a_number_or_name_beyond_measure_is_a_problem_at_its_place(column: str, value: str, code: str) -> None:
    line = f'{{"{column}": {value}}}' if column == "title" else f'{{"title": "abc", "{column}": {value}}}'
    requests, problems = judged(line.encode())
    assert [(each.code, each.line, each.column) for each in problems] == [(code, 1, column)]
    assert requests == []


def test_an_overrides_object_of_countless_names_is_one_problem() -> None:
    names = {f"name {number}": 1 for number in range(20_000)}
    _, [problem] = judged(json.dumps({"title": "abc", "overrides": names}).encode())
    assert (problem.code, problem.line, problem.column) == ("unknown-field", 1, "overrides")
    assert "20,000 fields, and at most 1,000" in problem.message


COUNTLESS = ",".join(f'"name {number}": 1' for number in range(100_000))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(f'{{"title": "abc", "maximum_annotations": "{"1" * 100_000}x"}}', "not-a-number", id="digits"),
        pytest.param(f'{{"title": "abc", {COUNTLESS}, "name 99999": 1}}', "not-a-row", id="a name twice"),
        pytest.param(f'{{"title": "abc", "review_settings": {{{COUNTLESS}}}}}', "unknown-key", id="unknown keys"),
    ],
)
def test_a_value_that_would_take_the_square_of_its_size_takes_no_time(content: str, code: str) -> None:
    # Minutes, otherwise, which the limit of time for a test does not give.
    _, problems = requests_of(read_sheet(content.encode()), template="t")
    assert {(each.code, each.line) for each in problems} == {(code, 1)}
    assert len(problems) <= 100


# Files that cells and commands name.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "sheets" / "of" / "mine"
    inside.mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (inside / "out").symlink_to(tmp_path)
    (inside / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(inside / "pipe.txt")
    sparse(inside / "sparse.txt", 1000 * MB)
    return inside


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        ("@../../../../../../../../etc/passwd", "outside-folder"),
        ("@./../mine/../../../secret.txt", "outside-folder"),
        ("@out/secret.txt", "outside-folder"),
        ("@zero.txt", "outside-folder"),
        ("@/dev/zero", "outside-folder"),
        ("@~/.ssh/id_rsa", "file-not-found"),
        ("@file:///etc/passwd", "file-not-found"),
        ("@pipe.txt", "file-not-found"),
        ("@sparse.txt", "file-too-large"),
        ("@a\0b.txt", "file-unreadable"),
        ("@" + "x/" * MB, "file-unreadable"),
        ("@\x1b[2Jx", "file-not-found"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_reference_reads_nothing_but_plain_files_of_its_folder(reference: str, code: str, folder: Path) -> None:
    (folder / "x.jsonl").write_text(json.dumps({"title": "abc", "overrides": {"description": reference}}))
    _, [problem] = judged(folder / "x.jsonl")
    assert (problem.code, problem.line, problem.column) == (code, 1, "overrides.description")
    assert problem.value
    assert "secret\n" not in str(problem)


def test_a_file_with_many_names_is_in_memory_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "one.txt").write_text("text")
    cells = ",".join(["title", "description"]) + "".join(f"\nrow {n},@{'./' * n}one.txt" for n in range(9))
    (folder / "x.csv").write_text(cells)
    reads: list[str] = []

    def counting(path: str, _asker: Asker, *, most: int) -> bytes:
        assert most
        reads.append(Path(path).name)
        return b"text"

    monkeypatch.setattr(references_module, "read", counting)
    requests, _ = judged(folder / "x.csv")
    assert [request.overrides["description"] for request in requests] == ["text"] * 9
    assert reads == ["one.txt"]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("/dev/zero", "is a device, not a file"),
        ("/dev/null", "is a device, not a file"),
        ("zero.txt", "is a device, not a file"),
        ("sparse.txt", "1000 MB, and Stencil reads at most 500 MB"),
        ("pipe.txt", "is empty"),
        ("out", "is a folder"),
        ("x/" * 3000, "more than 4,096 characters"),
        ("file://[x", "names no file"),
        ("http://[x", "malformed"),
        ("file:///\0", "null byte"),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_command_on_a_path_that_is_not_a_file_ends_with_a_message(where: str, words: str, folder: Path) -> None:
    code, text = command("check", where if "://" in where else folder / where)
    assert code == 2
    assert words in text or "needs a package" in text


def test_a_pipe_that_is_written_to_is_read(folder: Path) -> None:
    # Open for both, so that the writer need not wait for the reader.
    pipe = (folder / "pipe.txt").open("r+b", buffering=0)
    pipe.write(b"title\n")

    def write_the_rest() -> None:
        with pipe:
            pipe.write(b"abc\n")

    reader = os.open(folder / "pipe.txt", os.O_RDONLY | os.O_NONBLOCK)
    writer = threading.Thread(target=write_the_rest)
    writer.start()
    requests, problems = judged(folder / "pipe.txt")
    writer.join()
    os.close(reader)
    assert ([request.title for request in requests], problems) == (["abc"], [])


class Endless(io.RawIOBase):
    """A file without an end, which gives a few bytes at a time."""

    def read(self, size: int = -1, /) -> bytes:
        assert size > 0
        return b"x" * 1000


def test_standard_input_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MOST_BYTES", 1 * MB)
    monkeypatch.setattr(sys, "stdin", type("Stdin", (), {"buffer": Endless()}))
    assert command("check", "-")[0] == 2
    assert "more than 1 MB" in command("check", "-")[1]


class Slow(io.BytesIO):
    """A file that gives less than it is asked for, as connections do."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 3))


def test_a_file_that_comes_in_pieces_is_read_to_its_end() -> None:
    assert [row.cells for row in read_sheet(Slow(b"title\nabc\ndef\n")).rows] == [{"title": "abc"}, {"title": "def"}]


# What a sheet says, and where it is printed.


@pytest.mark.parametrize(
    "title",
    [
        "אבג",
        "a\u0301\u0323b\u0302c",
        "👩\u200d🔬 lab",
        "a\u0300" * 25,
        "می\u200cخواهم",
        "क्\u200dष",
        "\U0001f3f4\U000e0067\U000e007f",
    ],
)
def test_a_title_with_marks_of_its_script_is_kept(title: str) -> None:
    [request], problems = judged([{"title": title}])
    assert problems == []
    assert len(request.title) <= 50


UNSEEN = [
    "\u200b",
    "\u202e",
    "\u200e",
    "\ufeff",
    "\u2066",
    "\xad",
    "\u2060",
    "\xa0",
    "\u202f",
    "\u200c",
    "\u200d",
    "\u3164",
]


@pytest.mark.parametrize("mark", UNSEEN, ids=ascii)
def test_an_invisible_character_in_a_title_is_a_problem_that_shows_its_position(mark: str) -> None:
    _, [problem] = judged([{"title": "abc é"}, {"title": f"abc{mark} é"}])
    assert (problem.code, problem.line) == ("title-unseen-letter", 3)
    assert f"(U+{ord(mark):04X}), at position 4" in problem.message


@pytest.mark.parametrize("mark", UNSEEN, ids=ascii)
def test_what_nobody_sees_counts_for_nothing_in_headers_references_and_choices(mark: str) -> None:
    row: dict[str, object] = {
        f"{mark}title": "abc",
        f"workspace{mark}": f"{mark}7",
        f"sampling{mark}": f"{mark}Uniform sampling",
    }
    [request], problems = judged([row])
    assert (request.workspace, problems) == ("7", [])
    assert request.overrides == {"sampling": "Uniform sampling"}


@pytest.mark.parametrize("column", ["title", "workspace", "template"])
def test_a_flood_of_combining_marks_does_not_slow_down_reading(column: str) -> None:
    # Putting them in order would take minutes, which the limit of time for a test does not give.
    flood = "a" + "\u0301\u0316" * 200_000
    _, [problem] = judged([{"title": "abc", column: flood}])
    assert (problem.code, problem.line, problem.column) == (
        "title-too-long" if column == "title" else "bad-reference",
        2,
        column,
    )


@pytest.mark.parametrize("header", ["=1+1", '=HYPERLINK("http://x"),_n', "@SUM(A1)", "+cmd|' /C calc'!A0", "'=x"])
def test_a_header_that_would_be_a_formula_is_an_unknown_column(header: str) -> None:
    sheet = read_sheet(f'title|"{header.replace(chr(34), chr(34) * 2)}"\nabc|\n'.encode())
    requests, [problem] = requests_of(sheet, template="t")
    assert (problem.code, problem.line, problem.column) == ("unknown-column", 1, header.removeprefix("'"))
    assert requests == []


def test_a_thousand_columns_of_one_name_are_a_problem_each() -> None:
    _, problems = judged(",".join(["title"] * 1000).encode() + b"\nabc\n")
    assert [(each.code, each.line, each.column) for each in problems[:-1]] == [("duplicate-column", 1, "title")] * 999


SMUGGLED = "\x1b]0;owned\x07\x1b[2J\u202e\ud800"


@pytest.mark.parametrize(
    "row",
    [
        {"title": "abc", SMUGGLED: 1},
        {"title": SMUGGLED},
        {"title": "abc", "workspace": SMUGGLED},
        {"title": "abc", "color": SMUGGLED},
        {"title": "abc", "overrides": {SMUGGLED: 1}},
        {"title": "abc", "overrides": {"review_settings": {SMUGGLED: 1}}},
        {"title": "abc", "overrides": {"color": SMUGGLED}},
        {"title": "abc", "review_settings": f'{{"{SMUGGLED}": 1}}'},
        {"title": "abc", "description": f"@{SMUGGLED}"},
        {"title": "abc", f"_{SMUGGLED}": SMUGGLED, "color": "red"},
    ],
    ids=lambda row: ascii(list(row.items())[-1])[:50],
)
@pytest.mark.parametrize("flags", [["--json"], [], ["--allow-unknown-fields"]], ids=" ".join)
def test_what_a_sheet_smuggles_in_reaches_no_terminal(row: dict[str, object], flags: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row))
    code, text = command("check", path, "--template", "t", *flags)
    assert code == 2
    assert not set("\x1b\x07\ud800") & set(text)
    if "--json" in flags:
        assert json.loads(text[: text.rindex("}") + 1])["problems"]
    else:
        assert "\u202e" not in text


SECRET = "s3cr3t-of-others"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("passwd", f"root:{SECRET}:0:0:/root:/bin/sh\nx:{SECRET}:1:1::\n"),
        ("key.json", json.dumps({"private_key": SECRET, "type": SECRET})),
        ("keys.json", json.dumps([{"private_key": SECRET}])),
        ("key.pem", f"-----BEGIN KEY-----\n{SECRET}\n"),
        ("broken.json", f'[{{"{SECRET}": {SECRET}'),
        ("broken.csv", f'a "{SECRET}" b,"{SECRET}\n{SECRET}'),
        ("lines.jsonl", f"{SECRET}\n{{{SECRET}\n"),
        ("secret.csv", f"name,{SECRET}\n{SECRET},{SECRET}\n"),
        ("twice.csv", f"{SECRET},{SECRET}\n1,2\n"),
        ("page.html", f"<html><body>{SECRET}</body></html>"),
    ],
)
def test_what_is_no_sheet_is_quoted_by_no_message(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    code, said = command("check", tmp_path / name, "--offline")
    assert code == 2
    assert SECRET not in said


MUTATED = """
import io, sys
import pandas as pd
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet

file = io.BytesIO()
pd.DataFrame({"title": ["A", "B"], "maximum_annotations": [1, 2]}).to_parquet(file)
content = file.getvalue()
metadata = int.from_bytes(content[-8:-4], "little")
for at in range(len(content) - 8 - metadata, len(content) - 8):
    # The size of a list of Thrift is in the upper half of a byte.
    broken = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
    try:
        read_sheet(broken)
    except SheetUnreadable:
        pass
"""


def test_parquet_with_broken_metadata_is_refused_and_does_not_end_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", MUTATED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
