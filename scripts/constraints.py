"""Prints one constraints file for all supported Pythons: what pip would install today for what is asked.

Each interpreter resolves on its own, in a throw-away environment and without installing anything. A package
that they resolve alike gets one line; one that they resolve differently gets a line for each Python, with a
marker.

    python scripts/constraints.py --python python3.11 --python python3.12 '.[dev]' > constraints.txt
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path


def resolve(python: str, requirements: list[str]) -> tuple[str, dict[str, str]]:
    """The interpreter's version (`3.12`) and what pip picks under it: normalised name -> version."""
    with tempfile.TemporaryDirectory() as folder:
        inside = Path(folder, "venv", "bin", "python")
        report = Path(folder, "report.json")
        subprocess.run([python, "-m", "venv", inside.parent.parent], check=True)
        dry_run = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--dry-run",
            "--ignore-installed",
            "--report",
            str(report),
        ]
        subprocess.run([inside, *dry_run, *requirements], check=True)
        found = json.loads(report.read_text(encoding="utf-8"))
    return found["environment"]["python_version"], {
        re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
        for item in found["install"]
        # The project itself, asked for by its folder, is no constraint.
        if "dir_info" not in item["download_info"]
    }


def merge(picked: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The lines of the constraints file, sorted; `picked` is Python version -> name -> version."""
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for python, packages in picked.items():
        for name, version in packages.items():
            versions[name][version].append(python)
    for name, pythons in sorted(versions.items()):
        if len(pythons) == 1:
            yield f"{name}=={next(iter(pythons))}"
        else:
            for version, where in pythons.items():
                marker = " or ".join(f'python_version == "{python}"' for python in where)
                yield f"{name}=={version}; {marker}"


def main() -> int:
    """Prints the file: the process's exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", required=True, help="an interpreter; one for each version")
    parser.add_argument("requirements", nargs="+")
    asked = parser.parse_args()
    try:
        picked = dict(resolve(python, asked.requirements) for python in asked.python)
    except (subprocess.CalledProcessError, FileNotFoundError) as problem:
        print(f"Not all of {', '.join(asked.python)} could resolve: {problem}", file=sys.stderr)
        return 1
    print("\n".join(merge(picked)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
