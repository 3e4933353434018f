"""The API tests that Label Studio's package ships hold on the real server, and on the sandbox as far as it has their routes."""

import gc
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from label_studio_sandbox import Sandbox
from scripts.label_studio import Instance
from tests.real.batches import http
from tests.real.conftest import EXECUTABLE
from tests.real.vendor import Story, play, sdk_tests, stories

pytestmark = pytest.mark.real

#: Stories that end otherwise on the sandbox, and why.
OTHERWISE = {
    "create_project-0 create_project_with_label_config_then_import": "bad tasks fail after the answer, as on Enterprise",
    "io_storages-7 resolve_gs_links_by_connected_gcs_with_nested_dict_and_array": "the same",
    "io_storages_presign_proxy-6 resolve_gs_links_by_connected_gcs_with_nested_dict_and_array": "the same",
}
#: Tests of the SDK that need what the sandbox doesn't have, and what that is.
NEEDED = {
    "test_annotations": "annotations",
    "test_export": "exports",
    "test_ml": "connected models",
    "test_predictions": "predictions of their own",
    "test_storages": "storages",
    "test_tasks.test_task_CRUD": "tasks one by one",
    "test_tasks.test_delete_multi_tasks": "tasks one by one",
    "test_tasks.test_export_tasks": "exports",
    "test_users": "new users",
    "test_views": "tabs",
}


def package() -> Path:
    (found,) = Path(EXECUTABLE).absolute().parents[1].glob("lib/python*/site-packages/label_studio")
    return found


STORIES = list(stories(package())) if EXECUTABLE else []


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with http(sandbox.url, sandbox.token) as client:
        yield client


@pytest.mark.parametrize("story", STORIES, ids=[story.name for story in STORIES])
def test_a_story_holds_on_the_sandbox(client: httpx.Client, story: Story) -> None:
    if story.name in OTHERWISE:
        with pytest.raises(AssertionError):
            play(story, client)
    else:
        play(story, client)


def test_the_stories_are_as_many_as_they_were() -> None:
    assert len(STORIES) >= 90
    assert OTHERWISE.keys() <= {story.name for story in STORIES}


def test_every_story_holds_on_the_real_server(label_studio: Instance) -> None:
    failed = {}
    with http(label_studio.url, label_studio.token) as client:
        for story in STORIES:
            try:
                play(story, client)
            except AssertionError as error:
                failed[story.name] = str(error)
    assert failed == {}


@pytest.fixture
def sdk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[..., Any]]]:
    """The SDK's tests; the modules that they import are taken away again."""
    request.config.addinivalue_line("markers", "django_db: their own runner's")
    before = set(sys.modules)
    yield sdk_tests(package())
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "label_studio":
            monkeypatch.delitem(sys.modules, name)


# Their clients are never closed.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tests_of_the_sdk_hold_on_the_sandbox(
    sdk: dict[str, Callable[..., Any]], caplog: pytest.LogCaptureFixture
) -> None:
    held = []
    for name, test in sdk.items():
        if name in NEEDED or name.partition(".")[0] in NEEDED:
            continue
        # They count the projects that there are.
        with Sandbox() as sandbox:
            user = SimpleNamespace(id=1, email="admin@example.com")
            given = {
                "django_live_url": sandbox.url,
                "business_client": SimpleNamespace(api_key=sandbox.token, user=user),
                "caplog": caplog,
            }
            test(**{parameter: given[parameter] for parameter in inspect.signature(test).parameters})
        held.append(name)
    gc.collect()
    assert held == [
        "test_projects.test_start_and_get_project",
        "test_projects.test_delete_project",
        "test_projects.test_list_projects_with_params",
        "test_tasks.test_upload_and_list_tasks_does_not_log_to_stderr",
        "test_tasks.test_get_empty_tasks_does_not_log_to_stderr",
    ]
