"""`stencil init`, and the Label Studio that `.env` of the working folder names."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli import main
from label_studio_stencil.cli.dotenv import variables

TOKEN = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, with an environment that names no Label Studio."""
    monkeypatch.chdir(tmp_path)
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_HEADERS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(log_requests=True) as sandbox:
        yield sandbox


def dotenv(folder: Path, **values: str) -> None:
    (folder / ".env").write_text("".join(f"LABEL_STUDIO_{name}={value}\n" for name, value in values.items()))


def test_what_init_writes_can_be_created_at_once_and_is_never_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init"]) == 0
    assert sorted(each.name for each in folder.iterdir()) == [".env.example", "projects.csv", "template.yaml"]
    assert 'stencil create projects.csv --sandbox --workspace "Customer Feedback"' in capsys.readouterr().out
    assert main(["create", "projects.csv", "--sandbox", "--workspace", "Customer Feedback"]) == 0
    assert "3 rows: 3 created" in capsys.readouterr().out
    (folder / "projects.csv").write_text("mine")
    assert main(["init"]) == 0
    assert (folder / "projects.csv").read_text() == "mine"
    assert "projects.csv is there already, and was left alone" in capsys.readouterr().out


def test_a_label_studio_is_found_in_the_file_and_named(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    dotenv(folder, URL=sandbox.url, API_KEY=f'"{sandbox.token}"')
    (folder / "sheet.csv").write_text("title\nOne of one\n")
    plan = ["plan", "sheet.csv", "--template", "1", "--workspace", "1"]
    for command in (plan, ["workspace", "list"], ["template", "show", "1"], ["check", *plan[1:]]):
        assert main(command) == 0
        printed = capsys.readouterr()
        assert f"Label Studio: {sandbox.url} (from .env)" in printed.err
        assert sandbox.token not in printed.out + printed.err
    assert main([*plan, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["label_studio"] == sandbox.url


@pytest.mark.parametrize("name", ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_HEADERS"])
def test_url_token_and_headers_never_come_from_two_places(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    dotenv(folder, URL=sandbox.url, API_KEY=TOKEN, HEADERS="X-Key: geheim")
    monkeypatch.setenv(name, {"LABEL_STUDIO_URL": "http://127.0.0.1:1"}.get(name, "Key: of-the-environment"))
    before = len(sandbox.requests)
    assert main(["workspace", "list"]) == 2
    said = capsys.readouterr().err
    assert f".env is ignored: the environment sets {name}." in said
    assert "not set" in said
    assert len(sandbox.requests) == before
    assert not any(secret in said for secret in (TOKEN, "geheim", "of-the-environment"))


def test_the_environment_wins(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv(folder, URL="http://127.0.0.1:1", API_KEY=TOKEN)
    monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
    assert main(["workspace", "list"]) == 0
    assert ".env is ignored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"URL": "http://127.0.0.1:1"}, ".env does not say which Label Studio to use: LABEL_STUDIO_API_KEY is not set"),
        ({"API_KEY": TOKEN}, ".env does not say which Label Studio to use: LABEL_STUDIO_URL is not set"),
        (
            {"URL": "http://127.0.0.1:1", "API_KEY": f"{TOKEN} {TOKEN}"},
            "a space or another character that no token has",
        ),
        ({"URL": "nonsense", "API_KEY": TOKEN}, "must begin with http"),
    ],
    ids=["no token", "no URL", "no token of any kind", "no address"],
)
def test_what_is_wrong_with_the_file_is_said_without_the_token(
    folder: Path, capsys: pytest.CaptureFixture[str], values: dict[str, str], said: str
) -> None:
    dotenv(folder, **values)
    assert main(["workspace", "list"]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert TOKEN not in printed


def test_the_file_does_not_matter_on_the_sandbox_and_offline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dotenv(folder, URL="http://127.0.0.1:1", API_KEY=TOKEN)
    (folder / "sheet.csv").write_text("title,template\nOne of one,1\n")
    assert main(["check", "sheet.csv", "--offline"]) == 0
    assert main(["workspace", "list", "--sandbox"]) == 0
    assert ".env" not in capsys.readouterr().err


def test_other_lines_are_nobody_s_business_and_values_may_be_quoted() -> None:
    text = """
    # LABEL_STUDIO_URL=http://commented.test
    HTTPS_PROXY=http://elsewhere.test
    SSL_CERT_FILE=/tmp/theirs.pem
    STENCIL_ALLOW=/
    export LABEL_STUDIO_URL = 'https://ls.test'   # the one
    LABEL_STUDIO_API_KEY=abc#def # a comment
    LABEL_STUDIO_HEADERS= # none
    a line that means nothing
    """
    assert variables(text) == {"LABEL_STUDIO_URL": "https://ls.test", "LABEL_STUDIO_API_KEY": "abc#def"}


def test_a_folder_of_that_name_is_no_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").mkdir()
    assert main(["workspace", "list"]) == 2
    assert "The environment does not say which Label Studio to use" in capsys.readouterr().err


def test_a_token_in_the_file_alone_is_said_to_be_ignored_where_the_environment_has_the_same_url(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dotenv(folder, URL="http://127.0.0.1:1", API_KEY=TOKEN)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    assert main(["workspace", "list"]) == 2
    assert ".env is ignored: the environment sets LABEL_STUDIO_URL." in capsys.readouterr().err


def test_a_file_of_powershell_s_encoding_is_read(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"LABEL_STUDIO_URL={sandbox.url}\r\nLABEL_STUDIO_API_KEY={sandbox.token}\r\n"
    (folder / ".env").write_bytes(text.encode("utf-16"))
    assert main(["workspace", "list"]) == 0
    assert f"Label Studio: {sandbox.url} (from .env)" in capsys.readouterr().err


def test_a_file_that_can_t_be_read_matters_only_where_the_environment_names_no_label_studio(
    folder: Path, sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".env").write_bytes(b"#" * 200_000)
    assert main(["workspace", "list"]) == 2
    assert ".env: it has 200 kB, and Stencil reads at most 100 kB." in capsys.readouterr().err
    monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
    assert main(["workspace", "list"]) == 0
