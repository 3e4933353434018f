"""Stencil beside the alternatives, in one run: `make bench`, or `python -m bench.compare [--latency-ms L] [--rows N] ...`.

Each contestant (`bench.contestants`) is a process of its own on a fresh sandbox; a Prefect server runs before. What is measured
is the sandbox's own log, from the first request to the last answer, and the process: its processor time, start-up included, and
its peak memory; the Prefect server is asked for the task runs. The sandbox runs in this process, which does nothing else
meanwhile, and takes its part of the processors from all alike. Ratios are of rows per second, medians of the repeats.

Exits 1 where a goal is missed. Three times the mapped flow is a goal only as far as the table shows that it can be had: where
the bare loop, which sends the same requests and does nothing else, is not three times as fast as the mapped flow either, 0.9
of what it reaches is the goal, as it is against the bare loop itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contestants import CONTESTANTS, write_sheet
from label_studio_sandbox import Sandbox
from scripts.servers import prefect_server

AT_ONCE = 16
#: Contestants that are flows.
PREFECT = ("mapped", "flow")
#: Rows that the SDK's loop is given: its rate does not depend on how many, and it is slow.
SDK_ROWS = 100

#: Goals at 16 at once and 20 ms: Stencil's rows per second over the bare loop's, at least, by rows.
BARE = {100: 0.85, 1000: 0.9, 10_000: 0.9}
#: And over those of others, at 1,000 rows.
OTHERS = {"sdk": 12.0, "mapped": 3.0}
#: Requests a row at most, there; and seconds from the command to the first create.
MOST_REQUESTS_A_ROW = 2.04
LATEST_CREATE = 1.5


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a contestant took.

    Attributes:
        rows: Projects made.
        seconds: From the first request to the last answer.
        requests: That reached the sandbox.
        first_create: Seconds from the process's start to its first create.
        processor: Seconds of processor time, for each row.
        memory: Peak, in MB.
        task_runs: Of Prefect.
    """

    rows: int
    seconds: float
    requests: int
    first_create: float
    processor: float
    memory: float
    task_runs: int

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """One comparison."""

    latency_ms: float
    rows: int
    repeats: int
    contestants: Sequence[str]


#: What `make bench` runs, in nine minutes. The first is the one that most goals are about.
CELLS: tuple[Cell, ...] = (
    Cell(20, 1000, 5, ("bare", "sdk", "mapped", "stencil", "flow")),
    Cell(0, 1000, 3, ("bare", "sdk", "mapped", "stencil")),
    Cell(100, 1000, 1, ("bare", "sdk", "mapped", "stencil")),
    Cell(20, 100, 3, ("bare", "mapped", "stencil", "flow")),
    Cell(0, 100, 1, ("bare", "mapped", "stencil")),
    Cell(100, 100, 1, ("bare", "mapped", "stencil")),
    Cell(20, 10_000, 1, ("bare", "stencil")),
    Cell(0, 10_000, 1, ("bare", "stencil")),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=None, help="only this cell: latency of the sandbox")
    parser.add_argument("--rows", type=int, default=1000, help="only this cell: rows")
    parser.add_argument("--repeats", type=int, default=3, help="only this cell: repeats")
    parser.add_argument("--only", nargs="*", default=list(CONTESTANTS), choices=list(CONTESTANTS))
    chosen = parser.parse_args(arguments)
    cells = CELLS
    if chosen.latency_ms is not None:
        cells = (Cell(chosen.latency_ms, chosen.rows, chosen.repeats, chosen.only),)
    print(f"{AT_ONCE} requests at once, {os.cpu_count()} processors; rows with three overrides.\n")
    print(" latency    rows             rows/s  Stencil  requests    first  processor  memory    task")
    print("                                        is x     a row   create   ms a row      MB    runs")
    missed: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder,
        prefect_server(Path(folder) / "prefect") as api,
    ):
        environment = {**os.environ, "PREFECT_HOME": f"{folder}/prefect", "PREFECT_API_URL": api}
        for cell in cells:
            found = measured(cell, Path(folder), environment)
            show(cell, found)
            if cell in CELLS and cell.latency_ms == CELLS[0].latency_ms:
                missed += missed_goals(cell, found)
    for each in missed:
        print(f"missed: {each}")
    return int(bool(missed))


