"""What a command knows and does before Prefect is there."""

from pathlib import Path

import pytest

from stencil.cli.prefect_server import may_be_named


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        pytest.param("home/profiles.toml", '[profiles.a]\nPREFECT_API_URL = "http://x/api"\n', True, id="a profile"),
        pytest.param("home/profiles.toml", "[profiles.a]\n", False, id="a profile without"),
        pytest.param(".env", "PREFECT_API_URL=http://x/api\n", True, id="a file of variables"),
        pytest.param("prefect.toml", '[api]\nurl = "http://x/api"\n', True, id="Prefect's own file"),
        pytest.param("pyproject.toml", '[tool.prefect.api]\nurl = "http://x/api"\n', True, id="the project's file"),
        pytest.param("pyproject.toml", '[project.urls]\nDocs = "http://prefect.io"\n', False, id="another URL in it"),
    ],
)
def test_a_prefect_server_is_started_at_once_only_where_nothing_can_name_another(
    file: str, content: str, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"PREFECT_HOME": str(tmp_path / "home")}
    assert not may_be_named(environment)
    assert may_be_named({**environment, "PREFECT_API_URL": "http://x/api"})
    (tmp_path / "home").mkdir()
    (tmp_path / file).write_text(content)
    assert may_be_named(environment) is named
