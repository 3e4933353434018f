"""A batch cut into shards: what each gets, and what is made of what they tell."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from stencil.batch import Batch, prepare
from stencil.checking import check
from stencil.options import BadOption, Options
from stencil.problems import StencilError
from stencil.report import Outcome
from stencil.sandbox import Sandbox
from stencil.settings import StudioSettings
from stencil.shards import (
    Shard,
    ShardRow,
    SheetChanged,
    asked_shards,
    auto_shards,
    check_at_once,
    from_columns,
    part_of,
    ranges,
    runs_of,
    to_columns,
)
from stencil.sheet import read_sheet
from stencil.studio import open_studio

SHEET = b"title,template,workspace\n" + b"".join(b"Row %d,1,1\n" % number for number in range(10))


def shard(first: int, last: int, digest: str = "", left_out: tuple[tuple[int, int], ...] = ()) -> Shard:
    return Shard(
        first_line=first,
        last_line=last,
        left_out=left_out,
        digest=digest,
        intent="",
        studio="http://127.0.0.1:1",
        run="",
    )


@pytest.mark.parametrize("number", [1, 2, 3, 7, 10, 64])
def test_every_row_is_in_one_shard_and_they_differ_by_one_row_at_most(number: int) -> None:
    lines = [2, 3, 5, 8, 9, 13, 14, 15, 16, 20]
    cut = ranges(lines, number)
    sizes = [sum(first <= line <= last for line in lines) for first, last in cut]
    assert sum(sizes) == len(lines)
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    assert all(before[1] < after[0] for before, after in itertools.pairwise(cut))


def test_shards_share_what_the_batch_may_have() -> None:
    assert [part_of(10, 4, index) for index in range(4)] == [3, 3, 2, 2]
    assert part_of(512, 3, 0) == 64


@pytest.mark.parametrize(("text", "number"), [("", 1), ("4", 4), (" AUTO ", None), ("1", 1)])
def test_shards_are_a_number_or_auto(text: str, number: int | None) -> None:
    assert asked_shards(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "many", "2.5", "65", "²"])
def test_other_shards_are_refused_with_the_value(text: str) -> None:
    with pytest.raises(BadOption, match=f"shards is '{text}'"):
        asked_shards(text)


def test_one_process_takes_64_requests_at_once_and_shards_as_many_each() -> None:
    check_at_once(64, 1)
    check_at_once(128, 2)
    with pytest.raises(BadOption, match="shards=2 or more"):
        check_at_once(65, 1)
    with pytest.raises(BadOption, match="share"):
        check_at_once(3, 4)


@pytest.mark.parametrize(
    ("rows", "at_once", "rate", "workers", "number"),
    [
        pytest.param(100_000, 64, 0, 4, 4, id="as many as help"),
        pytest.param(100_000, 64, 0, 2, 2, id="no more than workers"),
        pytest.param(100_000, 4, 0, 4, 1, id="few at once need one process"),
        pytest.param(2_500, 64, 0, 4, 2, id="a shard is worth a thousand rows"),
        pytest.param(100_000, 64, 15, 4, 1, id="a limited rate is shared"),
        pytest.param(100_000, 64, 0, 0, 1, id="no worker"),
    ],
)
def test_auto_takes_shards_where_they_bring_something(
    rows: int, at_once: int, rate: float, workers: int, number: int
) -> None:
    assert auto_shards(rows, at_once, rate, workers) == number


def test_a_shard_checks_the_whole_sheet_and_keeps_its_own_rows() -> None:
    twice = SHEET + b"Row 1,1,1\n"
    checked = check(read_sheet(twice), Options())
    part = checked.part(shard(4, 12, checked.sheet.digest))
    assert [request.line for request in part.requests] == [4, 5, 6, 7, 8, 9, 10, 11]
    assert [(problem.line, problem.code) for problem in part.problems] == [
        (problem.line, problem.code) for problem in checked.problems if problem.line and problem.line >= 4
    ]
    assert [row.line for row in part.sheet.rows] == list(range(4, 13))


def test_a_shard_leaves_out_what_the_batch_found_invalid() -> None:
    checked = check(read_sheet(SHEET), Options())
    part = checked.part(shard(4, 7, checked.sheet.digest, left_out=((5, 5),)))
    assert [request.line for request in part.requests] == [4, 6, 7]


def test_a_shard_of_another_sheet_is_refused() -> None:
    with pytest.raises(SheetChanged, match="changed after the batch began"):
        check(read_sheet(SHEET), Options()).part(shard(2, 4, "0" * 64))


def test_a_shard_on_another_studio_is_refused_by_both_addresses() -> None:
    with pytest.raises(StencilError, match=r"http://127.0.0.1:1,.*http://elsewhere"):
        shard(2, 3).check_studio("http://elsewhere")


def told(line: int, outcome: Outcome, project: int | None = None, **more: object) -> ShardRow:
    values = {"attempts": 1, "seconds": 0.5, "error_code": "", "error": "", "steps": "", **more}
    return ShardRow(line=line, outcome=outcome.value, project_id=project, **values)  # type: ignore[arg-type]


def test_rows_come_through_a_table_as_they_were() -> None:
    rows = [told(2, Outcome.CREATED, 7), told(3, Outcome.FAILED, error="no", error_code="rejected")]
    assert list(from_columns(to_columns(rows))) == rows
    assert list(from_columns(to_columns([]))) == []


@contextlib.asynccontextmanager
async def planned(sandbox: Sandbox, sheet: bytes = SHEET, **options: Any) -> AsyncIterator[Batch]:
    """The batch of a sheet."""
    chosen = Options(**options)
    async with open_studio(StudioSettings(sandbox.url, SecretStr(sandbox.token)), chosen) as studio:
        yield await prepare(check(read_sheet(sheet), chosen), chosen, studio)


async def merged(*runs: list[ShardRow], max_failures: str = "") -> Batch:
    """A batch of ten rows after what the runs of its shards told."""
    with Sandbox() as sandbox:
        async with planned(sandbox, max_failures=max_failures) as batch:
            for run in runs:
                batch.take_over(run)
            return batch


async def test_the_intent_of_a_shard_is_that_of_its_rows_alone() -> None:
    with Sandbox() as sandbox:
        async with planned(sandbox) as one, planned(sandbox, SHEET.replace(b"Row 9,1", b"Row 9,2")) as other:
            assert one.intent(2, 10) == other.intent(2, 10)
            assert one.intent(2, 11) != other.intent(2, 11)
            with pytest.raises(SheetChanged, match="come to something else here"):
                one.shard(2, 11, "").check_intent(other.intent(2, 11))


async def test_rows_whose_steps_are_left_are_due_in_the_next_batch_and_say_so_in_this_one() -> None:
    sheet = b"title,template,workspace,publish\nOne row,1,1,yes\nTwo rows,1,1,\n"
    with Sandbox() as sandbox:
        async with planned(sandbox, sheet) as batch:
            await batch.engine.attempt(batch.engine.tickets)
            batch.stopping.stop("cancelled")
            await batch.finish_staked()
            assert [row.error_code for row in batch.report().rows] == ["step-failed", ""]
        async with planned(sandbox, sheet) as batch:
            assert [ticket.outcome for ticket in batch.engine.tickets] == [Outcome.EXISTS, Outcome.EXISTS]
            assert [ticket.target.request.line for ticket in batch.due()] == [2]


def outcomes(batch: Batch) -> list[tuple[Outcome, int | None]]:
    return [(row.outcome, row.project_id) for row in batch.report().rows]


async def test_the_report_holds_what_shards_told_and_the_others_as_unprocessed() -> None:
    batch = await merged([told(2, Outcome.CREATED, 70), told(3, Outcome.FAILED, error="no", error_code="rejected")])
    first, second, third, *_ = batch.report().rows
    assert (first.outcome, first.project_id, first.attempts) == (Outcome.CREATED, 70, 1)
    assert (second.outcome, second.error, second.error_code) == (Outcome.FAILED, "no", "rejected")
    assert third.outcome is Outcome.UNPROCESSED


async def test_what_a_killed_shard_made_and_its_rerun_found_counts_as_created() -> None:
    first = [told(2, Outcome.CREATED, 70), told(3, Outcome.CREATED, 71), told(4, Outcome.UNPROCESSED)]
    rerun = [told(2, Outcome.EXISTS, 70), told(3, Outcome.EXISTS, 99), told(4, Outcome.FINISHED, 72)]
    batch = await merged(first, rerun)
    assert outcomes(batch)[:3] == [(Outcome.CREATED, 70), (Outcome.EXISTS, 99), (Outcome.FINISHED, 72)]


async def test_a_rerun_that_was_stopped_takes_nothing_back() -> None:
    batch = await merged([told(2, Outcome.CREATED, 70)], [told(2, Outcome.UNPROCESSED, error="stopped")])
    row = batch.report().rows[0]
    assert (row.outcome, row.project_id, row.error) == (Outcome.CREATED, 70, "")


async def test_too_many_failures_in_all_shards_together_stop_the_batch() -> None:
    batch = await merged([told(2, Outcome.FAILED)], max_failures="2")
    batch.elsewhere.counts[Outcome.FAILED] = 1
    batch.check_failures()
    assert not batch.stopping
    batch.elsewhere.counts[Outcome.AMBIGUOUS] = 1
    batch.check_failures()
    assert "max_failures" in batch.stopping.reason


async def test_failures_that_a_rerun_tells_again_count_once() -> None:
    batch = await merged([told(2, Outcome.FAILED)], [told(2, Outcome.FAILED)], max_failures="1")
    assert (batch.failures, bool(batch.stopping)) == (1, False)


async def test_steps_that_a_rerun_did_are_told_of_the_row_that_the_first_run_made() -> None:
    batch = await merged([told(2, Outcome.CREATED, 70)], [told(2, Outcome.EXISTS, 70, steps="published")])
    row = batch.report().rows[0]
    assert (row.outcome, row.steps) == (Outcome.CREATED, "published")


@pytest.mark.parametrize(
    ("lines", "runs"),
    [((), ()), ((5,), ((5, 5),)), ((7, 3, 4, 5, 9), ((3, 5), (7, 7), (9, 9))), (range(2, 120_002), ((2, 120_001),))],
    ids=["none", "one", "several", "a hundred thousand"],
)
def test_lines_that_follow_one_another_are_told_as_one_run(
    lines: Sequence[int], runs: tuple[tuple[int, int], ...]
) -> None:
    assert runs_of(lines) == runs
    assert shard(1, 200_000, left_out=runs).lines_left_out == frozenset(lines)
