"""The protocol of one row, exactly once: its eight nastiest scenarios by name, those that failed once, and any others."""

import os
import secrets

import pytest

from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from tests.provisioning.kept import KEPT
from tests.provisioning.random_scenes import random_scene
from tests.provisioning.scenes import OTHER_COLOR, Scene, Stage, Start, Visit, played, title
from tests.provisioning.simulated import Fault, Imports

#: Scenes of one run, each time others, and the seed of the first: some hundred in `make test`, a thousand in `make test-all`,
#: ten thousand in `make soak`.
SCENES = int(os.environ.get("STENCIL_SCENES", "200"))
FIRST_SEED = int(os.environ.get("STENCIL_SEED") or secrets.randbelow(2**32))
#: Tests that they are shared out to, so that processes can play them side by side.
PARTS = 8

# The eight nastiest scenarios


def all_of(outcomes: set[Outcome], report: Report) -> bool:
    return {row.outcome for row in report.rows} <= outcomes


@pytest.mark.parametrize("lag", [0.0, 1.0], ids=["prompt list", "list one second behind"])
@pytest.mark.parametrize("seconds", [0.015, 0.2, 3.0])
def test_two_batches_in_lockstep_with_ids_against_commits_name_the_same_projects(seconds: float, lag: float) -> None:
    slow = tuple((client, "POST", number, Fault(delay=seconds)) for number in range(1, 25, 3) for client in "ab")
    stage = played(Scene(rows=24, starts=(Start("a"), Start("b")), faults=slow, lag=lag))
    assert all(stage.reports[name].ok for name in "ab")


@pytest.mark.parametrize("behind", [0.0, 0.005, 0.3, 5.0])
def test_two_batches_on_a_lagging_list_of_which_one_dies_before_its_finish(behind: float) -> None:
    starts = (Start("a", dies_on="PATCH"), Start("b", at=behind))
    stage = played(Scene(rows=24, starts=starts, lag=1.0))
    assert set(stage.reports) == {"b", "r"}
    assert stage.reports["b"].ok


@pytest.mark.parametrize("lost", ["before", "after", "late"])
def test_a_server_that_replays_creates_and_loses_the_answer_to_the_finish(lost: str) -> None:
    replays = tuple(("a", "POST", number, Fault(copies=3)) for number in range(1, 9))
    unanswered = tuple(("a", "PATCH", number, Fault(lost=lost, seconds=20.0)) for number in range(1, 9))
    stage = played(Scene(rows=8, faults=replays + unanswered))
    assert all_of({Outcome.CREATED}, stage.reports["a"])
    assert len([each for each in stage.server.projects if each not in stage.others]) == 8


@pytest.mark.parametrize("seconds", [1.0, 20.0, 31.0, 50.0])
def test_a_late_finish_that_lands_after_the_batch_yielded_to_a_title_made_by_hand(seconds: float) -> None:
    late = ("a", "PATCH", 1, Fault(lost="late", seconds=seconds))
    # The plan, the create and the look are three requests; the PATCH is the fourth, and the title there before the next.
    stage = played(Scene(faults=(late,), visits=(Visit(5, "by hand", 0),)))
    assert stage.rows(title(0))["a"] in {Outcome.EXISTS, Outcome.AMBIGUOUS}


@pytest.mark.parametrize("seconds", [1.0, 20.0, 31.0, 50.0])
def test_a_late_finish_that_lands_after_a_rival_has_finished_the_same_row(seconds: float) -> None:
    late = ("a", "PATCH", 1, Fault(lost="late", seconds=seconds))
    stage = played(Scene(starts=(Start("a"), Start("b", at=0.005)), faults=(late,)))
    assert stage.reports["a"].ok
    assert stage.reports["b"].ok


@pytest.mark.parametrize("seconds", [0.5, 1.02, 5.0, 30.0, 61.0, 100.0])
def test_a_create_in_flight_at_a_kill_that_lands_during_or_after_the_sweep_of_the_rerun(seconds: float) -> None:
    last_words = (("a", "POST", 1, Fault(lost="late", seconds=seconds)), ("b", "PATCH", 1, Fault(lost="after")))
    stage = played(Scene(starts=(Start("a", dies_on="LOST"), Start("b", at=1.0)), faults=last_words))
    assert stage.reports["b"].ok


@pytest.mark.parametrize("dies_on", ["", "PATCH"], ids=["both live", "the first is killed"])
@pytest.mark.parametrize("behind", [0.0, 0.005, 1.0])
def test_an_edited_sheet_while_the_old_one_runs_or_after_it_was_killed(dies_on: str, behind: float) -> None:
    starts = (Start("a", dies_on=dies_on), Start("b", at=behind, color=OTHER_COLOR))
    stage = played(Scene(rows=3, starts=starts))
    assert all_of({Outcome.CREATED, Outcome.EXISTS}, stage.reports["b"])
    if dies_on and behind:
        # What the killed one left became nobody's, and the edited sheet won.
        assert all_of({Outcome.CREATED}, stage.reports["b"])


@pytest.mark.parametrize("kind", ["rename", "move", "describe", "rewrite", "annotate", "delete", "by hand"])
def test_a_colleague_who_works_on_a_placeholder_at_any_moment_keeps_their_work(kind: str) -> None:
    lost = ("a", "POST", 2, Fault(lost="after"))
    for moment in range(1, 16):
        stage = played(Scene(rows=2, faults=(lost,), visits=(Visit(moment, kind, 0), Visit(moment + 1, kind, 1))))
        for number, project in stage.left.items():
            # What was decided by a look is written while that look is fresh: then the title and the tasks are still theirs.
            now = stage.server.projects[number]
            assert (now.title, now.workspace, now.tasks) == (project.title, project.workspace, project.tasks)


