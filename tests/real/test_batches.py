"""Whole batches on the real Community server, on SQLite and as operators run it: nothing is made twice."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_studio_stencil.cli import main
from label_studio_stencil.report.files import write_results
from label_studio_stencil.report.report import Report
from scripts.label_studio import Instance
from tests.real.batches import (
    amid_rows,
    assert_exactly_once,
    ever_made,
    http,
    made,
    projects,
    reported,
    started,
    write_sheet,
)
from tests.real.existing import existing

pytestmark = pytest.mark.real

ROWS = 40


def outcomes(report: Report) -> dict[str, int]:
    return {outcome.value: count for outcome, count in report.counts.items() if count}


def test_a_batch_is_created_with_tasks_run_again_and_updated(each_label_studio: Instance, tmp_path: Path) -> None:
    url, token = each_label_studio.url, each_label_studio.token
    (tmp_path / "tasks.csv").write_text("text\none\ntwo\nthree\n", encoding="utf-8")
    sheet = write_sheet(tmp_path, "Life", 8)
    head, *rows = sheet.read_text(encoding="utf-8").splitlines()

    def with_color(color: str) -> Path:
        lines = [f"{head},tasks,color", *(f"{row},tasks.csv,{color}" for row in rows)]
        sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return sheet

    with http(url, token) as client:
        assert outcomes(made(url, token, with_color("#8250DF"))) == {"created": 8}
        assert outcomes(made(url, token, sheet)) == {"exists": 8}
        last = made(url, token, with_color("#CF222E"), mode="update")
        assert outcomes(last) == {"updated": 8}
        assert_exactly_once(client, "Life", 8, last.to_json())
        found = projects(client, "Life")
        assert {(project["color"], project["task_number"]) for project in found} == {("#CF222E", 3)}


def test_among_three_thousand_projects_rows_are_made_once_and_looked_for_in_a_page_of_each_hundred(
    each_label_studio: Instance, tmp_path: Path
) -> None:
    url, token = each_label_studio.url, each_label_studio.token
    existing(each_label_studio, 3000)
    sheet = write_sheet(tmp_path, "Late", 60)
    with http(url, token) as client:
        assert outcomes(made(url, token, sheet)) == {"created": 60}
        count = client.get("/api/projects/", params={"page_size": 1, "include": "id"}).json()["count"]
        again = made(url, token, sheet)
        assert outcomes(again) == {"exists": 60}
        # The pages, the newest once more, the edition, and a read or two that had to be sent again.
        assert again.requests <= count // 100 + 6
        assert_exactly_once(client, "Late", 60, again.to_json())
        # Told apart from one that was there before.
        there = [{"title": "Archive 00017", "label_config": "<View/>"}]
        assert outcomes(made(url, token, there)) == {"exists": 1}


def test_a_batch_is_removed_but_for_what_somebody_works_on(
    each_label_studio: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, token = each_label_studio.url, each_label_studio.token
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    sheet = write_sheet(tmp_path, "Gone", 8)
    with http(url, token) as client:
        write_results(made(url, token, sheet), str(tmp_path))
        [kept, *_] = projects(client, "Gone")
        # Work of a person's.
        client.post(f"/api/projects/{kept['id']}/import", json=[{"text": "one"}]).raise_for_status()
        assert main(["remove", str(tmp_path / "results.csv"), "--yes"]) == 1, capsys.readouterr()
        assert [project["id"] for project in projects(client, "Gone")] == [kept["id"]]


RESULT = [{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["Glad"]}}]
#: More predictions than tasks: two models have seen each.
LABELS = {
    "annotations": [{"result": RESULT}],
    "predictions": [{"result": RESULT, "model_version": "one"}, {"result": RESULT, "model_version": "two"}],
}
LABELLED = [{"data": {"text": f"text {number}", "number": number / 4}, **LABELS} for number in range(120)]


def annotated(client: httpx.Client, task: dict[str, Any]) -> None:
    client.post(f"/api/tasks/{task['id']}/annotations/", json={"result": RESULT}).raise_for_status()


def annotated_otherwise(client: httpx.Client, task: dict[str, Any]) -> None:
    # The same result once more: only who changed it last tells that somebody has looked at it.
    client.patch(f"/api/annotations/{task['annotations'][0]['id']}/", json={"result": RESULT}).raise_for_status()


def begun(client: httpx.Client, task: dict[str, Any]) -> None:
    client.post(f"/api/tasks/{task['id']}/drafts", json={"result": RESULT}).raise_for_status()


def predicted(client: httpx.Client, task: dict[str, Any]) -> None:
    client.post("/api/predictions/", json={"task": task["id"], "result": RESULT}).raise_for_status()


def replaced(client: httpx.Client, task: dict[str, Any]) -> None:
    client.patch(f"/api/tasks/{task['id']}/", json={"data": {"text": "another"}}).raise_for_status()


def test_a_batch_is_removed_with_the_tasks_that_it_imported_unless_somebody_has_worked_on_them(
    each_label_studio: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, token = each_label_studio.url, each_label_studio.token
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    (tmp_path / "tasks.json").write_text(json.dumps(LABELLED), encoding="utf-8")
    sheet = write_sheet(tmp_path, "Tasks", 8)
    head, *rows = sheet.read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join([f"{head},tasks", *(f"{row},tasks.json" for row in rows)]), encoding="utf-8")
    with http(url, token) as client:
        write_results(made(url, token, sheet), str(tmp_path / "results"))
        found = projects(client, "Tasks")
        works = [annotated, annotated_otherwise, begun, predicted, replaced]
        for project, work in zip(found, works, strict=False):
            [task] = client.get(
                "/api/tasks/", params={"project": project["id"], "fields": "all", "page_size": 1}
            ).json()["tasks"]
            work(client, task)
        assert main(["remove", str(tmp_path / "results" / "results.csv"), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [row["outcome"] for row in said["rows"]] == ["kept"] * 5 + ["would be removed"] * 3
        assert {row["code"] for row in said["rows"]} == {"has-work", "other-tasks", ""}
        assert main(["remove", str(tmp_path / "results" / "results.csv"), "--yes"]) == 1
        assert [project["id"] for project in projects(client, "Tasks")] == [each["id"] for each in found[:5]]


def test_after_a_kill_in_mid_run_a_rerun_makes_the_rest(label_studio: Instance, tmp_path: Path) -> None:
    sheet = write_sheet(tmp_path, "Killed", ROWS)
    with http(label_studio.url, label_studio.token) as client:
        batch = started(label_studio, sheet)
        amid_rows(client, "Killed", ROWS // 4)
        batch.kill()
        batch.communicate()
        assert len(projects(client, "Killed")) < ROWS
        report = reported(started(label_studio, sheet))
        assert report["counts"]["created"] <= ROWS - ROWS // 4 + 1
        assert_exactly_once(client, "Killed", ROWS, report)


def test_a_batch_waits_for_a_label_studio_that_is_restarted_behind_nginx(production: Instance, tmp_path: Path) -> None:
    sheet = write_sheet(tmp_path, "Restarted", ROWS)
    with http(production.url, production.token) as client:
        batch = started(production, sheet)
        amid_rows(client, "Restarted", ROWS // 4)
        production.stop()
        production.start()
        assert_exactly_once(client, "Restarted", ROWS, reported(batch))


@pytest.mark.parametrize("at_once", [8, 16])
def test_on_postgresql_label_studio_makes_no_duplicates_of_its_own(
    production: Instance, tmp_path: Path, at_once: int
) -> None:
    name = f"At once {at_once}"
    sheet = write_sheet(tmp_path, name, ROWS)
    with http(production.url, production.token) as client:
        before = ever_made(client)
        report = reported(started(production, sheet, at_once))
        assert ever_made(client) - before - 1 == ROWS
        assert_exactly_once(client, name, ROWS, report)


def test_the_log_does_not_hold_the_token(production: Instance) -> None:
    with httpx.Client(base_url=production.url) as client:
        assert client.get("/api/version/").json()["edition"] == "Community"
    assert production.token not in production.log.read_text(encoding="utf-8")
