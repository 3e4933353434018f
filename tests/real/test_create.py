"""`stencil create` makes the projects of a sheet on the real Community server, read back by the official SDK."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from label_studio_sdk import LabelStudio

from scripts.label_studio import Instance

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "community.csv"


@pytest.fixture
def sdk(label_studio: Instance) -> Iterator[LabelStudio]:
    with httpx.Client() as client:
        yield LabelStudio(base_url=label_studio.url, api_key=label_studio.token, httpx_client=client)


def stencil(label_studio: Instance, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
    command = [sys.executable, "-m", "label_studio_stencil", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def projects(sdk: LabelStudio, titles: set[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {title: [] for title in titles}
    for project in sdk.projects.list(page_size=100):
        if project.title in found:
            found[project.title].append(sdk.projects.get(project.id))
    return found


def expected(row: dict[str, str]) -> dict[str, Any]:
    """The settings that a row asks for, by reading its template and its cells independently of Stencil."""
    template = yaml.safe_load((EXAMPLE.parent / row["template"]).read_text(encoding="utf-8"))
    template.pop("name")
    # The server trims text, as it trims a title.
    template = {key: value.strip() if isinstance(value, str) else value for key, value in template.items()}
    kinds: dict[str, Any] = {
        "maximum_annotations": int,
        "overlap_cohort_percentage": int,
        "show_skip_button": lambda text: text == "yes",
    }
    own = {key: kinds.get(key, str)(value) for key, value in row.items() if value and key not in ("title", "template")}
    return {"description": "", **template, **own}


def test_the_example_makes_its_projects_with_the_settings_asked_for(label_studio: Instance, sdk: LabelStudio) -> None:
    with EXAMPLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    first = stencil(label_studio, "create", str(EXAMPLE), "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["counts"]["created"] == len(rows)
    found = projects(sdk, {row["title"] for row in rows})
    for row in rows:
        (project,) = found[row["title"]]
        wanted = expected(row)
        assert {key: getattr(project, key) for key in wanted} == wanted

    again = stencil(label_studio, "create", str(EXAMPLE), "--json")
    assert json.loads(again.stdout)["counts"]["exists"] == len(rows)
    assert projects(sdk, set(found)) == found


def test_an_existing_project_is_a_template(label_studio: Instance, sdk: LabelStudio, tmp_path: Path) -> None:
    source = sdk.projects.create(
        title="Gold standard",
        label_config='<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>',
        maximum_annotations=4,
        color="#8250DF",
        expert_instruction="<b>Read</b> twice &amp; judge once",
    )
    sheet = tmp_path / "copies.csv"
    sheet.write_text(f"title,template,color\nBy id,project:{source.id},\nBy title,project:Gold standard,#CF222E\n")

    made = stencil(label_studio, "create", str(sheet))
    assert made.returncode == 0, made.stdout + made.stderr
    found = projects(sdk, {"By id", "By title"})
    for title, color in (("By id", "#8250DF"), ("By title", "#CF222E")):
        (copy,) = found[title]
        assert (copy.color, copy.maximum_annotations) == (color, 4)
        assert (copy.label_config, copy.expert_instruction) == (source.label_config, source.expert_instruction)


@pytest.mark.parametrize(
    ("header", "cells", "code"),
    [
        pytest.param("workspace", "North", "enterprise-only-workspace", id="a workspace"),
        pytest.param("agreement_threshold", "0.8", "enterprise-only-field", id="a field that would be dropped"),
    ],
)
def test_what_community_cannot_do_is_an_error_before_the_first_write(
    label_studio: Instance, sdk: LabelStudio, tmp_path: Path, header: str, cells: str, code: str
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"title,{header}\nNever made,{cells}\n")

    refused = stencil(label_studio, "create", str(sheet), "--template", str(EXAMPLE.parent / "templates/entities.yaml"))
    assert refused.returncode == 2
    assert code in refused.stderr
    assert "Traceback" not in refused.stderr
    assert projects(sdk, {"Never made"}) == {"Never made": []}


def test_a_project_template_is_an_error_that_says_what_community_has_instead(
    label_studio: Instance, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title,template\nNever made,Sentiment v2\n")

    refused = stencil(label_studio, "plan", str(sheet))
    assert refused.returncode == 2
    assert "enterprise-only-template" in refused.stderr


def test_concurrent_creates_leave_one_project_per_row_where_the_server_itself_makes_twins(
    label_studio: Instance, sdk: LabelStudio, tmp_path: Path
) -> None:
    titles = {f"Twin {number:02}" for number in range(40)}
    sheet = tmp_path / "twins.csv"
    sheet.write_text("title\n" + "\n".join(sorted(titles)) + "\n")
    template = str(EXAMPLE.parent / "templates/sentiment.yaml")

    made = stencil(label_studio, "create", str(sheet), "--template", template, "--max-concurrency", "8")
    assert made.returncode == 0, made.stdout + made.stderr
    assert {title: len(found) for title, found in projects(sdk, titles).items()} == dict.fromkeys(titles, 1)
