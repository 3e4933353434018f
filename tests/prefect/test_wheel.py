"""The wheel alone, installed where there is no checkout: in an empty folder, beside a user's own `flows` and `tasks`."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.version import __version__
from tests.prefect.deployed import ROOT, SECONDS, message_of, next_run_of, runs_of, send_sheet_ready, worker
from tests.prefect.test_schedules import scheduled_run, switched_on
from tests.soak.batches import projects

NIGHTLY, ON_EVENT = "create-projects/nightly", "on-event/on-event"

TASKS = """
from prefect import task

@task
def customers():
    return ["Alder", "Birch"]
"""

FLOW = """
import asyncio
from prefect import flow
from label_studio_stencil.prefect import create_projects
from tasks import customers

@flow
async def mine():
    rows = [{"title": f"Contracts {name}", "template": "1", "workspace": "1"} for name in customers()]
    return await create_projects(rows=rows)

if __name__ == "__main__":
    print(asyncio.run(mine()).sentence)
"""


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has the wheel, and a folder without a checkout."""

    python: Path
    folder: Path

    def run(self, *arguments: str, **environment: str) -> str:
        """What Python prints in the folder; it has to succeed."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """The environment, without what leads to a checkout."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=SECONDS)
    (built,) = folder.glob("*.whl")
    return built


def python_with_dependencies(home: Path) -> Path:
    """A new virtual environment's Python that has what Stencil needs, and not Stencil."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=SECONDS)
    # The dependencies are those of the tests' own environment, in which Python does not follow the link to the checkout.
    (site,) = home.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return home / "bin" / "python"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("installed")
    python = python_with_dependencies(home / "venv")
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, timeout=SECONDS)
    folder = home / "folder"
    for package, name, source in (("tasks", "__init__", TASKS), ("flows", "__init__", ""), ("flows", "mine", FLOW)):
        (folder / package).mkdir(parents=True, exist_ok=True)
        (folder / package / f"{name}.py").write_text(source)
    return Installed(python, folder)


def test_the_wheel_holds_the_library_and_the_sandbox_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = f"label_studio_stencil-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"label_studio_stencil", "label_studio_sandbox", info}
    assert {
        "label_studio_stencil/py.typed",
        "label_studio_sandbox/py.typed",
        f"{info}/licenses/LICENSE",
        f"{info}/entry_points.txt",
    } <= set(names)


@pytest.mark.slow
def test_what_is_imported_is_the_wheel_and_not_the_checkout(installed: Installed) -> None:
    said = installed.run(
        "-c", "import label_studio_stencil as a, label_studio_sandbox as b; print(a.__file__, b.__file__)"
    )
    assert [Path(each).is_relative_to(installed.python.parents[1]) for each in said.split()] == [True, True]
    assert installed.run("-c", "import flows.mine, tasks; print(tasks.__file__)").startswith(str(installed.folder))


@pytest.mark.slow
def test_the_command_line_works(installed: Installed, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title,template,workspace\nBy the wheel,1,1\n")
    version = f"stencil {__version__}\n"
    assert subprocess.check_output([installed.python.parent / "stencil", "--version"], encoding="utf-8") == version
    assert installed.run("-m", "label_studio_stencil", "--version") == version
    stencil = ("-m", "label_studio_stencil")
    data = str(tmp_path / "sandbox.sqlite3")
    assert "1 row, no problems" in installed.run(*stencil, "check", str(sheet), "--sandbox", STENCIL_SANDBOX_DATA=data)
    assert "1 created" in installed.run(*stencil, "create", str(sheet), "--sandbox", STENCIL_SANDBOX_DATA=data)


@pytest.mark.slow
def test_the_library_works(installed: Installed, sandbox: Sandbox) -> None:
    call = "asyncio.run(create([{'title': 'By the library'}], template='1', workspace='1'))"
    said = installed.run("-c", f"import asyncio; from label_studio_stencil import create; print({call}.sentence)")
    assert said == "1 row: 1 created\n"
    assert [project["title"] for project in projects(sandbox)] == ["By the library"]


@pytest.mark.slow
def test_a_users_own_flow_has_it_as_a_subflow(installed: Installed, sandbox: Sandbox, prefect_api: str) -> None:
    assert installed.run("-m", "flows.mine", PREFECT_API_URL=prefect_api).endswith("2 rows: 2 created\n")
    assert sorted(project["title"] for project in projects(sandbox)) == ["Contracts Alder", "Contracts Birch"]


@pytest.mark.slow
@pytest.mark.usefixtures("deployments", "environment")
async def test_a_worker_runs_schedules_and_events(
    installed: Installed, sandbox: Sandbox, prefect_api: str, tmp_path: Path
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title,template,workspace\nBy a schedule,1,1\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = installed.environment(PREFECT_API_URL=prefect_api, STENCIL_ALLOW=str(tmp_path))
    with worker(environment, "--limit", "1", python=installed.python, cwd=empty):
        async with switched_on(NIGHTLY, sheet=str(sheet)):
            await scheduled_run(NIGHTLY, "Completed: 1 row: 1 created")
        before = len(await runs_of(ON_EVENT))
        await send_sheet_ready({"csv_text": "title\nBy an event\n", "template": "1", "workspace": "1"})
        run = await next_run_of(ON_EVENT, before)
    assert message_of(run) == "Completed: 1 row: 1 created"
    assert sorted(project["title"] for project in projects(sandbox)) == ["By a schedule", "By an event"]
    assert list(empty.iterdir()) == []
