"""With `--skip-invalid`, a row that Label Studio rejects ends no batch: each of many kinds is named, the others are made."""

import json
from pathlib import Path

import pytest

from label_studio_stencil.report.outcomes import Outcome
from scripts.label_studio import Instance
from tests.real.batches import http, made

pytestmark = pytest.mark.real

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="mood" toName="text"><Choice value="Glad"/></Choices></View>'
)
RESULT = [{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": ["Glad"]}}]
#: What is wrong with a row, by what it is; where only Label Studio can tell, with the outcome that the row then has.
INTERFACES = {
    "no XML": "<View><Text",
    "words": "hello",
    "a document type": f'<!DOCTYPE x [<!ENTITY a "b">]>{CONFIG}',
    "a control character": "<View>\x01</View>",
    "half a character": "<View>\ud800</View>",
    "a target that is missing": CONFIG.replace('toName="text"', 'toName="nope"'),
    "a name twice": CONFIG.replace('name="mood"', 'name="text"'),
    "no value": '<View><Text name="t"/></View>',
    "a choice without a value": CONFIG.replace('<Choice value="Glad"/>', "<Choice/>"),
    "a prefix that is not bound": "<View><a:b/></View>",
    "a depth that Label Studio falls over": "<View>" * 3000 + "</View>" * 3000,
    "a file that is missing": "@nowhere.xml",
}
SETTINGS = {
    "maximum_annotations": str(2**40),
    "color": "red",
    "sampling": "nope",
    "show_instruction": "maybe",
    "pinned_at": "yesterday",
    "task_data_login": "x" * 300,
    "control_weights": '{"mood": {"overall": 7, "type": "Choices", "labels": {}}}',
    "template": "gallery:No such entry",
    "description": "a\x00b",
}
TASKS = {
    "broken": '[{"text": ',
    "lacks-its-text": '[{"body": "x"}]',
    "half-a-character": r'[{"text": "a\ud800b"}]',
    "a-nul": r'[{"text": "a\u0000b"}]',
    "no-annotations": json.dumps([{"data": {"text": "a"}, "annotations": "none"}]),
}
#: Known to Label Studio alone: the project is made, and its row says what is to be mended.
REFUSED_TASKS = {
    "wrong-type": '[{"text": {"a": 1}}]',
    "nobody": json.dumps([{"data": {"text": "a"}, "annotations": [{"result": RESULT, "completed_by": 98765}]}]),
    "meta": '[{"data": {"text": "a"}, "meta": 5}]',
}


def test_no_bad_row_ends_a_batch(label_studio: Instance, tmp_path: Path) -> None:
    for name, content in {**TASKS, **REFUSED_TASKS}.items():
        (tmp_path / f"{name}.json").write_text(content, encoding="utf-8")
    bad: list[dict[str, str]] = [{"label_config": config} for config in INTERFACES.values()]
    bad += [{"label_config": CONFIG, name: value} for name, value in SETTINGS.items()]
    bad += [{"label_config": CONFIG, "tasks": f"{name}.json"} for name in TASKS]
    failing = [{"label_config": CONFIG, "tasks": f"{name}.json"} for name in REFUSED_TASKS]
    failing.append({"label_config": CONFIG, "organization": "99"})
    good = [{"label_config": CONFIG} for _ in range(5)]
    kinds = [(each, Outcome.INVALID) for each in bad] + [(each, Outcome.FAILED) for each in failing]
    # In between, so that each bad one has good ones behind it.
    kinds[3:3] = [(each, Outcome.CREATED) for each in good[:3]]
    kinds += [(each, Outcome.CREATED) for each in good[3:]]
    rows = [{"title": f"Bad rows {number:02}", **cells} for number, (cells, _) in enumerate(kinds)]
    (tmp_path / "sheet.json").write_text(json.dumps(rows), encoding="utf-8")
    report = made(label_studio.url, label_studio.token, tmp_path / "sheet.json", skip_invalid=True, max_failures="100%")
    assert len(report.rows) == len(rows)
    assert [(row.title, row.outcome) for row in report.rows] == [
        (row["title"], outcome) for row, (_, outcome) in zip(rows, kinds, strict=True)
    ]
    assert all(row.error for row in report.rows if row.outcome is not Outcome.CREATED)
    with http(label_studio.url, label_studio.token) as client:
        listed = client.get(
            "/api/projects/", params={"title": "Bad rows", "page_size": 100, "include": "id,title"}
        ).json()
    # A project whose tasks were refused stays, and its row says so; the one of no organization never was.
    assert listed["count"] == len(good) + len(REFUSED_TASKS)
