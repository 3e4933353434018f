"""What holds before anything runs: periods, automations, and the names that other people import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.utilities.callables import cloudpickle_wrapped_call

import label_studio_stencil.prefect as public
from deployments.automations import FOLDER, SILENT, UNENDED, main, period
from label_studio_stencil.prefect import create_in_parts, create_projects, on_event, watch_inbox
from label_studio_stencil.prefect.events import BATCH_FAILED, PROJECT_CREATED


@pytest.mark.parametrize(
    ("text", "seconds"), [("25h", 90_000), ("30m", 1_800), ("10s", 10), ("2d", 172_800), ("366d", 31_622_400)]
)
def test_a_period_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert period(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "25", "h", "-1h", "1.5h", "9s", "367d", "99999999999999d", "٣h"])
def test_what_is_no_period_is_refused_with_an_example_or_the_bounds(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "slack-webhook/team", "create-projects/nightly", f"--within={text}"])
    told = capsys.readouterr().err
    assert "argument --within" in told
    assert "25h" in told or "366d" in told


@pytest.mark.parametrize("name", public.__all__)
def test_flows_and_tasks_can_be_sent_to_another_process(name: str) -> None:
    # As `.serve()` does with a flow, and with the tasks that it uses.
    assert cloudpickle_wrapped_call(repr, getattr(public, name))()


def automation(name: str) -> tuple[AutomationCore, EventTrigger]:
    """An automation of a file, as `prefect automation create --from-file` takes it."""
    found = AutomationCore.model_validate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    assert isinstance(found.trigger, EventTrigger)
    return found, found.trigger


def test_the_automations_of_the_files_listen_to_the_events_that_are_sent() -> None:
    assert automation("alert")[1].expect == {BATCH_FAILED}
    assert automation("react")[1].expect == {PROJECT_CREATED}
    assert automation("watch")[1].within.total_seconds() == 25 * 3600


@pytest.mark.parametrize(("file", "name"), [("silent", SILENT), ("unended", UNENDED)])
def test_runs_of_every_flow_are_ended_when_their_process_is_gone(file: str, name: str) -> None:
    found, trigger = automation(file)
    assert found.name == name
    flows = [each.name for each in (create_projects, create_in_parts, on_event, watch_inbox)]
    assert trigger.model_dump()["match_related"]["prefect.resource.name"] == flows


def test_the_public_names_are_there_sorted_and_typed() -> None:
    source = ast.parse(Path(str(public.__file__)).read_text(encoding="utf-8"))
    typed = {alias.name for node in ast.walk(source) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert public.__all__ == sorted(public.__all__)
    assert typed - {"TYPE_CHECKING", "Any"} == set(public.__all__)
    assert [name for name in public.__all__ if not hasattr(public, name)] == []


def test_every_prefect_command_imports_little_for_the_sake_of_the_block() -> None:
    loaded = "import label_studio_stencil.prefect.credentials, sys; print(*sys.modules, sep='\\n')"
    modules = subprocess.check_output([sys.executable, "-c", loaded], encoding="utf-8").splitlines()
    assert "label_studio_stencil.prefect.credentials" in modules
    assert [
        name for name in ("label_studio_stencil.batch", "label_studio_stencil.files", "pandas") if name in modules
    ] == []