def measured(cell: Cell, folder: Path, environment: dict[str, str]) -> dict[str, list[Run]]:
    """The runs of each contestant, in turn, so that whatever else the machine does hits all alike."""
    found: dict[str, list[Run]] = {name: [] for name in cell.contestants}
    for _ in range(cell.repeats):
        for name in cell.contestants:
            rows = min(cell.rows, SDK_ROWS) if name == "sdk" else cell.rows
            found[name].append(one_run(name, rows, cell.latency_ms, folder, environment))
    return found


def one_run(name: str, rows: int, latency_ms: float, folder: Path, environment: dict[str, str]) -> Run:
    """A contestant on a fresh sandbox."""
    sheet = folder / "rows.csv"
    write_sheet(sheet, rows)
    uses_prefect = name in PREFECT
    before = all_task_runs(environment["PREFECT_API_URL"]) if uses_prefect else 0
    with Sandbox(latency_ms=latency_ms, log_requests=True) as sandbox:
        command = [sys.executable, "-m", "bench.contestants", name, sandbox.url, sandbox.token, str(rows), str(AT_ONCE)]
        began = time.time()
        process = subprocess.Popen([*command, str(sheet)], env=environment, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{name} ended with code {process.returncode}")
        requests = sandbox.requests
    task_runs = all_task_runs(environment["PREFECT_API_URL"]) - before if uses_prefect else 0
    creates = [request for request in requests if request.path.endswith("/create-project")]
    last = requests[-1]
    return Run(
        rows=rows,
        seconds=last.received_at + last.seconds - requests[0].received_at,
        requests=len(requests),
        first_create=creates[0].received_at - began,
        processor=(used.ru_utime + used.ru_stime) / rows,
        memory=used.ru_maxrss / 1024,
        task_runs=task_runs,
    )


def all_task_runs(api: str) -> int:
    """How many task runs the Prefect server knows of, once it has recorded those that it was told of."""
    counted = -1
    while True:
        request = urllib.request.Request(
            f"{api}/task_runs/count", data=b"{}", headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            now = int(json.load(answer))
        if now == counted:
            return now
        counted = now
        # Longer than it gathers them before it writes them down.
        time.sleep(1.2)


def median(runs: Sequence[Run], name: str) -> float:
    """Of one of the figures."""
    return statistics.median(float(getattr(run, name)) for run in runs)


def show(cell: Cell, found: dict[str, list[Run]]) -> None:
    """The lines of a cell."""
    ours = median(found["stencil"], "rate") if "stencil" in found else 0.0
    for name, runs in found.items():
        rate = median(runs, "rate")
        times = f"{ours / rate:8.2f}" if ours and name != "stencil" else " " * 8
        print(
            f"{cell.latency_ms:5g} ms {cell.rows:7,} {name:9} {rate:8.0f} {times} {runs[0].requests / runs[0].rows:9.3f} "
            f"{median(runs, 'first_create'):6.1f} s {1000 * median(runs, 'processor'):10.1f} {median(runs, 'memory'):7.0f} "
            f"{runs[0].task_runs or '':7}",
            flush=True,
        )


def missed_goals(cell: Cell, found: dict[str, list[Run]]) -> list[str]:
    """What falls short, a line each."""
    rates = {name: median(runs, "rate") for name, runs in found.items()}
    goals = {"bare": BARE[cell.rows]}
    if cell is CELLS[0]:
        goals |= OTHERS
        goals["mapped"] = min(OTHERS["mapped"], goals["bare"] * rates["bare"] / rates["mapped"])
    told = [
        f"{cell.rows:,} rows: {rates['stencil'] / rates[name]:.2f} times the rate of {name}, and {goal:.3g} is the goal"
        for name, goal in goals.items()
        if rates["stencil"] / rates[name] < goal
    ]
    if cell is not CELLS[0]:
        return told
    ours = found["stencil"]
    requests = ours[0].requests / ours[0].rows
    if requests > MOST_REQUESTS_A_ROW:
        told.append(f"{requests:.3f} requests a row, and {MOST_REQUESTS_A_ROW:g} is the goal")
    first = median(ours, "first_create")
    if first > LATEST_CREATE:
        told.append(f"the first create after {first:.1f} s, and {LATEST_CREATE:g} s is the goal")
    return told


if __name__ == "__main__":
    sys.exit(main())
