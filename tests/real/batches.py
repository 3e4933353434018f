"""What the tests of whole batches share: a batch in this process or another, and what it left on Label Studio."""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from scripts.label_studio import Instance
from tests.soak.batches import ENGINE, start

DESCRIPTION = "Is the review positive or negative?"
TEMPLATE = f"""
name: Sentiment
description: {DESCRIPTION}
label_config: >-
  <View><Text name="text" value="$text"/>
  <Choices name="mood" toName="text"><Choice value="Glad"/><Choice value="Sad"/></Choices></View>
"""
#: Seconds for what takes a few where nothing else runs.
SECONDS = 300.0


def http(url: str, token: str) -> httpx.Client:
    """A client that knows nothing of this project's own."""
    return httpx.Client(base_url=url, headers={"authorization": f"Token {token}"}, timeout=60)


def made(url: str, token: str, sheet: Any, **options: Any) -> Report:
    """The report of a batch."""

    async def run() -> Report:
        chosen = Options(**options)
        async with open_label_studio(LabelStudioSettings(url, SecretStr(token)), chosen) as label_studio:
            return await provision(check(read_sheet(sheet), chosen), chosen, label_studio)

    return asyncio.run(run())


def write_sheet(folder: Path, name: str, rows: int) -> Path:
    """A sheet of that many rows, each with a setting of its own, with its template beside it."""
    (folder / "sentiment.yaml").write_text(TEMPLATE, encoding="utf-8")
    sheet = folder / f"{name}.csv"
    lines = [f"{name} {row:03},sentiment.yaml,{1 + row % 5}" for row in range(rows)]
    sheet.write_text("\n".join(["title,template,maximum_annotations", *lines]) + "\n", encoding="utf-8")
    return sheet


def started(label_studio: Instance, sheet: Path, at_once: int = 1) -> "subprocess.Popen[str]":
    """A batch in a process of its own."""
    known = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
    return start(ENGINE, sheet, known, str(at_once))


def projects(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    """The projects of a sheet of that name."""
    found: list[dict[str, Any]] = []
    while True:
        query: dict[str, str | int] = {
            "title": f"{name} ",
            "ordering": "id",
            "page_size": 100,
            "page": len(found) // 100 + 1,
        }
        page = client.get("/api/projects/", params=query).raise_for_status().json()
        found += page["results"]
        if len(found) >= page["count"]:
            return found


def amid_rows(client: httpx.Client, name: str, rows: int) -> None:
    """Return when Label Studio has so many projects of that sheet; a real server tells only who asks."""
    deadline = time.monotonic() + SECONDS
    query: dict[str, str | int] = {"title": f"{name} ", "page_size": 1, "include": "id"}
    while client.get("/api/projects/", params=query).json()["count"] < rows:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_exactly_once(client: httpx.Client, name: str, rows: int, report: dict[str, Any]) -> None:
    """One project for each row, with the settings of row and template, and the report names it."""
    found = projects(client, name)
    assert [project["title"] for project in sorted(found, key=lambda each: str(each["title"]))] == [
        f"{name} {row:03}" for row in range(rows)
    ]
    for project in found:
        number = int(project["title"][-3:])
        assert (project["description"], project["maximum_annotations"]) == (DESCRIPTION, 1 + number % 5)
        assert 'name="mood"' in project["label_config"]
    assert {row["title"]: row["project_id"] for row in report["rows"]} == {each["title"]: each["id"] for each in found}


def ever_made(client: httpx.Client) -> int:
    """The last id that Label Studio has given: each project counts, those that are gone and this probe included."""
    probe = client.post("/api/projects/", json={"title": "Probe"}).raise_for_status().json()["id"]
    client.delete(f"/api/projects/{probe}/").raise_for_status()
    return int(probe)


def reported(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The report of a batch that ends well."""
    try:
        stdout, stderr = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, stdout + stderr
    report: dict[str, Any] = json.loads(stdout)
    return report
