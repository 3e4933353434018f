"""Creates one Label Studio project per row of a sheet.

    python flows/create_projects.py                      # the example, on the embedded sandbox; `make demo` does it
    python flows/create_projects.py serve                # runs that the Prefect UI or its API asks for, until Ctrl-C

Without `PREFECT_API_URL`, Prefect starts a server for the time of the run.
"""

import asyncio
import sys

from label_studio_stencil.prefect import create_projects

__all__ = ["create_projects"]


def main() -> None:
    """Run the example, or serve the flow."""
    if sys.argv[1:] == ["serve"]:
        create_projects.serve(name="served")
        return
    report = asyncio.run(create_projects(sheet="examples/projects.csv", output="results/demo", sandbox=True))
    print(f"\n{report.sentence}")
    print("Every row is in results/demo/results.csv. `make ui` shows the run: http://127.0.0.1:4200/runs")


if __name__ == "__main__":
    main()