@pytest.mark.parametrize("moment", range(4, 24, 2))
def test_a_500_after_sixteen_copies_then_a_429_on_the_look_and_a_page_shift(moment: int) -> None:
    faults = (
        ("a", "POST", 1, Fault(copies=16, lost="after")),
        *(("a", "LIST", number, Fault(throttled=3.0)) for number in range(2, 20, 3)),
    )
    shifts = tuple(Visit(moment + each, "shift", 0) for each in range(3))
    stage = played(Scene(rows=3, starts=(Start("a"), Start("b", at=0.3)), faults=faults, visits=shifts, older=25))
    assert stage.reports["a"].ok
    assert stage.reports["b"].ok


@pytest.mark.parametrize("lag", [0.0, 1.0], ids=["prompt list", "list one second behind"])
@pytest.mark.parametrize("at", [(0.0, 0.0), (0.0, 0.005), (310.0, 310.0), (310.0, 312.0)])
@pytest.mark.parametrize("dies_on", ["PATCH", "IMPORT"])
def test_two_batches_that_find_what_a_killed_one_left_import_tasks_once(
    dies_on: str, at: tuple[float, float], lag: float
) -> None:
    starts = (Start("a", dies_on=dies_on), Start("b", at=at[0]), Start("c", at=at[1]))
    stage = played(Scene(rows=12, starts=starts, lag=lag, steps=True))
    for name in "bc":
        bad = [row for row in stage.reports[name].rows if not row.outcome.ok]
        # What was about to be sent when the batch died, nobody sends again.
        assert len(bad) <= (8 if dies_on == "IMPORT" else 0), bad
        assert all("never sent a second time" in row.error for row in bad)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_token_that_is_taken_no_more_stops_the_batch_and_a_rerun_finishes_it(method: str) -> None:
    stage = played(Scene(rows=20, faults=(("a", method, 5, Fault(status=401)),)))
    report = stage.reports["a"]
    assert report.stopped
    assert all_of({Outcome.CREATED, Outcome.UNPROCESSED}, report)
    half_made = [row for row in report.rows if row.outcome is Outcome.UNPROCESSED and row.project_id]
    assert len(half_made) == (method == "PATCH")
    assert all("a rerun finishes it" in row.error for row in half_made)
    assert all_of({Outcome.EXISTS, Outcome.RESUMED, Outcome.CREATED}, stage.reports["r"])


#: How Label Studio carries imports out.
EVERY_WAY = pytest.mark.parametrize(
    "imports",
    [
        pytest.param(None, id="within the request"),
        pytest.param(Imports(), id="as they are answered"),
        pytest.param(Imports(slowest=3.0), id="seconds later"),
        pytest.param(Imports(slowest=900.0, counted=20.0), id="minutes later"),
        pytest.param(Imports(fails=1.0), id="failing"),
        pytest.param(Imports(slowest=3.0, fails=1.0), id="failing seconds later"),
    ],
)


@EVERY_WAY
def test_a_kill_before_any_request_of_a_batch_leaves_no_tasks_that_are_sent_twice(imports: Imports | None) -> None:
    for moment in range(1, 24):
        starts = (Start("a", dies_at=moment), Start("b", at=310.0))
        stage = played(Scene(rows=2, starts=starts, steps=True, imports=imports))
        assert_no_tasks_are_missing_but_unsure_ones(stage, most=2)


@EVERY_WAY
@pytest.mark.parametrize("lost", ["before", "after", "late"])
@pytest.mark.parametrize(("method", "number"), [("PATCH", 2), ("PATCH", 3), ("PATCH", 4), ("IMPORT", 1)])
def test_a_kill_amid_a_write_of_a_batch_leaves_no_tasks_that_are_sent_twice(
    method: str, number: int, lost: str, imports: Imports | None
) -> None:
    in_flight = (("a", method, number, Fault(lost=lost, seconds=20.0)),)
    starts = (Start("a", dies_on="LOST"), Start("b", at=310.0))
    stage = played(Scene(rows=1, starts=starts, faults=in_flight, steps=True, imports=imports))
    assert_no_tasks_are_missing_but_unsure_ones(stage, most=1)


def assert_no_tasks_are_missing_but_unsure_ones(stage: Stage, most: int) -> None:
    """A batch that comes later has done what there was to do, but where tasks were sent of which it can't know more."""
    bad = [row for row in stage.reports["r"].rows if not row.outcome.ok]
    assert len(bad) <= most
    assert all("never sent a second time" in row.error for row in bad), bad


# Any scene


#: Kept once they failed: see `kept.py`.
@pytest.mark.parametrize("scene", KEPT)
def test_a_scene_that_failed_once_does_not_fail_again(scene: Scene) -> None:
    played(scene)


@pytest.mark.scenes
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_each_row_has_one_project_and_the_reports_are_true(part: int) -> None:
    for seed in range(FIRST_SEED + part, FIRST_SEED + SCENES, PARTS):
        scene = random_scene(seed)
        try:
            played(scene)
        except BaseException as error:
            error.add_note(
                f"Seed {seed}: STENCIL_SEED={seed} STENCIL_SCENES=1 plays it alone. For tests/provisioning/kept.py:\n{scene!r}"
            )
            raise


def test_a_seed_is_always_the_same_scene() -> None:
    assert random_scene(7) == random_scene(7)
    assert len({repr(random_scene(seed)) for seed in range(100)}) > 90
