"""How soon `stencil create` begins, and how long a small batch takes as a whole: `python -m bench.start`.

Each batch is a process of its own on a fresh sandbox, which logs when its first request came. Three times each; the median
counts. `--tree FOLDER --module NAME` measures the command of another checkout.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.contestants import write_sheet
from label_studio_sandbox import Sandbox

ROWS = (1, 26, 100)
LATENCIES = (0.0, 20.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="batches of each kind (default: 3)")
    parser.add_argument("--tree", type=Path, default=Path(__file__).resolve().parents[1], help="another checkout")
    parser.add_argument("--module", default="label_studio_stencil", help="what `python -m` runs there")
    chosen = parser.parse_args(arguments)
    print("| latency | rows | first request | first create | whole command | processor |")
    print("|---|---|---|---|---|---|")
    for latency in LATENCIES:
        for rows in ROWS:
            with tempfile.TemporaryDirectory(prefix="stencil-start-") as folder:
                runs = [measured(chosen, rows, latency, Path(folder)) for _ in range(chosen.repeats)]
            seconds = [f"{statistics.median(each):.2f} s" for each in zip(*runs, strict=True)]
            print(f"| {latency:g} ms | {rows} | {' | '.join(seconds)} |", flush=True)
    return 0


def measured(chosen: argparse.Namespace, rows: int, latency: float, folder: Path) -> tuple[float, float, float, float]:
    """Seconds from the command's start to the first request, the first create and its end, and of processor time."""
    sheet = folder / "rows.csv"
    write_sheet(sheet, rows)
    command = [sys.executable, "-m", chosen.module, "create", str(sheet), "--template", "1", "--workspace", "1"]
    with Sandbox(latency_ms=latency, log_requests=True) as sandbox:
        environment = {**os.environ, "LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        environment |= {"PYTHONPATH": str(chosen.tree), "PREFECT_HOME": str(folder / "prefect")}
        began = time.time()
        process = subprocess.Popen(
            command, cwd=chosen.tree, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        _, status, used = os.wait4(process.pid, 0)
        ended = time.time()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"a batch of {rows} rows ended with code {process.returncode}")
        requests = sandbox.requests
    create = next(request for request in requests if request.path.endswith("/create-project"))
    first, created = requests[0].received_at - began, create.received_at - began
    return first, created, ended - began, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
