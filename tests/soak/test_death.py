"""kill -9 at a hundred moments of a batch of 200 rows, each followed by a rerun."""

import os
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.soak.batches import ENGINE, FLOW, Moment, Rerun, die_and_rerun, moments


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    ("command", "number", "seed", "at_once"),
    [
        # A rerun waits more than it works.
        pytest.param(ENGINE, 90, 24, 10, id="90 without Prefect"),
        # Ten flows at once are more than a Prefect server on SQLite takes beside them on two cores: it answers 503.
        pytest.param(FLOW, 10, 11, 3, id="10 of the flow"),
    ],
)
def test_after_a_kill_at_any_moment_a_rerun_leaves_one_project_per_row(
    command: tuple[str, ...],
    number: int,
    seed: int,
    at_once: int,
    prefect_api: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}

    def run(moment: Moment) -> Rerun | str:
        folder = tmp_path / str(moment.request)
        folder.mkdir()
        try:
            return die_and_rerun(moment, command, folder, environment)
        except (AssertionError, subprocess.TimeoutExpired) as wrong:
            return f"{moment}: {wrong}"

    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(run, moments(number, seed)))
    assert [each for each in results if isinstance(each, str)] == []
    tell(command, [each for each in results if isinstance(each, Rerun)], capsys)


def tell(command: tuple[str, ...], reruns: list[Rerun], capsys: pytest.CaptureFixture[str]) -> None:
    rows: Counter[str] = Counter()
    for rerun in reruns:
        rows.update(rerun.counts)
    seconds = sorted(rerun.seconds for rerun in reruns)
    with capsys.disabled():
        print(
            f"\n{len(reruns)} kills of {command[0]}: {sum(rerun.once_more for rerun in reruns)} left a copy that landed "
            f"late to one more run; a rerun took {seconds[len(seconds) // 2]:.1f} s at the median, {seconds[-1]:.1f} s at "
            f"most; its rows: {', '.join(f'{count} {outcome}' for outcome, count in rows.items() if count)}"
        )
