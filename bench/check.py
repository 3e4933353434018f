"""What `stencil check` of a large sheet costs: processor time and memory of the command, for each kind of sheet.

    python -m bench.check              # 100,000 rows
    python -m bench.check --rows 10000

Each is measured three times, in a process of its own; the best time counts, and the most memory. Offline: no server takes part.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

Row = dict[str, object]


def plain(number: int) -> Row:
    """A row as most sheets have them: few settings, the same ones again and again."""
    return {
        "title": f"Project {number:06d}",
        "workspace": "Customer Feedback",
        "template": "Sentiment Analysis",
        "maximum_annotations": number % 5 + 1,
        "color": "#1F6FEB",
        "sampling": "Uniform sampling",
        "_ticket": f"OPS-{number}",
    }


def texts(number: int) -> Row:
    """A row whose every cell is its own."""
    return {
        "title": f"Übersicht {number:06d}",
        "template": "Sentiment Analysis",
        "description": f"Texts of customer {number}",
        "expert_instruction": f"<b>Read {number}</b>",
        "overrides": json.dumps({"maximum_annotations": number % 7 + 1}),
    }


def wrong(number: int) -> Row:
    """A row with the same problem as all others."""
    return plain(number) | {"maximum_annotations": "many"}


def write_csv(path: Path, rows: list[Row]) -> None:
    """CSV, as Python writes it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def write_json_lines(path: Path, rows: list[Row]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


SHEETS: dict[str, tuple[str, Callable[[int], Row], Callable[[Path, list[Row]], None]]] = {
    "CSV": ("plain.csv", plain, write_csv),
    "CSV, each cell its own": ("texts.csv", texts, write_csv),
    "CSV, each row wrong": ("wrong.csv", wrong, write_csv),
    "JSON lines": ("plain.jsonl", plain, write_json_lines),
}


def measured(sheet: Path) -> tuple[float, float]:
    """Seconds of a processor and megabytes that `stencil check` takes for a sheet."""
    command = [sys.executable, "-m", "label_studio_stencil", "check", str(sheet), "--offline"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    # Linux counts in kilobytes, macOS in bytes.
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Measure each kind of sheet, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each sheet (default: %(default)s)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as folder:
        for kind, (name, row, write) in SHEETS.items():
            path = Path(folder) / name
            write(path, [row(number) for number in range(rows)])
            runs = [measured(path) for _ in range(3)]
            seconds, megabytes = min(run[0] for run in runs), max(run[1] for run in runs)
            print(f"{kind:24} {seconds:5.1f} s {megabytes:5.0f} MB", flush=True)


if __name__ == "__main__":
    main()
