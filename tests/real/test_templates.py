"""Each kind of template that Community knows makes the same projects on the real server as on the sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli import main
from label_studio_stencil.problems import InvalidSheet
from label_studio_stencil.report.outcomes import Outcome
from scripts.label_studio import Instance
from tests.real.batches import http, made

pytestmark = pytest.mark.real

FILE = """
name: Entities
title: "{{ customer }} {{ year }}"
description: "Texts of {{ customer }}"
expert_instruction: "<b>{{ customer }}</b>"
label_config_file: ner.xml
maximum_annotations: 3
variables:
  customer:
  year: {type: integer}
  labels: {type: list, default: [Party, Date]}
"""
INTERFACE = (
    '<View><Labels name="label" toName="text">{% for label in labels %}<Label value="{{ label }}"/>{% endfor %}</Labels>'
    '<Text name="text" value="$text"/></View>'
)
SHEET = (
    "title,template,var.customer,var.year,var.labels,color\n"
    ',ner.yaml,"A&B ""Fish"" <Co>",2026,Person;Place,\n'
    ",ner.yaml,Alder,2027,,#1F6FEB\n"
    "Of the gallery,gallery:Named Entity Recognition,,,,\n"
    "A copy,project:Gold for the sheet,,,,#CF222E\n"
)
GOLD = {
    "label_config": '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>',
    "maximum_annotations": 4,
    "color": "#8250DF",
    "expert_instruction": "Judge once",
    "description": "Gold",
}
#: What is compared, but for the gallery's interface, which the sandbox has its own of.
COMPARED = (
    "title",
    "description",
    "expert_instruction",
    "maximum_annotations",
    "color",
    "sampling",
    "show_instruction",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ner.yaml").write_text(FILE, encoding="utf-8")
    (tmp_path / "ner.xml").write_text(INTERFACE, encoding="utf-8")
    (tmp_path / "sheet.csv").write_text(SHEET, encoding="utf-8")
    return tmp_path


@pytest.fixture
def environment(label_studio: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)


def projects_of(url: str, token: str, sheet: Path, **options: Any) -> list[dict[str, Any]]:
    """What a sheet makes, beside a project that it copies."""
    with http(url, token) as client:
        place = {"workspace": 1} if options else {}
        client.post("/api/projects/", json={"title": "Gold for the sheet", **GOLD, **place}).raise_for_status()
        report = made(url, token, sheet, **options)
        assert report.ok, report.to_json()
        return [client.get(f"/api/projects/{row.project_id}/").json() for row in report.rows]


def test_a_sheet_makes_the_same_projects_on_the_sandbox_and_on_community(label_studio: Instance, folder: Path) -> None:
    with Sandbox() as sandbox:
        there = projects_of(sandbox.url, sandbox.token, folder / "sheet.csv", workspace="1")
    here = projects_of(label_studio.url, label_studio.token, folder / "sheet.csv")
    for one, other in zip(here, there, strict=True):
        assert {name: one[name] for name in COMPARED} == {name: other[name] for name in COMPARED}
        if one["title"] != "Of the gallery":
            assert one["label_config"] == other["label_config"]
            assert one["parsed_label_config"] == other["parsed_label_config"]


def test_an_entry_that_only_enterprise_can_open_is_refused_before_the_first_write(label_studio: Instance) -> None:
    with pytest.raises(InvalidSheet, match="works only in Label Studio Enterprise"):
        made(label_studio.url, label_studio.token, [{"title": "Chat", "template": "gallery:Chatbot Evaluation"}])


def test_every_entry_of_the_gallery_becomes_a_project(label_studio: Instance) -> None:
    with http(label_studio.url, label_studio.token) as client:
        everything = client.get("/api/templates/").json()["templates"]
        entries = [entry for entry in everything if entry["type"] != "enterprise"]
        rows = [{"title": f"Entry {entry['title']}"[:50], "template": f"gallery:{entry['title']}"} for entry in entries]
        report = made(label_studio.url, label_studio.token, rows)
        assert (len(everything), len(rows)) == (69, 63)
        assert [(row.title, row.error) for row in report.needs_attention] == []
        for entry, row in zip(entries, report.rows, strict=True):
            config = client.get(f"/api/projects/{row.project_id}/").json()["label_config"]
            assert config == entry["config"].strip()


@pytest.mark.usefixtures("environment")
def test_an_exported_project_makes_fifty_that_export_the_same(
    label_studio: Instance, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with http(label_studio.url, label_studio.token) as client:
        client.post("/api/projects/", json={**GOLD, "title": "To be copied"}).raise_for_status()
    # Rows of a list open what lies in the working folder.
    monkeypatch.chdir(tmp_path)
    assert main(["template", "export", "To be copied"]) == 0
    exported = capsys.readouterr().out
    (tmp_path / "gold.yaml").write_text(exported, encoding="utf-8")
    rows = [{"title": f"Copy {number:02}", "template": str(tmp_path / "gold.yaml")} for number in range(50)]
    assert made(label_studio.url, label_studio.token, rows).ok
    assert main(["template", "export", "Copy 49"]) == 0
    assert capsys.readouterr().out.replace("Copy 49", "To be copied") == exported


@pytest.mark.parametrize("listed", [False, True], ids=["detail", "list"])
def test_an_answer_of_the_api_saved_as_json_is_a_template(
    label_studio: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with http(label_studio.url, label_studio.token) as client:
        title = f"Saved, listed {listed}"
        project = client.post("/api/projects/", json={**GOLD, "title": title}).raise_for_status().json()["id"]
        url = f"/api/projects/?ids={project}" if listed else f"/api/projects/{project}/"
        (tmp_path / "saved.json").write_bytes(client.get(url).content)
        report = made(label_studio.url, label_studio.token, [{"title": f"{title}, copy", "template": "saved.json"}])
        assert [row.outcome for row in report.rows] == ["created"], report.to_json()
        here = client.get(f"/api/projects/{report.rows[0].project_id}/").json()
        origin = client.get(f"/api/projects/{project}/").json()
        assert {name: here[name] for name in GOLD if name != "title"} == {
            name: origin[name] for name in GOLD if name != "title"
        }


@pytest.mark.usefixtures("environment")
def test_the_server_says_where_an_interface_is_wrong_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = (
        INTERFACE.replace('toName="text"', 'toName="nope"')
        .replace("{% for label in labels %}", "")
        .replace("{% endfor %}", "")
    )
    (tmp_path / "bad.yaml").write_text(f"label_config: |\n  {bad.replace('{{ label }}', 'A')}\n", encoding="utf-8")
    (tmp_path / "sheet.csv").write_text("title,template\nWrong,bad.yaml\n", encoding="utf-8")
    assert main(["check", str(tmp_path / "sheet.csv")]) == 2
    assert "line 2, column template" in (said := capsys.readouterr().err)
    assert 'toName="nope"' in said


def test_tasks_are_imported_once_and_the_project_is_published_and_pinned_last(
    label_studio: Instance, tmp_path: Path
) -> None:
    (tmp_path / "tasks.csv").write_text("text\none\ntwo\nthree\n", encoding="utf-8")
    (tmp_path / "tasks.json").write_text('[{"data": {"text": "a"}}, {"data": {"text": "b"}}]', encoding="utf-8")
    sheet = tmp_path / "sheet.csv"
    rows = "".join(f"Steps {number},tasks.{'csv' if number % 2 else 'json'},yes,yes\n" for number in range(4))
    sheet.write_text(f"title,tasks,publish,pin\n{rows}", encoding="utf-8")
    for outcome in ("created", "exists"):
        report = made(label_studio.url, label_studio.token, sheet, template="gallery:Text Classification")
        assert [(row.outcome.value, row.error) for row in report.rows] == [(outcome, "")] * 4
        with http(label_studio.url, label_studio.token) as client:
            found = [client.get(f"/api/projects/{row.project_id}/").json() for row in report.rows]
        assert [project["task_number"] for project in found] == [2, 3, 2, 3]
        assert all(project["is_published"] and project["pinned_at"] and not project["description"] for project in found)


def test_what_label_studio_rewrites_or_has_of_its_own_is_no_failure(label_studio: Instance, tmp_path: Path) -> None:
    """Instructions that its HTML cleaner changes, an XML declaration, the tag Repeater, and rows without a template."""
    plain = (
        '<View><Text name="text" value="$text"/><Choices name="s" toName="text"><Choice value="A"/></Choices></View>'
    )
    repeater = (
        '<View><Repeater on="$pages" indexFlag="{{idx}}"><Image name="p_{{idx}}" value="$pages[{{idx}}].url"/>'
        '<RectangleLabels name="b_{{idx}}" toName="p_{{idx}}"><Label value="T"/></RectangleLabels></Repeater></View>'
    )
    (tmp_path / "declared.xml").write_text(f'<?xml version="1.0" encoding="UTF-8"?>\n{plain}', encoding="utf-8")
    (tmp_path / "repeater.xml").write_text(repeater, encoding="utf-8")
    (tmp_path / "guide.txt").write_bytes(b"Step one.\r\nStep two.\r\n")
    rows = [
        {"title": "Cleaned", "label_config": plain, "expert_instruction": "<p style='x'>A<br/>b<center>c</center>"},
        {"title": "Line ends", "label_config": plain, "expert_instruction": "@guide.txt"},
        {"title": "Declaration", "label_config": "@declared.xml"},
        {"title": "Repeater", "label_config": "@repeater.xml"},
    ]
    sheet = tmp_path / "rows.jsonl"
    sheet.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")

    report = made(label_studio.url, label_studio.token, sheet)

    assert [row.outcome for row in report.rows] == [Outcome.CREATED] * 4
    assert report.notes == ("Label Studio's HTML cleaner removed <center>, style from expert_instruction (line 1).",)
    again = made(label_studio.url, label_studio.token, sheet, mode="update")
    assert {row.outcome for row in again.rows} == {Outcome.UNCHANGED}
