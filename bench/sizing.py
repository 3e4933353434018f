"""What batches of any size cost: `make sizing`, or `python -m bench.sizing [--rows N ...] [--keep FILE] [--from FILE ...]`.

Runs the flow at some sizes against a sandbox and a Prefect server, on SQLite and on PostgreSQL, and counts: requests at
the sandbox, rows and bytes in Prefect's own database, memory and processor time of the process. Fits the model (`bench.model`)
to all runs but the largest, tells how far off it is there, fits it to all, and prints what it says of 100 to 1,000,000 rows.
Counts are exact; times are of a machine that the sandbox and Prefect's server share.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from starlette.responses import Response

from bench.contestants import write_sheet
from bench.model import Instance, Measured, Model, as_measured, part_task_runs, seconds, survey
from bench.prefect_database import EVENTS, Contents, connections, contents
from label_studio_sandbox import Call, Proceed, Sandbox
from scripts.postgres import postgres_server
from scripts.servers import prefect_server

DATABASES = ("SQLite", "PostgreSQL")
ROWS = (100, 300, 1_000, 3_000, 10_000)
#: Rows of the batches that are made once more without project events, which the command always sends.
ROWS_WITHOUT_EVENTS = (1_000, 3_000)
TOLD = (100, 1_000, 10_000, 100_000, 1_000_000)
AT_ONCE = 16
PLOT = Path("docs/images/sizing.svg")

#: Seconds in which Prefect's server writes down what it has heard: nothing may come for as long before it is counted.
QUIET = 7.0
#: Seconds between two looks at the connections to its database.
LOOK = 0.25

LABEL_STUDIOS = (
    Instance("10 requests a second", rate=10),
    Instance("15 requests a second", rate=15),
    Instance("15 requests a second, 4 parts", rate=15, parts=4),
    # Measured on Community 1.23.2 on SQLite: 100 rows in 9 s.
    Instance("Community, one at a time", latency=0.042, at_once=1),
    Instance("50 ms, 4 at once", latency=0.05, at_once=4),
    Instance("50 ms, 16 at once", latency=0.05, at_once=16),
    Instance("no wait, one process", at_once=64),
    Instance("50 ms, 4 parts of 4 at once", latency=0.05, at_once=4, parts=4),
    Instance("no wait, 4 parts on 4 machines", at_once=64, parts=4),
)
#: Whose time is measured too: rows, and the flags of the command.
TIMED = (
    (Instance("15 requests a second", rate=15), 300, ("--requests-per-second", "15")),
    (Instance("50 ms, 4 at once", latency=0.05, at_once=4), 1_000, ("--max-concurrency", "4")),
    (Instance("50 ms, 16 at once", latency=0.05, at_once=16), 1_000, ("--max-concurrency", "16")),
)

#: A batch with project events, and else as the command runs it: the flow's parameter has no flag.
WITH_EVENTS = f"""
import asyncio, sys
from prefect import tags
from label_studio_stencil.prefect.flows import create_projects
sheet, output = sys.argv[1:]
options = dict(template="1", workspace="1", max_concurrency={AT_ONCE}, project_events=True)
with tags("stencil"):
    asyncio.run(create_projects(sheet=sheet, output=output, **options))
"""


class Counted:
    """Stands before the sandbox's handlers, and counts."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.first = self.last = 0.0

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The handler's answer."""
        self.first = self.first or time.monotonic()
        self.requests[self._kind(call)] += 1
        answer = await proceed()
        self.last = time.monotonic()
        return answer

    def _kind(self, call: Call) -> str:
        if call.path.endswith("/create-project"):
            return "create"
        if call.method == "PATCH":
            return "patch"
        if call.path.rstrip("/") != "/api/projects":
            return "other"
        return "look" if self.requests["create"] else "survey"


