"""What holds on every release of Community that is supported: `make test-real-old` runs this on the oldest one."""

import json
from pathlib import Path
from typing import Any

import pytest

from label_studio_stencil.cli import main
from label_studio_stencil.report.files import write_results
from label_studio_stencil.report.report import Report
from scripts.label_studio import Instance
from tests.real.batches import DESCRIPTION, assert_exactly_once, http, made, projects, write_sheet

pytestmark = pytest.mark.real

#: What Community 1.23.2 answers about a project; releases before it lack some of these settings.
ANSWER = {
    "id": 17,
    "title": "From a newer release",
    "description": DESCRIPTION,
    "label_config": '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>',
    "expert_instruction": "<b>Judge</b> once",
    "show_instruction": True,
    "show_annotation_history": False,
    "annotator_evaluation_enabled": False,
    "color": "#8250DF",
    "maximum_annotations": 2,
    "sampling": "Uniform sampling",
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "created_by": {"id": 9, "email": "somebody@example.com"},
    "created_at": "2026-11-24T06:11:12.394026Z",
    "task_number": 3,
    "state": None,
}


@pytest.fixture(autouse=True)
def environment(label_studio: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    monkeypatch.chdir(tmp_path)


def outcomes(report: Report) -> dict[str, int]:
    return {outcome.value: count for outcome, count in report.counts.items() if count}


def test_a_batch_is_created_with_tasks_run_again_updated_and_removed(label_studio: Instance, tmp_path: Path) -> None:
    url, token = label_studio.url, label_studio.token
    (tmp_path / "tasks.json").write_text(json.dumps([{"text": f"Text {number}"} for number in range(3)]))
    sheet = write_sheet(tmp_path, "Release", 12)
    head, *rows = sheet.read_text(encoding="utf-8").splitlines()

    def with_color(color: str) -> Path:
        lines = [f"{head},tasks,color", *(f"{row},tasks.json,{color}" for row in rows)]
        sheet.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return sheet

    with http(url, token) as client:
        assert outcomes(made(url, token, with_color("#8250DF"))) == {"created": 12}
        assert outcomes(made(url, token, sheet)) == {"exists": 12}
        again = made(url, token, sheet, mode="update")
        assert outcomes(again) == {"unchanged": 12}
        assert_exactly_once(client, "Release", 12, again.to_json())
        found = projects(client, "Release")
        assert {(project["color"], project["task_number"]) for project in found} == {("#8250DF", 3)}
        assert outcomes(made(url, token, with_color("#CF222E"), mode="update")) == {"updated": 12}
        assert {project["color"] for project in projects(client, "Release")} == {"#CF222E"}


def test_a_batch_is_removed_with_its_tasks(
    label_studio: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, token = label_studio.url, label_studio.token
    result = [{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["Glad"]}}]
    task = {"data": {"text": "one"}, "annotations": [{"result": result}], "predictions": [{"result": result}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    sheet = write_sheet(tmp_path, "Undone", 3)
    head, *rows = sheet.read_text(encoding="utf-8").splitlines()
    sheet.write_text("\n".join([f"{head},tasks", *(f"{row},tasks.json" for row in rows)]) + "\n", encoding="utf-8")
    write_results(made(url, token, sheet), str(tmp_path / "results"))
    with http(url, token) as client:
        [kept, *_] = projects(client, "Undone")
        tasks = client.get("/api/tasks/", params={"project": kept["id"], "fields": "all"}).json()["tasks"]
        client.post(f"/api/tasks/{tasks[0]['id']}/annotations/", json={"result": result}).raise_for_status()
        assert main(["remove", "results/results.csv", "--yes"]) == 1, capsys.readouterr()
        assert [project["id"] for project in projects(client, "Undone")] == [kept["id"]]


def test_a_project_of_a_newer_release_is_a_template(label_studio: Instance, tmp_path: Path) -> None:
    (tmp_path / "saved.json").write_text(json.dumps(ANSWER))
    rows: list[dict[str, Any]] = [{"title": "Of another release", "template": "saved.json"}]
    report = made(label_studio.url, label_studio.token, rows)
    assert outcomes(report) == {"created": 1}, report.to_json()
    assert outcomes(made(label_studio.url, label_studio.token, rows, mode="update")) == {"unchanged": 1}
    with http(label_studio.url, label_studio.token) as client:
        project = client.get(f"/api/projects/{report.rows[0].project_id}/").json()
        same = ("description", "label_config", "expert_instruction", "color", "maximum_annotations", "sampling")
        assert {name: project[name] for name in same} == {name: ANSWER[name] for name in same}


def test_an_exported_project_is_a_template(
    label_studio: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with http(label_studio.url, label_studio.token) as client:
        fields = {**ANSWER, "title": "To be exported"}
        del fields["created_by"]
        project = client.post("/api/projects/", json=fields).raise_for_status().json()["id"]
    assert main(["template", "export", str(project)]) == 0
    (tmp_path / "exported.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    rows: list[dict[str, Any]] = [{"title": "A copy of it", "template": "exported.yaml"}]
    assert outcomes(made(label_studio.url, label_studio.token, rows)) == {"created": 1}
    assert outcomes(made(label_studio.url, label_studio.token, rows, mode="update")) == {"unchanged": 1}
