"""The ways in which docs/deploy.md brings code to a worker, each tried as it stands there: the wheel, a clone, an image."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from tests.prefect.deployed import ROOT, SECONDS, command, deploy, ended, message_of, run_of, started, worker
from tests.prefect.test_wheel import Installed, python_with_dependencies
from tests.prefect.test_wheel import installed as installed
from tests.prefect.test_wheel import wheel as wheel
from tests.soak.batches import projects

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("deployments")]

ON_DEMAND = "create-projects/on-demand"
PACKAGES = ("label_studio_stencil", "label_studio_sandbox")


def guide(word: str) -> str:
    """The YAML of the guide that has this word in it."""
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    blocks: list[str] = re.findall("```yaml\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if word in block)


def changed(folder: Path, **parts: Any) -> Path:
    """A copy of prefect.yaml with other parts."""
    prefect_yaml = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump({**prefect_yaml, **parts}), encoding="utf-8")
    return path


async def stored(name: str) -> dict[str, Any]:
    """What a Prefect server knows of a deployment."""
    async with get_client() as client:
        found: dict[str, Any] = (await client.read_deployment_by_name(name)).model_dump(mode="json")
    return found


async def test_the_wheel_deploys_from_another_folder_and_runs_after_the_checkout_is_gone(
    installed: Installed, environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    checkout, empty = tmp_path / "checkout", tmp_path / "empty"
    for folder in (checkout, empty):
        folder.mkdir()
    shutil.copy(ROOT / "prefect.yaml", checkout)
    known = installed.environment(PREFECT_API_URL=environment["PREFECT_API_URL"])
    told = {name: value for name, value in known.items() if not name.startswith("LABEL_STUDIO_")}
    file = str(checkout / "prefect.yaml")
    installed.run("-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file, **told)
    shutil.rmtree(checkout)
    for name in (ON_DEMAND, "create-projects/nightly", "on-event/on-event", "watch-inbox/inbox"):
        found = await stored(name)
        assert (found["pull_steps"] or [], found["path"]) == ([], None)
        assert str(tmp_path) not in str(found)

    with worker(told, python=installed.python, cwd=empty):
        run = await run_of(ON_DEMAND, csv_text="title\nBy the wheel\n", template="1", workspace="1")
    assert message_of(run) == "Completed: 1 row: 1 created"
    assert [project["title"] for project in projects(sandbox)] == ["By the wheel"]
    assert list(empty.iterdir()) == []


def git(folder: Path, *arguments: str) -> None:
    person = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
    subprocess.run(["git", "-C", folder, *person, *arguments], check=True, capture_output=True, timeout=SECONDS)


async def test_a_clone_brings_code_and_sheets_to_a_worker_that_has_neither(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    repository = tmp_path / "labels"
    (repository / "sheets").mkdir(parents=True)
    (repository / "sheets" / "nightly.csv").write_text("title,template,workspace\nFrom the clone,1,1\n")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, repository / package, ignore=shutil.ignore_patterns("__pycache__"))
    git(repository, "init", "--quiet", "--initial-branch", "main")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "sheets")
    pull = yaml.safe_load(guide("git_clone"))["pull"]
    step = pull[0]["prefect.deployments.steps.git_clone"]
    assert set(step) == {"repository", "branch"}
    step["repository"] = repository.as_uri()
    file = changed(tmp_path, pull=pull)
    run_prefect(environment, "deploy", "--all", "--prefect-file", str(file))
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = Installed(python_with_dependencies(tmp_path / "venv"), empty)
    assert bare.run("-c", "import importlib.util as u; print(u.find_spec('label_studio_stencil'))") == "None\n"
    with worker(bare.environment(PREFECT_API_URL=environment["PREFECT_API_URL"]), python=bare.python, cwd=empty):
        run = await ended(await started("create-projects/nightly", sheet="sheets/nightly.csv"))
    assert message_of(run) == "Completed: 1 row: 1 created"
    assert [project["title"] for project in projects(sandbox)] == ["From the clone"]
    assert list(empty.iterdir()) == []


def run_prefect(environment: dict[str, str], *arguments: str) -> str:
    """What a command of Prefect's prints."""
    return command(environment, "prefect", "--no-prompt", *arguments)


