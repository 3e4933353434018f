"""Template references resolve to what projects are made from, on the sandbox."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import Instance, open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.problems import Problem
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from label_studio_stencil.templates.files import from_anywhere
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.resolution import resolve_templates

CONFIG = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
async def label_studio(sandbox: Sandbox) -> AsyncIterator[Instance]:
    async with open_label_studio(LabelStudioSettings(sandbox.url, SecretStr(sandbox.token)), Options()) as label_studio:
        yield label_studio


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers={"authorization": f"Token {sandbox.token}"}) as client:
        yield client


async def made(label_studio: Instance, **row: object) -> Report:
    options = Options(workspace="1")
    return await provision(check(read_sheet([row]), options), options, label_studio)


async def resolved(label_studio: Instance, reference: str, folder: Path | None = None) -> Template | Problem:
    return (await resolve_templates([reference], label_studio.client, label_studio.edition, folder=folder))[reference]


async def test_a_copy_of_a_project_has_its_settings_nested_ones_too(label_studio: Instance, http: httpx.Client) -> None:
    wanted = {
        "label_config": CONFIG,
        "maximum_annotations": 4,
        "agreement_threshold": "0.75",
        "review_settings": {"review_criteria": "all", "only_finished_tasks": True},
        "assignment_settings": {"label_stream_task_distribution": "assigned_only"},
    }
    source = http.post("/api/projects/", json={"title": "Gold standard", "workspace": 2}).json()["id"]
    http.patch(f"/api/projects/{source}/", json=wanted).raise_for_status()

    for title, reference in (("By id", f"project:{source}"), ("By title", "project:Gold standard")):
        report = await made(label_studio, title=title, template=reference)
        assert report.ok, report.to_json()
        copy = http.get(f"/api/projects/{report.rows[0].project_id}/").json()
        assert copy["review_settings"].items() >= wanted["review_settings"].items()  # type: ignore[attr-defined]
        assert copy["assignment_settings"].items() >= wanted["assignment_settings"].items()  # type: ignore[attr-defined]
        assert {name: copy[name] for name in ("label_config", "maximum_annotations", "agreement_threshold")} == {
            name: wanted[name] for name in ("label_config", "maximum_annotations", "agreement_threshold")
        }


async def test_a_file_makes_projects_on_enterprise_too(
    label_studio: Instance, tmp_path: Path, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ner.yaml").write_text(f"name: Mine\nlabel_config: '{CONFIG}'\nstrict_task_overlap: false\n")
    report = await made(label_studio, title="From a file", template=str(tmp_path / "ner.yaml"))
    assert report.ok, report.to_json()
    project = http.get(f"/api/projects/{report.rows[0].project_id}/").json()
    assert (project["label_config"], project["strict_task_overlap"], project["workspace"]) == (CONFIG, False, 1)


async def test_an_id_wins_over_a_name_and_an_exact_name_over_a_similar_one(
    label_studio: Instance, http: httpx.Client
) -> None:
    project = http.post("/api/projects/", json={"title": "Source"}).json()["id"]
    for name in ("2", "sentiment analysis"):
        http.post("/api/project-templates/", json={"name": name, "project_id": project}).raise_for_status()
    by_id, by_name = await resolved(label_studio, "2"), await resolved(label_studio, "Sentiment Analysis")
    assert isinstance(by_id, Template)
    assert isinstance(by_name, Template)
    assert (by_id.id, by_name.id) == (2, 1)


async def test_a_name_that_fits_two_lists_both_ids(label_studio: Instance, http: httpx.Client) -> None:
    project = http.post("/api/projects/", json={"title": "Source"}).json()["id"]
    added = http.post("/api/project-templates/", json={"name": "Sentiment Analysis", "project_id": project}).json()[
        "id"
    ]
    found = await resolved(label_studio, "Sentiment Analysis")
    assert isinstance(found, Problem)
    assert found.code == "template-ambiguous"
    assert f"ids 1, {added}" in found.message


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        pytest.param("Sentimental", "template-unknown", id="no such name"),
        pytest.param("project:999", "template-unknown", id="no such project"),
        pytest.param("nowhere.yaml", "template-unknown", id="no such file"),
        pytest.param("bad.yaml", "template-invalid", id="not YAML"),
        pytest.param("list.yaml", "template-invalid", id="not a mapping"),
        pytest.param("bomb.yaml", "template-invalid", id="aliases"),
        pytest.param("tag.yaml", "template-invalid", id="a Python object"),
        pytest.param("deep.yaml", "template-invalid", id="nested deeply"),
        pytest.param("bytes.yaml", "template-unknown", id="not text"),
        pytest.param("field.yaml", "template-invalid", id="an unknown field"),
    ],
)
async def test_what_does_not_resolve_is_a_problem_that_names_it(
    label_studio: Instance, tmp_path: Path, reference: str, code: str
) -> None:
    (tmp_path / "bad.yaml").write_text("name: [")
    (tmp_path / "list.yaml").write_text("- name")
    (tmp_path / "field.yaml").write_text("name: a\ncolour: red\n")
    (tmp_path / "bomb.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\nname: [*b, *b]\n")
    (tmp_path / "tag.yaml").write_text("name: !!python/object/apply:os.system ['true']\n")
    (tmp_path / "deep.yaml").write_text("review_settings: " + "[" * 5000 + "]" * 5000)
    (tmp_path / "bytes.yaml").write_bytes(b"\x89PNG\x00\x81")
    found = await resolved(label_studio, reference, tmp_path)
    assert isinstance(found, Problem)
    assert (found.code, found.column) == (code, "template")


def test_a_file_is_named_with_its_whole_path_from_elsewhere(tmp_path: Path) -> None:
    assert from_anywhere("a/ner.yaml", tmp_path) == f"file:{tmp_path.resolve()}/a/ner.yaml"
    assert from_anywhere("Sentiment", tmp_path) == "Sentiment"
