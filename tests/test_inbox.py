"""The inbox without Prefect: what is a sheet, when it is settled, and where it goes with its results."""

import csv
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.inbox.errors import InboxUnusable
from label_studio_stencil.inbox.folder import Inbox, WaitingSheet, is_sheet, problems_csv
from label_studio_stencil.inbox.outcomes import Handled, Poll, SheetOutcome, SheetsLeft, outcome_of
from label_studio_stencil.labelstudio.errors import Unauthorized, Unsure
from label_studio_stencil.problems import InvalidSheet, Problem
from label_studio_stencil.report.files import OutputUnwritable
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.settings import MissingSettings
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet
from tests.report.reports import report, row

AT = datetime(2026, 11, 24, 10, 15, 30, tzinfo=UTC)
OK = report(row(2))
REFUSED = InvalidSheet("a.csv", [Problem("title-too-short", "too short.", line=2, column="title", value="=ab")])


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """A store without folders' times, renames or paths of its own."""
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture(params=["a folder", "a store"])
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: MemoryFileSystem) -> str:
    """An inbox's URL."""
    if request.param == "a store":
        return "memory://in"
    (tmp_path / "in").mkdir()
    return str(tmp_path / "in")


def put(place: str, name: str, content: str = "title\nabc\n", age: float = 60) -> None:
    """A sheet that was written some seconds ago."""
    system, path = fsspec.core.url_to_fs(f"{place}/{name}")
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(path, content.encode())
    then = datetime.now(UTC).timestamp() - age
    if isinstance(system, MemoryFileSystem):
        system.store[path].modified = datetime.fromtimestamp(then, UTC)
    else:
        os.utime(path, (then, then))


def files(place: str) -> list[str]:
    """All that is in the inbox and below."""
    system, path = fsspec.core.url_to_fs(place)
    return sorted(str(found)[len(path) + 1 :] for found in system.find(path))


def content(place: str, name: str) -> str:
    with fsspec.open(f"{place}/{name}", "rb") as file:
        return str(file.read().decode("utf-8-sig"))


def only(inbox: Inbox) -> WaitingSheet:
    (sheet,) = inbox.waiting()
    return sheet


@pytest.mark.parametrize(
    "name", ["a.csv", "A.CSV", "b.tsv", "c.jsonl", "d.ndjson", "e.xlsx", "f.parquet", "g.xls", "a b[1]*.csv", "ü.csv"]
)
def test_a_file_of_a_sheets_extension_is_a_sheet(name: str) -> None:
    assert is_sheet(name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(".a.csv", id="hidden"),
        pytest.param("~$book.xlsx", id="Excel's lock"),
        pytest.param(".~lock.a.csv#", id="LibreOffice's lock"),
        pytest.param("a.csv.part", id="a download"),
        pytest.param("a.csv.crdownload", id="Chrome's download"),
        pytest.param("a.csv.tmp", id="temporary"),
        pytest.param("a.csv~", id="a backup"),
        pytest.param("guide.txt", id="a text that a cell may refer to"),
        pytest.param("ner.yaml", id="a template"),
        pytest.param("csv", id="no extension"),
        pytest.param(".csv", id="nothing but an extension"),
    ],
)
def test_other_files_are_passed_over(name: str) -> None:
    assert not is_sheet(name)


def test_sheets_wait_in_the_order_of_their_times_and_none_from_below_is_among_them(place: str) -> None:
    put(place, "a.csv", age=20)
    put(place, "b.csv", age=40)
    put(place, "done/c.csv")
    put(place, "guide.md")
    assert [sheet.name for sheet in Inbox(place).waiting()] == ["b.csv", "a.csv"]


@pytest.mark.parametrize(
    ("age", "settled"),
    [(60, True), (12, True), (5, False), (0, False), (-5, False), (-3600, True)],
    ids=["a minute", "just enough", "too new", "now", "in the future", "of another machine's clock"],
)
def test_a_sheet_is_settled_when_it_was_not_changed_lately(place: str, age: float, settled: bool) -> None:
    put(place, "a.csv", age=age)
    inbox = Inbox(place)
    assert only(inbox).is_quiet(inbox.now(), 10) is settled


def test_age_counts_by_the_file_systems_own_clock(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put("memory://in", "a.csv", age=3605)
    behind = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 3600, UTC)
    newest = memory.modified
    monkeypatch.setattr(memory, "modified", lambda path: newest(path) if path.endswith(".csv") else behind)
    inbox = Inbox("memory://in")
    assert not only(inbox).is_quiet(inbox.now(), 10)