async def test_a_secret_of_a_pull_step_is_read_by_the_run_and_not_stored_in_the_deployment(
    environment: dict[str, str], tmp_path: Path
) -> None:
    await Secret(value=SecretStr("s3cr3t-of-git")).save("git-token", overwrite=True)
    pull = yaml.safe_load(guide("git_clone"))["pull"]
    pull[0]["prefect.deployments.steps.git_clone"]["access_token"] = "{{ prefect.blocks.secret.git-token }}"
    await asyncio.to_thread(
        run_prefect, environment, "deploy", "--all", "--prefect-file", str(changed(tmp_path, pull=pull))
    )
    found = await stored(ON_DEMAND)
    assert "prefect.blocks.secret.git-token" in str(found["pull_steps"])
    assert "s3cr3t-of-git" not in str(found)


@pytest.fixture
async def cluster(environment: dict[str, str]) -> AsyncIterator[str]:
    """A pool of a kind that runs images."""
    name = f"cluster-{uuid4().hex[:8]}"
    variables = {"image": {"type": "string"}, "env": {"type": "object"}}
    template = {
        "job_configuration": {"image": "{{ image }}", "env": "{{ env }}", "command": "{{ command }}"},
        "variables": {"properties": {**variables, "command": {"type": "string"}}},
    }
    async with get_client() as client:
        await client.create_work_pool(WorkPoolCreate(name=name, type="kubernetes", base_job_template=template))
        yield name
        await client.delete_work_pool(name)


async def test_an_image_is_named_once_for_all_deployments(
    environment: dict[str, str], cluster: str, tmp_path: Path
) -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    ours = re.search(r"^  batches: &batches\n(?:    .*\n)+", text, re.MULTILINE)
    assert ours
    theirs = guide("image:")
    path = tmp_path / "prefect.yaml"
    path.write_text(text.replace(ours[0], theirs.replace("name: cluster", f"name: {cluster}")), encoding="utf-8")
    await asyncio.to_thread(run_prefect, environment, "deploy", "--all", "--prefect-file", str(path))
    for name in (ON_DEMAND, "create-projects/nightly", "on-event/on-event", "watch-inbox/inbox"):
        found = await stored(name)
        assert found["work_pool_name"] == cluster
        assert found["pull_steps"] == []
        assert found["job_variables"]["image"] == "registry.example.com/stencil:1"


async def test_secrets_of_the_work_pool_reach_a_run_and_are_stored_nowhere(
    environment: dict[str, str], sandbox: Sandbox
) -> None:
    await asyncio.to_thread(deploy, environment)
    await Secret(value=SecretStr(sandbox.token)).save("label-studio-token", overwrite=True)
    known = {"LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": "{{ prefect.blocks.secret.label-studio-token }}"}
    bare = {name: value for name, value in environment.items() if not name.startswith("LABEL_STUDIO_")}
    async with get_client() as client:
        pool = await client.read_work_pool("stencil")
        before = pool.base_job_template
        template = {**before, "variables": {**before["variables"]}}
        properties = dict(before["variables"]["properties"])
        properties["env"] = {**properties["env"], "default": known}
        template["variables"]["properties"] = properties
        await client.update_work_pool("stencil", WorkPoolUpdate(base_job_template=template))
        try:
            with worker(bare):
                row = {"title": "By the pool", "template": "1", "workspace": "1"}
                run = await run_of(ON_DEMAND, credentials="", rows=[row])
        finally:
            await client.update_work_pool("stencil", WorkPoolUpdate(base_job_template=before))
    assert message_of(run) == "Completed: 1 row: 1 created"
    assert sandbox.token not in str(run.model_dump()) + str(await stored(ON_DEMAND))


def test_the_image_has_no_root_and_no_secret() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith(("#", " "))]
    users = [each[1] for each in words if each[0] == "USER"]
    assert len(users) == 1
    assert int(users[0]) >= 1000
    assert [each for each in words if each[0] in ("ENV", "ADD")] == []
    assert [each[1] for each in words if each[0] == "ARG"] == ['STORES=""']
