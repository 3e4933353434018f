"""The credentials block, by Prefect's own standards for blocks."""

import asyncio
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from prefect import Flow
from prefect.blocks.abstract import CredentialsBlock
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect import LabelStudioCredentials, create_projects, watch_inbox
from label_studio_stencil.prefect.credentials import CredentialsUnusable
from tests.prefect.deployed import ROOT, SECONDS


class TestLabelStudioCredentials(BlockStandardTestSuite):
    """What Prefect asks of the blocks of its integrations."""

    @pytest.fixture
    def block(self) -> type[Block]:
        return LabelStudioCredentials

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """Prefect's own test downloads the image, and tests use no network."""
        assert re.fullmatch("https://.+[.]png", str(block._logo_url))


def test_it_is_a_credentials_block() -> None:
    assert issubclass(LabelStudioCredentials, CredentialsBlock)


def test_prefect_finds_it_by_the_entry_point() -> None:
    (found,) = entry_points(group="prefect.collections", name="label_studio_stencil")
    assert found.load().LabelStudioCredentials is LabelStudioCredentials


@pytest.mark.slow
async def test_a_prefect_server_knows_the_block_type_without_a_command(prefect_api: str) -> None:
    async with get_client() as client:
        known = await client.read_block_type_by_slug("label-studio-credentials")
    assert known.logo_url is not None
    assert known.code_example is not None


def test_the_example_runs_as_it_stands(prefect_api: str, sandbox: Sandbox) -> None:
    block = LabelStudioCredentials.model_validate({"url": sandbox.url, "token": sandbox.token})
    asyncio.run(block.asave("example", overwrite=True))
    (code,) = re.findall("```python\n(.*?)```", LabelStudioCredentials.get_code_example() or "", re.DOTALL)
    script = f"{code.replace('BLOCK_NAME', 'example')}\nimport asyncio\nprint(asyncio.run(email()))"
    environment = {**os.environ, "PREFECT_API_URL": prefect_api}
    command = [sys.executable, "-c", script]
    said = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "@" in said.stdout
    assert sandbox.token not in said.stdout + said.stderr


@pytest.mark.parametrize("token", ["f" * 40, "eyJhbGciOi.eyJ0b2tlbl.c2lnbmF0dXJl"], ids=["legacy", "personal"])
async def test_a_token_that_was_typed_as_the_blocks_name_goes_nowhere(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_client() -> None:
        pytest.fail("Prefect's server would have it in its log")

    monkeypatch.setattr("label_studio_stencil.prefect.credentials.get_client", no_client)
    with pytest.raises(CredentialsUnusable, match="not the name of a block") as caught:
        await LabelStudioCredentials.named(token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("flow", [create_projects, watch_inbox], ids=["create-projects", "watch-inbox"])
def test_the_form_takes_a_name_and_nothing_that_could_hold_a_token(flow: Flow[..., Any]) -> None:
    assert flow.parameters.properties["credentials"]["type"] == "string"
    assert not flow.parameters.definitions