class Bench:
    """Batches on one Prefect server.

    Args:
        kind: Of its database.
        api: Its API URL.
        database: Where its database is.
        folder: For sheets and results.
    """

    def __init__(self, kind: str, api: str, database: str | Path, folder: Path) -> None:
        self._kind, self._database, self._folder = kind, database, folder
        self._environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": api}
        # The first batch of a server makes what all others find: the flow, the keys of artifacts.
        self.batch(5)

    def batch(self, rows: int, *, project_events: bool = True) -> Measured:
        """What a batch on a fresh Label Studio costs."""
        counted = Counted()
        before, server = self._settled(), _server_processor()
        with Sandbox(interceptors=[counted], log_requests=False) as sandbox, self._watched() as seen:
            processor, memory = self._run(sandbox, rows, None if project_events else ())
        after = self._settled()
        sizes = {table: size - before.sizes[table] for table, size in after.sizes.items()}
        return Measured(
            database=self._kind,
            rows=rows,
            project_events=project_events,
            requests=dict(counted.requests),
            added={table: number - before.rows[table] for table, number in after.rows.items()},
            sizes=sizes,
            quantities={
                "event bytes": sum(size for table, size in sizes.items() if table in EVENTS),
                "kept bytes": sum(size for table, size in sizes.items() if table not in EVENTS),
                "database bytes": after.size - before.size,
                "results bytes": (self._folder / "results" / "results.csv").stat().st_size,
                "memory": memory,
                "processor": processor,
                "server processor": _server_processor() - server,
            },
            seconds=counted.last - counted.first,
            connections=max(seen, default=0),
        )

    def rerun(self, rows: int) -> int:
        """Requests of a batch whose projects are all there."""
        counted = Counted()
        with Sandbox(interceptors=[counted], log_requests=False) as sandbox:
            self._run(sandbox, rows, ())
            before = counted.requests.total()
            self._run(sandbox, rows, ())
        return counted.requests.total() - before

    def timed(self, rows: int, latency: float, flags: Sequence[str]) -> float:
        """Seconds from the first request to the last answer of a batch."""
        counted = Counted()
        with Sandbox(latency_ms=1000 * latency, interceptors=[counted], log_requests=False) as sandbox:
            self._run(sandbox, rows, flags)
        return counted.last - counted.first

    def _run(self, sandbox: Sandbox, rows: int, flags: Sequence[str] | None) -> tuple[float, float]:
        """Carry out a batch: seconds of processor time, and MB of memory at most."""
        sheet, results = self._folder / "rows.csv", self._folder / "results"
        write_sheet(sheet, rows)
        command = [sys.executable, "-c", WITH_EVENTS, str(sheet), str(results)]
        if flags is not None:
            given = ["--template", "1", "--workspace", "1", "--max-concurrency", str(AT_ONCE), *flags]
            command = [
                sys.executable,
                "-m",
                "scripts.flow",
                str(sheet),
                "--output",
                str(results),
                *given,
            ]
        environment = {**self._environment, "LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        said = self._folder / "said"
        with said.open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            memory = 0.0
            while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                memory = max(memory, _memory(process.pid))
                time.sleep(LOOK / 5)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.terminate()
                process.wait()
        if process.returncode:
            raise SystemExit(
                f"a batch of {rows} rows ended with code {process.returncode}:\n{said.read_text()[-2000:]}"
            )
        return used.ru_utime + used.ru_stime, memory

    def _settled(self) -> Contents:
        """What is in the database once nothing more comes."""
        found = asyncio.run(contents(self._database))
        while True:
            time.sleep(QUIET)
            again = asyncio.run(contents(self._database))
            if again.rows == found.rows:
                return again
            found = again

    @contextmanager
    def _watched(self) -> Iterator[list[int]]:
        """How many connections there are to the database, again and again until the block ends."""
        seen: list[int] = []
        if not isinstance(self._database, str):
            yield seen
            return
        url, over = self._database, threading.Event()

        def look() -> None:
            while not over.wait(LOOK):
                seen.append(asyncio.run(connections(url)))

        looks = threading.Thread(target=look, daemon=True)
        looks.start()
        try:
            yield seen
        finally:
            over.set()
            looks.join()


def _memory(process: int) -> float:
    """MB that a process has had at most; what `wait4` tells of that begins with the memory of whoever started it."""
    told = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    peaks = [line.split()[1] for line in told.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0]) / 1024 if peaks else 0.0


