"""Ten batches on the real Community server, asked eight creates at a time, at which it makes duplicates by itself."""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.label_studio import Instance
from scripts.servers import prefect_server

pytestmark = [pytest.mark.real, pytest.mark.soak]

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "examples" / "templates" / "sentiment.yaml"
DESCRIPTION = "Is the review positive, negative or neutral?"
RUNS, ROWS = 10, 100
AT_ONCE = 8


@pytest.fixture(scope="module")
def environment(label_studio: Instance, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with prefect_server(tmp_path_factory.mktemp("prefect-server")) as api:
        yield {
            **os.environ,
            "PREFECT_API_URL": api,
            "LABEL_STUDIO_URL": label_studio.url,
            "LABEL_STUDIO_API_KEY": label_studio.token,
        }


def stencil(environment: dict[str, str], sheet: Path) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "label_studio_stencil",
        "create",
        str(sheet),
        "--template",
        str(TEMPLATE),
        "--json",
    ]
    done = subprocess.run(
        [*command, "--max-concurrency", str(AT_ONCE)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def ever_made(label_studio: Instance) -> int:
    """How many projects the server has made since its first start, those deleted again included."""
    database = label_studio.data / "label_studio.sqlite3"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'project'").fetchone()
    return int(row[0]) if row else 0


def projects(label_studio: Instance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Token {label_studio.token}"}
    with httpx.Client(base_url=label_studio.url, headers=headers, timeout=60) as client:
        while True:
            page = client.get("/api/projects/", params={"page_size": 100, "page": len(found) // 100 + 1}).json()
            found += page["results"]
            if len(found) >= page["count"]:
                return found


@pytest.mark.timeout(1500)
def test_each_of_ten_batches_leaves_one_project_per_row_however_many_the_server_made(
    label_studio: Instance, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in range(1, RUNS + 1):
        titles = [f"Run {run:02} row {row:03}" for row in range(ROWS)]
        sheet = tmp_path / f"{run}.csv"
        sheet.write_text("title,maximum_annotations\n" + "".join(f"{title},3\n" for title in titles), encoding="utf-8")
        before = ever_made(label_studio)
        report = stencil(environment, sheet)
        surplus = ever_made(label_studio) - before - ROWS

        made = [project for project in projects(label_studio) if project["title"].startswith(f"Run {run:02} ")]
        with capsys.disabled():
            print(
                f"\nrun {run}: {ROWS} rows, {surplus} surplus projects made by the server, {len(made)} left, "
                f"{report['requests']} requests, {report['seconds']:.1f} s",
                end="",
            )
        assert Counter(project["title"] for project in made) == Counter(titles)
        assert {(project["description"], project["maximum_annotations"]) for project in made} == {(DESCRIPTION, 3)}
        assert {row["project_id"] for row in report["rows"]} == {project["id"] for project in made}
