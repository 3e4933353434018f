"""The server that the other tests here rely on is the one that they mean."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError

from scripts.label_studio import Instance, LabelStudioDidNotStart, running

pytestmark = pytest.mark.real

CONFIG = """
<View>
  <Text name="text" value="$text"/>
  <Choices name="mood" toName="text"><Choice value="Glad"/><Choice value="Sad"/></Choices>
</View>
"""


@pytest.fixture
def sdk(label_studio: Instance) -> Iterator[LabelStudio]:
    with httpx.Client() as client:
        yield LabelStudio(base_url=label_studio.url, api_key=label_studio.token, httpx_client=client)


def test_it_is_the_community_edition(label_studio: Instance) -> None:
    with urllib.request.urlopen(f"{label_studio.url}/api/version/", timeout=30) as answer:
        assert json.load(answer)["edition"] == "Community"


def test_a_project_is_created_read_and_deleted_with_the_legacy_token(sdk: LabelStudio) -> None:
    created = sdk.projects.create(title="Smoke", label_config=CONFIG)
    assert created.id is not None
    assert sdk.projects.get(created.id).title == "Smoke"

    sdk.projects.delete(created.id)
    with pytest.raises(ApiError) as gone:
        sdk.projects.get(created.id)
    assert gone.value.status_code == 404


def test_a_server_on_a_port_that_is_taken_is_not_mistaken_for_ours(
    label_studio: Instance, label_studio_executable: Path, tmp_path: Path
) -> None:
    port = int(label_studio.url.rpartition(":")[2])
    second = running(label_studio_executable, tmp_path, port)

    with pytest.raises(LabelStudioDidNotStart, match="Another server answers"), second:
        pass


def test_the_token_is_not_in_the_log(label_studio: Instance) -> None:
    assert label_studio.token not in label_studio.log.read_text(encoding="utf-8")
    assert label_studio.token not in repr(label_studio)
