"""The public API, as a Python developer uses it, on the sandbox."""

import asyncio
import csv
import inspect
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import SecretStr
from starlette.responses import Response

import label_studio_stencil
from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil import (
    BadOption,
    BatchFailed,
    InvalidSheet,
    MissingSettings,
    Outcome,
    OutputUnwritable,
    Report,
    SheetUnreadable,
    StencilError,
    Unauthorized,
    check,
    create,
    plan,
)
from label_studio_stencil.api import CheckOptions, CreateOptions

ROOT = Path(__file__).resolve().parents[1]
ROW = {"title": "Reviews", "template": "1", "workspace": "1"}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that the environment names as Label Studio."""
    with Sandbox(log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


def writes(sandbox: Sandbox) -> list[str]:
    """Methods of the requests that write; a labelling interface is asked about by POST."""
    asked = "/api/projects/validate/"
    return [each.method for each in sandbox.requests if each.method != "GET" and each.path != asked]


def outcomes(report: Report) -> list[tuple[int, str, Outcome]]:
    return [(row.line, row.title, row.outcome) for row in report.rows]


async def test_rows_become_projects_once(sandbox: Sandbox) -> None:
    report = await create([{"title": "One row"}, {"title": "Two rows"}], template="Sentiment Analysis", workspace=1)  # type: ignore[arg-type] # an id
    assert outcomes(report) == [(2, "One row", Outcome.CREATED), (3, "Two rows", Outcome.CREATED)]
    assert report.ok
    again = await create([{"title": "One row"}], template="1", workspace="1")
    assert outcomes(again) == [(2, "One row", Outcome.EXISTS)]


@pytest.mark.parametrize("packed", ["path", "text of a path", "bytes", "frame", "frame with an index", "Arrow"])
async def test_every_source_is_the_same_sheet(sandbox: Sandbox, tmp_path: Path, packed: str) -> None:
    text = "title,maximum_annotations\nOne row,2\nTwo rows,\n"
    path = tmp_path / "sheet.csv"
    path.write_text(text)
    frame = pd.DataFrame({"title": ["One row", "Two rows"], "maximum_annotations": [2, float("nan")]})
    sources: dict[str, Any] = {
        "path": path,
        "text of a path": str(path),
        "bytes": text.encode(),
        "frame": frame,
        "frame with an index": frame.set_index("title"),
        "Arrow": pa.table({"title": ["One row", "Two rows"], "maximum_annotations": pa.array([2, None])}),
    }
    report = await plan(sources[packed], template="1", workspace="1")
    assert outcomes(report) == [(2, "One row", Outcome.CREATED), (3, "Two rows", Outcome.CREATED)]
    assert report.dry_run
    assert writes(sandbox) == []


async def test_a_frames_days_are_titles_as_in_a_workbook(sandbox: Sandbox) -> None:
    frame = pd.DataFrame({"title": pd.to_datetime(["2026-01-02", "2026-01-03"]), 7: ["x", "y"]})
    report = await create(frame.rename(columns={7: "_seven"}), template="1", workspace="1")
    assert [row.title for row in report.rows] == ["2026-01-02", "2026-01-03"]


async def test_rows_that_need_attention_are_reported_and_raise_only_where_that_is_asked_for(sandbox: Sandbox) -> None:
    sheet = [ROW, {**ROW, "title": "Bad", "model_version": "no such model"}]
    report = await create(sheet)
    assert [row.outcome for row in report.needs_attention] == [Outcome.FAILED]
    assert (await create(sheet, fail_when="all")).rows[0].outcome is Outcome.EXISTS
    with pytest.raises(BatchFailed) as caught:
        await create(sheet, fail_when="any")
    assert caught.value.report.counts[Outcome.FAILED] == 1


async def test_a_sheet_with_problems_raises_all_of_them_and_nothing_is_written(sandbox: Sandbox) -> None:
    sheet = [{**ROW, "color": "red"}, {**ROW, "title": "Other", "workspace": "Nowhere"}]
    for call in (create, plan):
        with pytest.raises(InvalidSheet) as caught:
            await call(sheet)
        assert [each.code for each in caught.value.problems] == ["not-a-colour", "workspace-unknown"]
    found = await check(sheet)
    assert [each.code for each in found.problems] == ["not-a-colour", "workspace-unknown"]
    assert (found.ok, found.online, found.rows) == (False, True, 2)
    assert writes(sandbox) == []


async def test_a_check_asks_no_label_studio_where_none_is_named_or_offline_is_given(sandbox: Sandbox) -> None:
    found = await check([{**ROW, "workspace": "Nowhere"}], offline=True)
    assert (found.ok, found.online) == (True, False)
    assert len(sandbox.requests) == 0


async def test_label_studio_is_named_by_the_call_or_by_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL")
    with pytest.raises(MissingSettings):
        await plan([ROW])
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    for token in (sandbox.token, SecretStr(sandbox.token)):
        assert (await plan([ROW], url=sandbox.url + "/projects", token=token)).label_studio == sandbox.url
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "sandbox.sqlite3"))
    assert (await create([ROW], sandbox=True)).sandbox


async def test_a_url_without_a_token_takes_none_of_the_environment(sandbox: Sandbox) -> None:
    with pytest.raises(BadOption, match="url and token go together"):
        await plan([ROW], url="http://127.0.0.1:1")


async def test_a_token_is_in_no_message(sandbox: Sandbox) -> None:
    with pytest.raises(Unauthorized) as refused:
        await plan([ROW], url=sandbox.url, token="0123456789abcdef-secret")
    with pytest.raises(BadOption) as bad:
        await plan([ROW], url=sandbox.url, token=["0123456789abcdef-secret"])  # type: ignore[arg-type]
    options = CreateOptions(url=sandbox.url, token="0123456789abcdef-secret")
    assert "secret" not in f"{refused.value!r}{bad.value!r}{options!r}{options}"


async def test_headers_go_with_each_request_and_are_in_no_repr() -> None:
    seen: set[bytes] = set()

    async def note(call: Call, proceed: Proceed) -> Response:
        seen.add(call.headers.get(b"cf-access-client-secret", b""))
        return await proceed()

    headers = {"CF-Access-Client-Secret": "0123456789abcdef-secret"}
    with Sandbox(interceptors=[note]) as sandbox:
        await plan([ROW], url=sandbox.url, token=sandbox.token, headers=headers)
    assert seen == {b"0123456789abcdef-secret"}
    assert "abcdef" not in repr(CreateOptions(headers=headers))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"templat": "1"}, "there is no option 'templat'. Did you mean template"),
        ({"mode": "upsert"}, "mode: takes 'create' or 'update'"),
        ({"max_concurrency": 65}, "max_concurrency: takes a number of at most 64"),
        ({"requests_per_second": 0.2}, "requests_per_second: takes 0, for the default, or a number of at least 0.5"),
        ({"max_failures": "some"}, "`max_failures=some` is not a number"),
        ({"lines": "9-2"}, "`lines=9-2` names no lines"),
    ],
    ids=["no such option", "no such choice", "too many", "too slow", "no share", "no lines"],
)
async def test_an_option_that_can_not_be_taken_is_named(sandbox: Sandbox, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadOption, match=said):
        await create([ROW], **options)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (pd.DataFrame({"title": [b"\xad\xad"]}), "the title must be text"),
        (pd.DataFrame([["One", "Two"]], columns=["title", "title"]), "duplicate-column"),
        (pd.DataFrame({"title": []}), "empty-sheet"),
        (pd.Series(["One"]), "The Series can't be read"),
        (7, "can't be read from a value of type int"),
    ],
    ids=["bytes", "twice", "empty", "no frame", "a number"],
)
async def test_a_source_that_is_none_says_so(sandbox: Sandbox, source: Any, said: str) -> None:
    with pytest.raises(StencilError, match=said):
        await create(source)


async def test_a_file_that_is_not_there_is_a_sheet_that_can_not_be_read(sandbox: Sandbox) -> None:
    with pytest.raises(SheetUnreadable, match=r"gone\.csv"):
        await create("gone.csv")


async def test_result_files_are_written_where_output_says(sandbox: Sandbox, tmp_path: Path) -> None:
    await create([ROW, {**ROW, "title": "Bad", "model_version": "no such model"}], output=str(tmp_path / "out"))
    with (tmp_path / "out" / "failed.csv").open(encoding="utf-8-sig") as file:
        assert [row["title"] for row in csv.DictReader(file)] == ["Bad"]


async def test_a_folder_of_results_may_be_named_after_the_time(sandbox: Sandbox, tmp_path: Path) -> None:
    await create([ROW], output=str(tmp_path / "out" / "{time}"))
    (later,) = (tmp_path / "out").iterdir()
    assert datetime.now(UTC) - datetime.strptime(later.name, "%Y-%m-%dT%H%M%S%z") < timedelta(minutes=10)
    assert {path.name for path in later.iterdir()} == {"results.csv", "failed.csv"}


async def test_results_that_can_not_be_written_are_an_error_before_or_in_the_report(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputUnwritable):
        await create([ROW], output=str(tmp_path / "file"))
    assert writes(sandbox) == []
    (tmp_path / "results.csv").mkdir()
    report = await create([ROW], output=str(tmp_path))
    assert str(tmp_path) in report.output_error
    assert report.notes == (report.output_error,)


async def test_a_cancelled_call_completes_what_it_began_and_its_rerun_does_the_rest(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    rows = [{**ROW, "title": f"Row {number:03}"} for number in range(400)]
    running = asyncio.ensure_future(create(rows, max_concurrency=2, output=str(tmp_path)))
    while not writes(sandbox).count("PATCH"):  # noqa: ASYNC110 - the sandbox runs in a thread of its own
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    made = writes(sandbox).count("POST")
    assert made == writes(sandbox).count("PATCH") < 400
    with (tmp_path / "results.csv").open(encoding="utf-8-sig") as file:
        told = [row["outcome"] for row in csv.DictReader(file)]
    assert (told.count("created"), told.count("unprocessed")) == (made, 400 - made)
    report = await create(rows, max_concurrency=16)
    assert (report.counts[Outcome.EXISTS], report.counts[Outcome.CREATED]) == (made, 400 - made)


def test_importing_the_package_imports_next_to_nothing_and_using_it_no_prefect_and_no_pandas() -> None:
    program = (
        "import sys, label_studio_stencil\n"
        "print(sorted({'pydantic', 'httpx', 'pandas', 'prefect'} & set(sys.modules)))\n"
        "from label_studio_stencil import create\n"
        "print(sorted({'pandas', 'numpy', 'prefect', 'starlette', 'openpyxl', 'pyarrow'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split("\n") == ["[]", "[]", ""]


def test_what_is_public_is_sorted_there_and_documented() -> None:
    public = label_studio_stencil.__all__
    assert public == sorted(public)
    assert set(public) <= set(dir(label_studio_stencil))
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in public if getattr(label_studio_stencil, name) is None or f"`{name}`" not in page] == []


def test_every_option_is_a_keyword() -> None:
    keywords = {**inspect.signature(create).parameters, **inspect.signature(check).parameters}
    assert set(keywords) == {"source", *CheckOptions.model_fields, *CreateOptions.model_fields}