def test_looking_leaves_nothing_behind(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    inbox.waiting()
    inbox.now()
    assert files(place) == ["a.csv"]


def test_what_happens_to_a_sheet_after_a_look_is_seen(place: str) -> None:
    put(place, "a.csv", age=60)
    inbox = Inbox(place)
    sheet = only(inbox)
    assert inbox.change(sheet) is None
    put(place, "a.csv", content="title\nabd\n", age=30)
    assert inbox.change(sheet) is SheetOutcome.WRITING
    put(place, "a.csv", content="title\nabc\nabd\n", age=60)
    assert inbox.change(sheet) is SheetOutcome.WRITING
    system, path = fsspec.core.url_to_fs(f"{place}/a.csv")
    system.rm_file(path)
    assert inbox.change(sheet) is SheetOutcome.GONE


def test_a_sheet_whose_rows_are_ok_is_moved_to_done_with_its_results(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    handled = inbox.put_away(only(inbox), OK, AT)
    folder = "done/2026-11-24T101530Z-a.csv"
    assert files(place) == [f"{folder}/a.csv", f"{folder}/failed.csv", f"{folder}/results.csv"]
    assert content(place, f"{folder}/a.csv") == "title\nabc\n"
    assert handled == Handled("a.csv", SheetOutcome.DONE, OK.sentence, f"{inbox.name}/{folder}")


def test_a_sheet_with_rows_that_need_attention_is_moved_to_failed(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    bad = report(row(2), row(3, Outcome.FAILED))
    assert inbox.put_away(only(inbox), BatchFailed(bad), AT).outcome is SheetOutcome.FAILED
    folder = "failed/2026-11-24T101530Z-a.csv"
    assert files(place) == [f"{folder}/a.csv", f"{folder}/failed.csv", f"{folder}/results.csv"]
    assert content(place, f"{folder}/failed.csv") == "title\r\nProject 3\r\n"


def test_a_sheet_that_was_refused_lies_beside_its_problems(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    inbox.put_away(only(inbox), REFUSED, AT)
    folder = "failed/2026-11-24T101530Z-a.csv"
    assert files(place) == [f"{folder}/a.csv", f"{folder}/problems.csv"]
    found = list(csv.DictReader(io.StringIO(content(place, f"{folder}/problems.csv"), newline="")))
    cell = {"line": "2", "column": "title", "value": "'=ab", "code": "title-too-short", "message": "too short."}
    assert found == [cell]


def test_the_sheets_own_problems_have_neither_line_nor_column() -> None:
    assert problems_csv([Problem("empty-sheet", "-x")]).splitlines()[1] == ",,,empty-sheet,'-x"


def test_the_same_name_twice_in_a_second_makes_two_folders(place: str) -> None:
    inbox = Inbox(place)
    for _ in range(2):
        put(place, "a.csv")
        inbox.put_away(only(inbox), REFUSED, AT)
    kept = ["failed/2026-11-24T101530Z-2-a.csv/a.csv", "failed/2026-11-24T101530Z-a.csv/a.csv"]
    assert [name for name in files(place) if name.endswith("/a.csv")] == kept


@pytest.mark.parametrize("name", ["failed.csv", "Results.csv"])
def test_a_sheet_named_as_a_file_of_results_is_kept_beside_them(place: str, name: str) -> None:
    put(place, name, content="title\nmended\n")
    inbox = Inbox(place)
    inbox.put_away(only(inbox), OK, AT)
    folder = f"done/2026-11-24T101530Z-{name}"
    assert content(place, f"{folder}/sheet-{name}") == "title\nmended\n"
    assert len(files(place)) == 3


@pytest.mark.parametrize("name", ["a[12].csv", "a*.csv", "a b,c;ü%20.csv", f"{'x' * 240}.csv"])
def test_names_that_are_patterns_or_long_are_names(place: str, name: str) -> None:
    put(place, name)
    put(place, "a1.csv", age=20)
    inbox = Inbox(place)
    sheet = inbox.waiting()[0]
    assert len(read_sheet(sheet.url).rows) == 1
    handled = inbox.put_away(sheet, OK, AT)
    assert [found for found in files(place) if "/" not in found] == ["a1.csv"]
    assert content(handled.folder, name) == "title\nabc\n"


def test_a_sheet_that_changed_while_it_was_run_stays(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    sheet = only(inbox)
    put(place, "a.csv", content="title\nabc\nmore\n", age=0)
    assert inbox.put_away(sheet, OK, AT).outcome is SheetOutcome.WRITING
    assert files(place) == ["a.csv"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(MissingSettings("Set LABEL_STUDIO_URL"), id="no settings"),
        pytest.param(Unauthorized("token"), id="token refused"),
        pytest.param(Unsure("no connection"), id="no answer"),
        pytest.param(BatchFailed(report(row(2, Outcome.UNPROCESSED), stopped="token")), id="stopped by a 401"),
        pytest.param(ZeroDivisionError(), id="a bug"),
    ],
)
def test_what_is_no_fault_of_the_sheet_leaves_it_where_it_is(place: str, error: Exception) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    assert inbox.put_away(only(inbox), error, AT).outcome is SheetOutcome.LEFT
    assert files(place) == ["a.csv"]


def test_a_file_that_is_no_table_fails_but_a_missing_package_is_no_fault_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04 and then nothing")
    assert outcome_of(unreadable(tmp_path / "book.xlsx"))[0] is SheetOutcome.FAILED
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    assert outcome_of(unreadable(tmp_path / "book.xlsx"))[0] is SheetOutcome.LEFT


def unreadable(path: Path) -> SheetUnreadable:
    with pytest.raises(SheetUnreadable) as refused:
        read_sheet(path)
    return refused.value


def test_a_sheet_is_there_until_its_results_are(place: str) -> None:
    put(place, "a.csv")
    inbox = Inbox(place)
    sheet = only(inbox)
    put(place, "done", content="a file where a folder is needed")
    with pytest.raises(OutputUnwritable):
        inbox.put_away(sheet, OK, AT)
    assert content(place, "a.csv") == "title\nabc\n"


def test_a_copy_that_fell_short_keeps_the_sheet(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put("memory://in", "a.csv")
    inbox = Inbox("memory://in")
    monkeypatch.setattr(memory, "cp_file", lambda _, target: memory.pipe_file(target, b"tit"))
    with pytest.raises(InboxUnusable, match="has a different size"):
        inbox.put_away(only(inbox), OK, AT)
    assert content("memory://in", "a.csv") == "title\nabc\n"


def test_a_file_system_that_can_only_move_moves(memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: str) -> None:
        raise NotImplementedError

    def move(source: str, target: str) -> None:
        memory.store[target] = memory.store.pop(source)

    monkeypatch.setattr(memory, "cp_file", refuse)
    monkeypatch.setattr(memory, "mv", move)
    put("memory://in", "a.csv")
    inbox = Inbox("memory://in")
    inbox.put_away(only(inbox), OK, AT)
    assert [name.rpartition("/")[2] for name in files("memory://in")] == ["a.csv", "failed.csv", "results.csv"]


def test_a_local_sheet_is_run_by_its_path_so_that_files_beside_it_are_found(tmp_path: Path) -> None:
    put(str(tmp_path), "a.csv")
    assert only(Inbox(f"file://{tmp_path}/")).url == str(tmp_path / "a.csv")
    assert read_sheet(only(Inbox(str(tmp_path))).url).folder == tmp_path


@pytest.mark.parametrize(
    ("url", "said"),
    [
        pytest.param("", "name a folder", id="nothing"),
        pytest.param("{here}/nowhere", "no such folder", id="no folder"),
        pytest.param("{here}/a.csv", "is a file", id="a file"),
        pytest.param("memory://nowhere", "no such folder", id="nothing in a store with folders"),
        pytest.param("nonsense://me:hunter2@in", "nonsense", id="no such protocol"),
    ],
)
def test_the_error_of_a_bad_inbox_hides_its_password(
    tmp_path: Path, memory: MemoryFileSystem, url: str, said: str
) -> None:
    put(str(tmp_path), "a.csv")
    with pytest.raises(InboxUnusable, match=said) as refused:
        Inbox(url.format(here=tmp_path)).waiting()
    assert "hunter2" not in str(refused.value)


def test_an_inbox_that_cannot_be_written_is_known_before_a_sheet_is_run(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(memory, "pipe_file", refuse)
    with pytest.raises(InboxUnusable, match="Permission denied"):
        Inbox("memory://in").now()


def test_one_inbox_has_one_key_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ways = [str(tmp_path), f"{tmp_path}/", f"file://{tmp_path}", ".", f" {tmp_path}/../{tmp_path.name} "]
    assert len({Inbox(way).key for way in ways}) == 1
    assert Inbox("memory://me:pass@in/").key == Inbox("memory://in").key != Inbox("memory://inn").key


def test_a_polls_sentence_counts() -> None:
    outcomes = [
        SheetOutcome.DONE,
        SheetOutcome.WRITING,
        SheetOutcome.FAILED,
        SheetOutcome.GONE,
        SheetOutcome.LEFT,
        SheetOutcome.DONE,
    ]
    poll = Poll(tuple(Handled("a.csv", outcome, "no answer") for outcome in outcomes))
    counts = "4 sheets: 2 done, 1 failed, 1 left for the next time; 1 still being written; 1 taken away meanwhile"
    assert poll.sentence == counts
    assert str(SheetsLeft(poll)) == f"{counts}\n  a.csv: no answer"
    assert Poll().sentence == "no new sheet"
    assert Poll((Handled("a.csv", SheetOutcome.WRITING),)).sentence == "no new sheet; 1 still being written"


def test_a_link_is_no_sheet_and_one_that_takes_a_sheets_place_opens_nothing_outside(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (tmp_path / "secret.csv").write_text("title\nof others\n")
    (inbox / "link.csv").symlink_to(tmp_path / "secret.csv")
    opened = Inbox(str(inbox))
    assert opened.waiting() == []
    with pytest.raises(SheetUnreadable, match="a sheet in an inbox may open"):
        read_sheet(str(inbox / "link.csv"), asker=opened.asker)
