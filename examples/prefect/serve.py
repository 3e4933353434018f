"""Serves the flow from this process, without a work pool: a form in the Prefect UI and a nightly run, until Ctrl-C.

python serve.py
"""

from pathlib import Path

from label_studio_stencil.prefect import create_projects

SHEET = Path(__file__).resolve().parents[1] / "projects.csv"

if __name__ == "__main__":
    create_projects.serve(name="served", cron="0 2 * * *", parameters={"sheet": str(SHEET)})
