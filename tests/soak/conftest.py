"""A Prefect server on SQLite and one on PostgreSQL for the session; what is proven here takes minutes (`make soak`)."""

from collections.abc import Iterator

import pytest

from scripts.postgres import postgres_server
from scripts.servers import prefect_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/soak/" in item.path.as_posix():
            item.add_marker(pytest.mark.soak)
            # Prefect's own clients leave connections to its server behind.
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's API URL."""
    with prefect_server(tmp_path_factory.mktemp("prefect-server")) as url:
        yield url


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of the database of the Prefect server on PostgreSQL."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_prefect(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The API URL of the Prefect server on PostgreSQL."""
    with prefect_server(tmp_path_factory.mktemp("prefect-server-on-postgresql"), database=postgres) as url:
        yield url
