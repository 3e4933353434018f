"""A project's answer, saved as JSON, is a template."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import Instance, open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.problems import Problem
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from label_studio_stencil.templates.files import is_file, read_template
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.resolution import resolve_templates

CONFIG = (
    '<View><Repeater on="$pages" indexFlag="{{idx}}"><Text name="t_{{idx}}" value="$pages[{{idx}}].t"/>'
    '<Choices name="c_{{idx}}" toName="t_{{idx}}"><Choice value="{% no tag %} \U0001f600"/></Choices></Repeater></View>'
)
SETTINGS = {
    "description": "Read {{ twice }}.",
    "label_config": CONFIG,
    "expert_instruction": "<b>Choose</b> one.",
    "color": "#8250DF",
    "maximum_annotations": 3,
    "agreement_threshold": "0.80",
    "annotation_limit_count": 7,
    "review_settings": {"review_criteria": "one", "only_finished_tasks": True},
    "task_data_password": "never copied",
    "is_published": True,
}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers={"authorization": f"Token {sandbox.token}"}) as client:
        yield client


@pytest.fixture
async def label_studio(sandbox: Sandbox) -> AsyncIterator[Instance]:
    async with open_label_studio(LabelStudioSettings(sandbox.url, SecretStr(sandbox.token)), Options()) as label_studio:
        yield label_studio


@pytest.fixture
def project(http: httpx.Client) -> int:
    made = http.post("/api/projects/", json={"title": "Origin", "workspace": 1}).raise_for_status().json()["id"]
    http.patch(f"/api/projects/{made}/", json=SETTINGS).raise_for_status()
    return int(made)


def detail(http: httpx.Client, project: int) -> Any:
    return http.get(f"/api/projects/{project}/").json()


def item(http: httpx.Client, project: int) -> Any:
    return http.get("/api/projects/", params={"ids": project}).json()["results"][0]


def page(http: httpx.Client, project: int) -> Any:
    return http.get("/api/projects/", params={"ids": project}).json()


@pytest.mark.parametrize("answer", [detail, item, page])
@pytest.mark.parametrize("indent", [None, 2])
async def test_an_answer_makes_projects_with_its_settings(
    http: httpx.Client, label_studio: Instance, project: int, tmp_path: Path, answer: Any, indent: int | None
) -> None:
    (tmp_path / "saved.json").write_text(json.dumps(answer(http, project), indent=indent), encoding="utf-8")
    (tmp_path / "sheet.csv").write_text("title,workspace,template\nCopy,1,saved.json\n", encoding="utf-8")
    options = Options()
    report = await provision(check(read_sheet(tmp_path / "sheet.csv"), options), options, label_studio)
    [row] = report.rows
    assert row.outcome == "created", row.error
    made, origin = detail(http, row.project_id or 0), detail(http, project)
    for answered in (made, origin):
        # Each project has an object of its own.
        del answered["review_settings"]["id"], answered["review_settings"]["project"]
    told = ("task_data_password", "is_published")
    assert {name: made[name] for name in SETTINGS if name not in told} == {
        name: origin[name] for name in SETTINGS if name not in told
    }
    assert not made["is_published"]
    assert made["task_data_password"] is None
    assert made["created_by"]["id"] == 1


def saved(folder: Path, content: object) -> Template | Problem:
    (folder / "saved.json").write_text(json.dumps(content), encoding="utf-8")
    return read_template("saved.json", folder)


def test_json_that_is_no_answer_is_a_template_file(tmp_path: Path) -> None:
    found = saved(tmp_path, {"name": "Mine", "label_config": "<View/>", "maximum_annotations": 2})
    assert isinstance(found, Template)
    assert (found.name, found.fields["maximum_annotations"]) == ("Mine", 2)
    assert is_file("saved.json")


def test_a_list_of_several_projects_is_an_error(tmp_path: Path) -> None:
    found = saved(tmp_path, {"count": 2, "results": [{"id": 1, "title": "A"}, {"id": 2, "title": "B"}]})
    assert isinstance(found, Problem)
    assert "a list of 2 projects: save one" in found.message


@pytest.mark.parametrize(
    ("name", "value"), [("label_config", 5), ("label_config", ["<View/>"]), ("expert_instruction", "half \ud800")]
)
def test_a_setting_that_no_project_takes_is_named_and_not_left_out(tmp_path: Path, name: str, value: object) -> None:
    found = saved(tmp_path, {"id": 1, "title": "A", "label_config": "<View/>", name: value})
    assert isinstance(found, Problem)
    assert name in found.message


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"strict_task_overlap": True, "require_comment_on_skip": False}, False),
        ({"strict_task_overlap": False}, True),
        ({"annotation_limit_count": 3}, True),
    ],
)
async def test_on_community_a_setting_of_enterprise_is_left_out_where_it_has_its_default(
    label_studio: Instance, tmp_path: Path, fields: dict[str, Any], refused: bool
) -> None:
    saved(tmp_path, {"id": 1, "title": "A", "label_config": "<View/>", "maximum_annotations": 2, **fields})
    found = await resolve_templates(["saved.json"], label_studio.client, Edition.COMMUNITY, folder=tmp_path)
    template = found["saved.json"]
    assert isinstance(template, Problem) == refused
    if isinstance(template, Template):
        assert dict(template.fields) == {"label_config": "<View/>", "maximum_annotations": 2}
