"""`stencil template list|show|preview|export|publish` and `stencil check`, on the sandbox."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.cli import main
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check, check_files
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet

ROOT = Path(__file__).resolve().parents[2]

NER = """
name: Entities
label_config: |
  <View><Labels name="label" toName="text">{% for label in labels %}<Label value="{{ label }}"/>{% endfor %}</Labels>
  <Text name="text" value="$text"/></View>
maximum_annotations: 2
variables:
  labels: {type: list, default: [Party, Date], help: what is marked}
"""
SETTINGS: dict[str, Any] = {
    "label_config": '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="{{ A"/></Choices></View>',
    "maximum_annotations": 4,
    "agreement_threshold": "0.75",
    "expert_instruction": "Judge\nas a whole.",
    "description": "From a project",
    "review_settings": {"review_criteria": "all"},
    "color": "#1F6FEB",
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, headers={"authorization": f"Token {sandbox.token}"}) as client:
        yield client


@pytest.fixture
def stencil(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A command; its exit code, output and messages."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def ner(tmp_path: Path) -> Path:
    path = tmp_path / "ner.yaml"
    path.write_text(NER, encoding="utf-8")
    return path


def created(sandbox: Sandbox, sheet: Path | list[dict[str, object]], **options: Any) -> Report:
    async def run() -> Report:
        chosen = Options(workspace="1", **options)
        async with open_label_studio(
            LabelStudioSettings(sandbox.url, SecretStr(sandbox.token)), chosen
        ) as label_studio:
            return await provision(check(read_sheet(sheet), chosen), chosen, label_studio)

    return asyncio.run(run())


def gold_standard(http: httpx.Client) -> int:
    project: int = http.post("/api/projects/", json={"title": "Gold standard", "workspace": 2}).json()["id"]
    http.patch(f"/api/projects/{project}/", json=SETTINGS).raise_for_status()
    return project


def test_list_shows_references_of_every_kind_that_the_studio_has(stencil: Any, sandbox: Sandbox) -> None:
    code, output, messages = stencil("template", "list", "--json")
    references = [each["reference"] for each in json.loads(output)["templates"]]
    assert code == 0
    assert {"1", "gallery:Named Entity Recognition"} <= set(references)
    assert "project:TITLE" in messages


def test_show_tells_variables_and_settings(stencil: Any, ner: Path) -> None:
    code, output, _ = stencil("template", "show", ner, "--json")
    shown = json.loads(output)
    assert code == 0
    assert shown["settings"]["maximum_annotations"] == 2
    assert [(each["variable"], each["type"], each["help"]) for each in shown["variables"]] == [
        ("var.labels", "list", "what is marked")
    ]


def test_preview_prints_the_interface_of_a_row_or_of_values(stencil: Any, ner: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(f"title,template,var.labels\nOne row,{ner},A;B\nTwo rows,{ner},C\n", encoding="utf-8")
    assert (
        '<Label value="A"/><Label value="B"/>' in stencil("template", "preview", ner, "--sheet", sheet, "--row", 2)[1]
    )
    assert '<Label value="X"/>' in stencil("template", "preview", ner, "--var", "labels=X")[1]
    code, _, messages = stencil("template", "preview", ner, "--sheet", sheet, "--row", 9)
    assert (code, "lines 2 to 3" in messages) == (2, True)


def test_an_exported_project_makes_one_that_exports_the_same(
    stencil: Any, sandbox: Sandbox, http: httpx.Client, tmp_path: Path
) -> None:
    _, exported, _ = stencil("template", "export", gold_standard(http))
    (tmp_path / "gold.yaml").write_text(exported, encoding="utf-8")
    assert yaml.safe_load(exported).items() >= {"maximum_annotations": 4, "color": "#1F6FEB"}.items()
    report = created(sandbox, [{"title": "Gold standard 2"}], template=str(tmp_path / "gold.yaml"))
    assert report.ok, report.to_json()
    _, again, _ = stencil("template", "export", "Gold standard 2")
    assert again.replace("Gold standard 2", "Gold standard").splitlines() == exported.splitlines()


def test_a_published_file_is_a_project_template_that_projects_are_made_from(
    stencil: Any, sandbox: Sandbox, http: httpx.Client, ner: Path
) -> None:
    code, output, _ = stencil("template", "publish", ner, "--workspace", "Research", "--json")
    made = json.loads(output)
    assert code == 0
    report = created(sandbox, [{"title": "Of the published"}], template="Entities")
    assert report.ok
    project = http.get(f"/api/projects/{report.rows[0].project_id}/").json()
    assert '<Label value="Party"/>' in project["label_config"]
    assert project["maximum_annotations"] == 2
    code, _, messages = stencil("template", "publish", ner, "--workspace", "Research")
    assert (code, f"id {made['template']}" in messages) == (2, True)


def test_a_reference_that_is_not_found_is_an_error_message(stencil: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    for arguments in (
        ("show", "Sentimental"),
        ("show", tmp_path / "no.yaml"),
        ("export", 999),
        ("publish", "1", "--workspace", "1"),
    ):
        code, output, messages = stencil("template", *arguments)
        assert (code, output) == (2, "")
        assert "Traceback" not in messages


def test_each_distinct_interface_is_put_to_the_studio_once_and_a_refusal_names_rows_and_place(
    stencil: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "odd.yaml").write_text(
        "name: Odd\nvariables: {target: text}\nlabel_config: |\n"
        '  <View><Text name="text" value="$t"/><Choices name="c" toName="{{ target }}"><Choice value="A"/></Choices></View>',
        encoding="utf-8",
    )
    sheet = tmp_path / "sheet.csv"
    rows = "".join(f"Row {number},odd.yaml,1,{'text' if number % 2 else 'nope'}\n" for number in range(6))
    sheet.write_text(f"title,template,workspace,var.target\n{rows}", encoding="utf-8")
    code, _, messages = stencil("check", sheet)
    asked = [request for request in sandbox.requests if request.path == "/api/projects/validate/"]
    assert (code, len(asked)) == (2, 2)
    assert "lines 2, 4 and 6, column template: " in messages
    assert 'toName="nope" not found in names' in messages
    assert stencil("check", sheet, "--offline")[0] == 0


def test_a_row_that_exists_is_not_checked_again(stencil: Any, sandbox: Sandbox, ner: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"title": "There already"}]
    created(sandbox, rows, template=str(ner))
    before = len(sandbox.requests)
    assert created(sandbox, rows, template=str(ner)).ok
    assert [each.method for each in sandbox.requests[before:]].count("POST") == 0


@pytest.mark.parametrize("reference", ["gallery:Named Entity Recognition", "gallery:named entity  recognition"])
def test_an_entry_of_the_gallery_becomes_a_project(sandbox: Sandbox, http: httpx.Client, reference: str) -> None:
    report = created(sandbox, [{"title": "Of the gallery", "template": reference}])
    assert report.ok, report.to_json()
    config = http.get(f"/api/projects/{report.rows[0].project_id}/").json()["label_config"]
    assert '<Label value="PER" background="red"/>' in config


def test_titles_of_a_template_or_a_pattern_are_in_results_and_lead_to_one_project_each(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "t.yaml").write_text("title: '{{ who }} 2026'\nvariables: {who: }\n", encoding="utf-8")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("template,var.who\nt.yaml,Alder\nt.yaml,Beta\n", encoding="utf-8")
    report = created(sandbox, sheet)
    assert report.ok, report.to_json()
    assert list(report.to_frame()["title"]) == ["Alder 2026", "Beta 2026"]
    assert {row.outcome.value for row in created(sandbox, sheet).rows} == {"exists"}


def test_rows_with_the_same_resulting_title_are_problems(sandbox: Sandbox, tmp_path: Path, stencil: Any) -> None:
    (tmp_path / "t.yaml").write_text("title: '{{ who }} 2026'\nvariables: {who: }\n", encoding="utf-8")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("template,workspace,var.who\nt.yaml,1,Alder\nt.yaml,1,Alder\n", encoding="utf-8")
    code, _, messages = stencil("plan", sheet)
    assert (code, "[duplicate-row]" in messages) == (2, True)


def test_the_whole_of_a_title_that_was_cut_is_kept_in_the_description(sandbox: Sandbox, http: httpx.Client) -> None:
    title = "A very long name of a customer of the northern branch office"
    report = created(sandbox, [{"title": title, "description": "Mine"}], template="1", long_titles="cut")
    assert report.ok, report.to_json()
    project = http.get(f"/api/projects/{report.rows[0].project_id}/").json()
    assert (len(project["title"]), project["description"]) == (50, f"{title}\n\nMine")


@pytest.mark.parametrize("name", ["projects.csv", "variables.csv"])
def test_the_examples_have_no_problem(stencil: Any, sandbox: Sandbox, name: str) -> None:
    code, _, messages = stencil("check", ROOT / "examples" / name)
    assert (code, messages) == (0, "")


def test_a_reference_that_says_nothing_is_not_looked_up(stencil: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title,template,workspace\nProject one,NaN,#N/A\nProject two,Nope,1\n", encoding="utf-8")
    _, out, _ = stencil("check", sheet, "--json")
    assert [(each["line"], each["code"]) for each in json.loads(out)["problems"]] == [
        (2, "formula-error"),
        (2, "missing-value"),
        (3, "template-unknown"),
    ]


def test_a_template_file_that_somebody_types_starts_at_the_current_folder_or_the_sheets(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interface = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    for folder, name in (("here", "Here"), ("sheets", "Beside")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.yaml").write_text(f"name: {name}\nlabel_config: '{interface}'\n")
    (tmp_path / "sheets" / "only.yaml").write_text(f"description: Only\nlabel_config: '{interface}'\n")
    (tmp_path / "sheets" / "s.csv").write_text("title,template\nTyped,\nIn a cell,t.yaml\n")
    monkeypatch.chdir(tmp_path / "here")

    def references(template: str) -> list[str]:
        options = Options(template=template, workspace="1")
        checked = check(read_sheet(tmp_path / "sheets" / "s.csv"), options)
        assert check_files(checked, options) == []
        return [request.template for request in checked.requests]

    assert references("t.yaml") == [f"file:{tmp_path / 'here' / 't.yaml'}", "t.yaml"]
    assert references("only.yaml") == ["only.yaml", "t.yaml"]
