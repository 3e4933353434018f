"""What an event may set and open, and what it may not: the flow `on-event`, without a deployment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.parameters import BadParameters
from label_studio_stencil.prefect.sheet_ready import Payload, on_event
from label_studio_stencil.problems import InvalidSheet, StencilError
from label_studio_stencil.report.report import Report
from tests.prefect.test_create_projects import latest_run

pytestmark = pytest.mark.prefect

SECRET = "s3cr3t-of-others"


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


async def run(event: Any, **parameters: Any) -> Report:
    pinned = {"workspace": "1", "dry_run": True, **parameters.pop("pinned", {})}
    report: Report = await on_event(event, pinned=pinned, **parameters)
    return report


def test_event_is_no_parameter_of_the_form() -> None:
    assert "event" not in create_projects.parameters.properties
    assert set(Payload.model_fields) == {
        *("sheet", "csv_text", "rows", "template", "workspace", "title", "mode", "dry_run", "output", "credentials"),
        *("encoding", "worksheet"),
    }


async def test_a_number_is_an_id_of_a_template(sandbox: Sandbox) -> None:
    report = await run({"csv_text": "title\nFrom an event\n", "template": 1, "title": None})
    assert report.sentence == "1 row: 1 would be created"
    report = await run({"rows": [{"title": "From an event", "template": 1}], "mode": "update"})
    assert report.mode == "update"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"csv_text": "title\nabc\n", "dry_run": "yes"}, "dry_run: 'yes'"),
        ({"csv_text": "title\nabc\n", "template": True}, "template: 'True'"),
        ({"csv_text": 7}, "csv_text: "),
        ({"rows": [f"password {SECRET}"]}, r"rows\.0: "),
        ({"csv_text": "title\nabc\n", "sandbox": True}, "no parameter 'sandbox'"),
        ({"csv_text": "title\nabc\n", "output": "/tmp/x"}, "output: an event can't set it here"),
        ({"csv_text": "title\nabc\n", "credentials": "other"}, "credentials: an event can't set it here"),
        (
            {"csv_text": "title\nabc\n", "workspace": 2},
            "workspace: an event can't set it here, since the deployment pins",
        ),
        ([SECRET], "event: the payload must be an object"),
        (f"{{{SECRET}", "event: .*not JSON"),
    ],
    ids=str,
)
async def test_what_an_event_may_not_set_is_named(event: Any, reason: str, sandbox: Sandbox) -> None:
    with pytest.raises(BadParameters, match=reason) as refused:
        await run(event)
    assert SECRET not in str(refused.value)
    assert not sandbox.requests


async def test_the_name_of_an_events_run_is_short_whatever_the_event_says(sandbox: Sandbox) -> None:
    with pytest.raises(StencilError, match="more than 4,096 characters"):
        await run({"sheet": "title\nabc\n" * 1000})
    assert len((await latest_run()).name) <= 100


async def test_an_event_that_names_a_file_of_the_working_folder_is_told_to_give_a_whole_path(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StencilError, match="Give a whole path") as refused:
        await run({"sheet": "january.csv"}, folders=[str(tmp_path / "in")])
    assert "STENCIL_ALLOW" not in str(refused.value)


async def test_a_pinned_parameter_that_there_is_not_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(BadParameters, match="no parameter shet"):
        await run({"csv_text": "title\nabc\n"}, pinned={"shet": "x"})


async def test_an_event_opens_sheets_in_listed_folders_alone(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sheet.csv").write_text("title,template\nFrom an event,1\n")
    (tmp_path / "secret.csv").write_text(f"title,template\n{SECRET},1\n")
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "secret.csv")
    folders = [str(tmp_path / "in")]
    assert (await run({"sheet": f"{folders[0]}/sheet.csv"}, folders=folders)).rows[0].title == "From an event"
    outside = ["secret.csv", f"{folders[0]}/../secret.csv", f"{folders[0]}/link.csv", "/etc/passwd", "-"]
    for where in outside:
        with pytest.raises(StencilError, match=r"an event may open|no standard input") as refused:
            await run({"sheet": where}, folders=folders)
        assert SECRET not in str(refused.value)
    with pytest.raises(StencilError, match="STENCIL_ALLOW"):
        await run({"sheet": f"{folders[0]}/sheet.csv"})


async def test_the_template_of_an_event_is_opened_as_the_event_may_and_a_pinned_one_as_the_deployment_may(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    (tmp_path / "t.yaml").write_text(f"name: T\nlabel_config: '{config}'\n")
    template = str(tmp_path / "t.yaml")
    with pytest.raises(InvalidSheet, match="STENCIL_ALLOW"):
        await run({"csv_text": "title\nFrom an event\n", "template": template})
    with pytest.raises(InvalidSheet, match="STENCIL_ALLOW"):
        await run({"rows": [{"title": "From an event", "template": template}]})
    assert (await run({"csv_text": "title\nFrom an event\n"}, pinned={"template": template})).ok


async def test_an_output_that_an_event_may_set_lies_in_listed_folders(sandbox: Sandbox, tmp_path: Path) -> None:
    event = {"csv_text": "title,template\nFrom an event,1\n"}
    may: Any = {"may_set": ["output"], "folders": [str(tmp_path / "out")]}
    assert (await run({**event, "output": str(tmp_path / "out" / "x")}, **may)).ok
    assert (tmp_path / "out" / "x" / "results.csv").exists()
    with pytest.raises(StencilError, match="an event may open"):
        await run({**event, "output": str(tmp_path / "elsewhere")}, **may)
    assert not (tmp_path / "elsewhere").exists()
    # What the deployment pins, it may.
    assert (await run(event, pinned={"output": str(tmp_path / "elsewhere")})).ok


async def test_rows_of_a_deployments_run_open_no_working_folder_of_the_worker(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    (tmp_path / "t.yaml").write_text(f"name: T\nlabel_config: '{config}'\n")
    monkeypatch.chdir(tmp_path)
    rows = [{"title": "From the form", "template": "t.yaml"}]
    assert (await create_projects(rows=rows, workspace="1", dry_run=True)).ok
    # As a worker starts a run.
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(uuid4()))
    with pytest.raises(InvalidSheet, match="STENCIL_ALLOW"):
        await create_projects(rows=rows, workspace="1", dry_run=True)
    assert (await create_projects(rows=[{"title": "By default"}], template="t.yaml", workspace="1", dry_run=True)).ok
