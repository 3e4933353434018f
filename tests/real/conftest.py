"""The real Label Studio Community server, for the tests marked `real`: one on SQLite and one as operators run it.

`make test-real` installs it and names its executable in `STENCIL_LABEL_STUDIO`; without that the tests are
skipped.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import label_studio_production
from scripts.label_studio import Instance, copy_of, free_port, running, template

EXECUTABLE = os.environ.get("STENCIL_LABEL_STUDIO", "")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="STENCIL_LABEL_STUDIO names no Label Studio server: run `make test-real`")
    for item in items:
        if item.get_closest_marker("real") and not EXECUTABLE:
            item.add_marker(missing)


@pytest.fixture(scope="session")
def label_studio_executable() -> Path:
    """The `label-studio` command of an environment of its own."""
    return Path(EXECUTABLE).absolute()


@pytest.fixture(scope="session")
def community_data_template(label_studio_executable: Path) -> Path:
    """The data of a server that was started once, kept beside its environment: later starts take 3 s."""
    return template(label_studio_executable, label_studio_executable.parents[2] / "template")


@pytest.fixture(scope="session")
def label_studio(
    label_studio_executable: Path, community_data_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Instance]:
    """A running server on SQLite: its `.url`, its user's legacy `.token`, its `.data` folder and `.log` file."""
    data = copy_of(community_data_template, tmp_path_factory.mktemp("label-studio") / "data")
    with running(label_studio_executable, data, free_port()) as label_studio:
        yield label_studio


@pytest.fixture(scope="session")
def production(label_studio_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One on PostgreSQL, under gunicorn with four workers, behind nginx."""
    data = tmp_path_factory.mktemp("label-studio-production")
    with label_studio_production.running(label_studio_executable, data, free_port()) as label_studio:
        yield label_studio


@pytest.fixture(params=["label_studio", "production"], ids=["sqlite", "postgresql"])
def each_label_studio(request: pytest.FixtureRequest) -> Instance:
    """Both, one after the other."""
    found: Instance = request.getfixturevalue(request.param)
    return found
