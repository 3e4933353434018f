"""`stencil submit`: a run of a deployment, followed from a terminal."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli import main
from tests.prefect.deployed import SECONDS, runs_of

ROOT = Path(__file__).resolve().parents[2]
DEPLOYMENT = "create-projects/on-demand"
SHEET = "title,template,workspace,model_version\nGood,1,1,\nBad,1,1,no such model\n"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text(SHEET, encoding="utf-8")
    return path


def parameters() -> dict[str, Any]:
    """Those of the newest run."""
    found: dict[str, Any] = asyncio.run(runs_of(DEPLOYMENT))[0].parameters
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("deployed")
def test_a_run_is_followed_to_its_report_and_exit_code(
    sandbox: Sandbox, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["submit", str(sheet), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["counts"]) == ("Failed", {"created": 1, "failed": 1})
    assert [row["title"] for row in told["rows"]] == ["Bad", "Good"]
    assert parameters() == {**told_defaults(), "csv_text": SHEET}

    assert main(["submit", str(sheet), "--lines", "2", "--template", "1"]) == 0
    assert "Completed: 1 row: 1 exists, nothing written" in capsys.readouterr().out

    sheet.write_text("title,template,workspace\nOne,1,nowhere\n")
    assert main(["submit", str(sheet)]) == 2
    assert "workspace-unknown" in capsys.readouterr().out

    assert main(["submit", str(sheet), "--template", "1", "--mode", "update", "--credentials", "nowhere"]) == 2
    assert "there is no block 'nowhere'" in capsys.readouterr().out


def told_defaults() -> dict[str, Any]:
    """Parameters that the deployment itself gives."""
    return {"credentials": "label-studio"}


@pytest.mark.usefixtures("deployments", "sandbox")
def test_a_local_file_goes_along_with_the_options_that_were_given(
    tmp_path: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.csv").write_bytes("title\nGröße\n".encode("cp1252"))
    assert main(["submit", str(tmp_path / "old.csv"), "--no-wait", "--encoding", "cp1252", "--dry-run"]) == 0
    assert parameters() == {**told_defaults(), "csv_text": "title\nGröße\n", "dry_run": True}
    pd.DataFrame({"title": ["One"], "due": pd.to_datetime(["2026-01-02"])}).to_excel(
        tmp_path / "book.xlsx", index=False
    )
    assert main(["submit", str(tmp_path / "book.xlsx"), "--no-wait", "--allow-unknown-fields", "--project-events"]) == 0
    assert parameters() == {
        **told_defaults(),
        "rows": [{"title": "One", "due": "2026-01-02"}],
        "allow_unknown_fields": True,
        "project_events": True,
    }
    assert main(["submit", "https://files.example/sheet.xlsx", "--no-wait", "--worksheet", "Projects"]) == 0
    assert parameters() == {**told_defaults(), "sheet": "https://files.example/sheet.xlsx", "worksheet": "Projects"}
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.usefixtures("deployments", "sandbox")
def test_what_can_not_be_submitted_starts_no_run_and_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(asyncio.run(runs_of(DEPLOYMENT)))
    (tmp_path / "large.csv").write_text("title\n" + "".join(f"Row {number:040}\n" for number in range(20_000)))
    (tmp_path / "secret.csv").write_text("title,Task Data Password\nOne,fish-and-chips\n")
    (tmp_path / "hidden.csv").write_text('title,overrides\nOne,"{""task_data_password"": ""fish-and-chips""}"\n')
    (tmp_path / "fine.csv").write_text("title\nOne\n")
    for arguments, said in (
        (["large.csv"], "or use `stencil create`"),
        (["secret.csv"], "sets task_data_password"),
        (["hidden.csv"], "sets task_data_password"),
        (["gone.csv"], "gone.csv"),
        (["fine.csv", "--deployment", "create-projects/elsewhere"], "no deployment create-projects/elsewhere"),
        (["fine.csv", "--deployment", "elsewhere"], "no deployment elsewhere"),
        (["fine.csv", "--credentials", "f" * 40], "not the name of a block"),
        (["fine.csv", "--credentials", "eyJh.eyJ0.c2ln", "--dry-run"], "not the name of a block"),
    ):
        monkeypatch.chdir(tmp_path)
        assert main(["submit", *arguments]) == 2
        errors = capsys.readouterr().err
        assert said in errors
        assert not [token for token in ("f" * 40, "eyJh.", "fish") if token in errors]
    assert len(asyncio.run(runs_of(DEPLOYMENT))) == before


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/api"], ids=["none", "none that answers"])
def test_a_prefect_server_that_is_not_there_exits_2(environment: dict[str, str], sheet: Path, url: str) -> None:
    named = {**environment, "PREFECT_API_URL": url} if url else {**environment}
    if not url:
        del named["PREFECT_API_URL"]
    command = [sys.executable, "-m", "label_studio_stencil", "submit", str(sheet)]
    done = subprocess.run(command, env=named, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert (f"at {url} does not answer" if url else "PREFECT_API_URL is not set") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("deployments", "sandbox")
def test_an_interrupt_says_that_the_run_goes_on_and_how_to_cancel_it(
    sheet: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal

    def interrupt(*_: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("label_studio_stencil.cli.submit.Progress", interrupt)
    # A shell that starts tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(["submit", str(sheet)]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    run = asyncio.run(runs_of(DEPLOYMENT))[0]
    assert f"prefect flow-run cancel {run.id}" in capsys.readouterr().err
    assert run.state is not None
    assert not run.state.is_final()
