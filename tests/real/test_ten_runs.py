"""Ten batches each on the real Community server: on SQLite, which makes duplicates by itself, and on PostgreSQL."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.label_studio import Instance
from scripts.servers import prefect_server
from tests.real.batches import assert_exactly_once, ever_made, http, reported, started, write_sheet

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
        with http(label_studio.url, label_studio.token) as client:
            before = ever_made(client)
            report = stencil(environment, sheet)
            surplus = ever_made(client) - before - 1 - ROWS

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


@pytest.mark.timeout(1500)
def test_on_postgresql_each_of_ten_batches_makes_one_project_per_row_and_no_more(
    production: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http(production.url, production.token) as client:
        for run, at_once in enumerate((1, 8, 16, 8, 16, 1, 8, 16, 8, 16)):
            name = f"Batch {run}"
            before = ever_made(client)
            report = reported(started(production, write_sheet(tmp_path, name, ROWS), at_once))
            made = ever_made(client) - before - 1
            with capsys.disabled():
                print(f"\nrun {run}, {at_once} at once: {made} made, {report['seconds']:.1f} s", end="")
            assert made == ROWS
            assert_exactly_once(client, name, ROWS, report)
