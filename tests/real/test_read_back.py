"""Sixty rows of every kind that Community takes, read back by the official SDK: what it shows is what was asked for."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_studio_sdk import LabelStudio

from scripts.label_studio import Instance
from tests.real.batches import made

pytestmark = pytest.mark.real

EACH = 12
FILE = """
name: Sentiment
label_config: |
  <View>
    <Text name="text" value="$text"/>
    <Choices name="mood" toName="text"><Choice value="Glad"/><Choice value="Sad"/></Choices>
  </View>
description: Moods
expert_instruction: <b>Read</b> twice
maximum_annotations: 3
show_skip_button: false
"""
OWN = '<View><Image name="image" value="$image"/><Rating name="stars{0}" toName="image" maxRating="{1}"/></View>'
SETTINGS: dict[str, Any] = {
    "color": "#8250DF",
    "enable_empty_annotation": False,
    "is_published": True,
    "overlap_cohort_percentage": 40,
    "sampling": "Uniform sampling",
    "show_instruction": True,
    "skip_queue": "REQUEUE_FOR_ME",
    "task_data_login": "reader",
}


@pytest.fixture
def sdk(label_studio: Instance) -> Iterator[LabelStudio]:
    with httpx.Client() as client:
        yield LabelStudio(base_url=label_studio.url, api_key=label_studio.token, httpx_client=client)


def asked(sdk: LabelStudio, http: httpx.Client) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Rows, and what their projects are to show."""
    moods = {"description": "Moods", "expert_instruction": "<b>Read</b> twice", "maximum_annotations": 3}
    moods |= {"label_config": FILE.split("|\n", 1)[1].split("description", 1)[0], "show_skip_button": False}
    moods["label_config"] = "\n".join(line[2:] for line in str(moods["label_config"]).strip("\n").splitlines())
    gallery = [entry for entry in http.get("/api/templates/").json()["templates"] if entry["type"] == "community"]
    source = sdk.projects.create(
        title="A source", label_config=OWN.format("", 7), maximum_annotations=5, color="#CF222E"
    )
    copied = {"label_config": source.label_config, "maximum_annotations": 5, "color": "#CF222E", "task_number": 0}
    found: list[tuple[dict[str, str], dict[str, Any]]] = []
    for number in range(EACH):
        cells = {name: str(value) for name, value in SETTINGS.items()}
        entry, own = gallery[number * 5], OWN.format(number, number + 1)
        found += [
            ({"template": "sentiment.yaml"}, moods | {"task_number": 0}),
            ({"template": f"gallery:{entry['title']}"}, {"label_config": entry["config"].strip(), "description": ""}),
            ({"template": f"project:{source.id}"}, copied),
            ({"label_config": own, "maximum_annotations": "2"}, {"label_config": own, "maximum_annotations": 2}),
            (
                {"template": "sentiment.yaml", "tasks": f"tasks{number % 3}.csv", **cells},
                moods | SETTINGS | {"task_number": number % 3 + 1},
            ),
        ]
    return [(row | {"title": f"Read back {n:02}"}, shown) for n, (row, shown) in enumerate(found)]


def test_the_official_sdk_reads_back_what_sixty_rows_ask_for(
    label_studio: Instance, sdk: LabelStudio, tmp_path: Path
) -> None:
    (tmp_path / "sentiment.yaml").write_text(FILE, encoding="utf-8")
    for number in range(3):
        texts = "".join(f"text {line}\n" for line in range(number + 1))
        (tmp_path / f"tasks{number}.csv").write_text(f"text\n{texts}", encoding="utf-8")
    headers = {"authorization": f"Token {label_studio.token}"}
    with httpx.Client(base_url=label_studio.url, headers=headers, timeout=60) as http:
        rows = asked(sdk, http)
    with (tmp_path / "sheet.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for row, _ in rows for name in row))
        writer.writeheader()
        writer.writerows(row for row, _ in rows)
    report = made(label_studio.url, label_studio.token, tmp_path / "sheet.csv")
    assert [row.error for row in report.needs_attention] == []
    assert len(report.rows) == 5 * EACH
    for (row, shown), done in zip(rows, report.rows, strict=True):
        project = sdk.projects.get(done.project_id)
        assert {name: getattr(project, name) for name in shown} == shown, row
        assert project.title == row["title"]