def _server_processor() -> float:
    """Seconds of processor time of Prefect's server and its children, which are the only processes below this one."""
    times, parents = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name, which may hold anything, is in parentheses.
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            command = path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        process = int(path.parent.name)
        parents[process] = int(fields[1])
        if b"prefect" in command:
            times[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return sum(used for process, used in times.items() if os.getpid() in _ancestors(process, parents))


def _ancestors(process: int, parents: Mapping[int, int]) -> Iterator[int]:
    while process := parents.get(process, 0):
        yield process


@contextmanager
def bench(kind: str) -> Iterator[Bench]:
    """A fresh Prefect server on a database of a kind."""
    with tempfile.TemporaryDirectory(prefix="stencil-sizing-") as name:
        folder = Path(name)
        if kind == "SQLite":
            with prefect_server(folder / "prefect") as api:
                yield Bench(kind, api, folder / "prefect" / "prefect.db", folder)
        else:
            with postgres_server() as url, prefect_server(folder / "prefect", database=url) as api:
                yield Bench(kind, api, url, folder)


def measured(kinds: Sequence[str], sizes: Sequence[int]) -> tuple[list[Measured], dict[str, float]]:
    """All batches, and what else was measured, by what it is."""
    runs: list[Measured] = []
    others: dict[str, float] = {}
    for kind in kinds:
        with bench(kind) as on:
            runs += [_told(on.batch(rows)) for rows in sizes]
            runs += [_told(on.batch(rows, project_events=False)) for rows in ROWS_WITHOUT_EVENTS]
            if kind == kinds[0]:
                rows = min(max(sizes), 3_000)
                others[f"requests of a rerun of {rows:,} rows"] = float(on.rerun(rows))
                for label_studio, rows, flags in TIMED:
                    others[f"seconds of {rows:,} rows, {label_studio.name}"] = on.timed(
                        rows, label_studio.latency, flags
                    )
    return runs, others


def _told(run: Measured) -> Measured:
    events = "" if run.project_events else ", no project events"
    asked = ", ".join(f"{number:,} {kind}" for kind, number in sorted(run.requests.items()))
    added = ", ".join(f"{number:,} {table}" for table, number in run.added.items() if number)
    kinds = {name: round(value, 1) for name, value in run.quantities.items()}
    print(
        f"{run.database}, {run.rows:,} rows{events}: {run.seconds:.1f} s; requests: {asked}\n  {added}\n  {kinds}",
        end="",
    )
    print(f"; {run.connections} connections" if run.connections else "", flush=True)
    return run


def tell(runs: Sequence[Measured], others: Mapping[str, float]) -> Model:
    """What the runs say, in tables; the model of the first kind of database."""
    models = {}
    for kind in dict.fromkeys(run.database for run in runs):
        of_kind = [run for run in runs if run.database == kind]
        largest = max(of_kind, key=lambda run: run.rows)
        checked = Model.fitted([run for run in of_kind if run is not largest])
        models[kind] = Model.fitted(of_kind)
        _tell_costs(kind, models[kind], checked, largest)
    model = next(iter(models.values()))
    _tell_times(model)
    for what, value in others.items():
        print(f"measured: {what}: {value:,.1f}")
    for label_studio, rows, _ in TIMED:
        print(f"modelled: seconds of {rows:,} rows, {label_studio.name}: {seconds(model, rows, label_studio):,.1f}")
    return model


def _tell_costs(kind: str, model: Model, checked: Model, largest: Measured) -> None:
    print(f"\nPrefect's server on {kind}; error: of the model of the smaller runs at {largest.rows:,} rows\n")
    print(f"{'':30}" + "".join(f"{rows:>14,}" for rows in TOLD) + "    error")
    sizes = [as_measured(model, rows) for rows in TOLD]
    for name in dict.fromkeys(("requests", "task_run", "events", "database rows", *model.coefficients)):
        values = (model.predicted(name, known) for known in sizes)
        cells = "".join(f"{value:>14,.0f}" if value >= 100 else f"{value:>14,.2f}" for value in values)
        print(f"{name:30}{cells}  {checked.error(name, largest):+7.1%}")
    for name, terms in model.coefficients.items():
        print(f"  {name}: " + " + ".join(f"{value:.4g} x {driver}" for driver, value in terms.items()))


def _tell_times(model: Model) -> None:
    print(f"\n{'':34}" + "".join(f"{rows:>12,}" for rows in TOLD))
    for label_studio in LABEL_STUDIOS:
        print(
            f"{label_studio.name:34}" + "".join(f"{duration(seconds(model, rows, label_studio)):>12}" for rows in TOLD)
        )
    print(f"{'survey of 100,000 projects':34}" + "".join(f"{survey(rows, 100_000):>12,}" for rows in TOLD))
    for parts in (4, 16, 64):
        print(f"{f'task runs, {parts} parts':34}" + "".join(f"{part_task_runs(rows, parts):>12,}" for rows in TOLD))


def duration(value: float) -> str:
    """Seconds as a person says them."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if value >= 2 * size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS), help="sizes of the batches")
    parser.add_argument("--databases", nargs="+", default=list(DATABASES), choices=DATABASES)
    parser.add_argument("--keep", type=Path, help="write what was measured to this file")
    parser.add_argument("--from", type=Path, dest="known", help="measure nothing: read such files instead", nargs="+")
    parser.add_argument("--plot", type=Path, default=PLOT, help=f"where the picture goes; default {PLOT}")
    chosen = parser.parse_args(arguments)
    if chosen.known:
        documents = [json.loads(path.read_text(encoding="utf-8")) for path in chosen.known]
        runs = [Measured(**run) for document in documents for run in document["runs"]]
        others = {what: value for document in documents for what, value in document["others"].items()}
    else:
        runs, others = measured(chosen.databases, chosen.rows)
    if chosen.keep:
        kept = {"runs": [asdict(run) for run in runs], "others": others}
        chosen.keep.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    model = tell(runs, others)
    # Imported here: what was measured is not lost where matplotlib is missing.
    from bench.plot import draw

    draw(chosen.plot, model, runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
