"""A flow such as users write: it is run for each project that was created, and notes it."""

import json
import os
from pathlib import Path

from prefect import flow


@flow
def note_project(project_id: int, project_url: str, title: str) -> None:
    """Add a line to the file that the environment names."""
    with Path(os.environ["STENCIL_NOTED"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": project_id, "url": project_url, "title": title}) + "\n")
