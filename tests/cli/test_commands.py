"""The command line as a person at a terminal, or a script, uses it."""

import asyncio
import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.batch import Batch
from tests.cli.running import DEFAULTS, EXAMPLE, SECONDS, Stencil, started, writes


def test_the_example_is_created_once_and_exists_the_second_time(stencil: Stencil, tmp_path: Path) -> None:
    first = stencil("create", str(EXAMPLE), "--output", str(tmp_path / "out"))
    assert first.code == 0, first.stderr
    assert "26 rows: 26 created" in first.stdout
    second = stencil("create", str(EXAMPLE), "--output", str(tmp_path / "out"))
    assert "26 rows: 26 exists, nothing written" in second.stdout

    with (tmp_path / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} == {"exists"}
    assert all(row["project_url"].endswith(f"/projects/{row['project_id']}") for row in rows)


def test_failed_rows_come_back_as_a_sheet_that_can_be_fed_back_from_anywhere(stencil: Stencil, tmp_path: Path) -> None:
    sheets, out = tmp_path / "sheets", tmp_path / "out"
    sheets.mkdir()
    (sheets / "guide.md").write_text("Read it twice.")
    (sheets / "sheet.csv").write_text(
        "title,template,workspace,expert_instruction,model_version\nGood,1,1,@guide.md,\nBad,1,1,@guide.md,no such model\n"
    )
    first = stencil("create", str(sheets / "sheet.csv"), "--output", str(out))
    assert first.code == 1
    assert "model_version" in first.stdout

    failed = (out / "failed.csv").read_text(encoding="utf-8-sig")
    assert failed.splitlines()[0] == "title,template,workspace,expert_instruction,model_version"
    (out / "failed.csv").write_text(failed.replace("no such model", ""), encoding="utf-8")
    second = stencil("create", str(out / "failed.csv"))
    assert second.code == 0, second.stdout + second.stderr
    assert "1 rows: 1 created" in second.stdout or "1 row: 1 created" in second.stdout


def test_plan_and_check_write_nothing(stencil: Stencil, sandbox: Sandbox) -> None:
    plan = stencil("plan", str(EXAMPLE))
    assert (plan.code, "26 would be created" in plan.stdout) == (0, True)
    assert stencil("create", str(EXAMPLE), "--dry-run").stdout.split(" (")[0] == plan.stdout.split(" (")[0]
    check = stencil("check", str(EXAMPLE))
    assert (check.code, "26 rows, no problems" in check.stdout) == (0, True)
    assert writes(sandbox) == 0


def test_standard_input_is_a_sheet(stencil: Stencil) -> None:
    done = stencil("create", "-", *DEFAULTS, stdin="title\nFrom a pipe\n")
    assert (done.code, "1 created" in done.stdout) == (0, True)


def test_result_files_that_could_not_be_written_are_no_success(stencil: Stencil, tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    done = stencil("create", "-", *DEFAULTS, "--output", str(tmp_path), stdin="title\nOne of one\n")
    assert done.code == 1
    assert "1 created" in done.stdout
    assert done.stderr.startswith(f"error: Results can't be written to {tmp_path}: ")
    assert "failed.csv are in" not in done.stderr


def test_an_error_amid_a_batch_leaves_its_report_and_its_files(
    stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(batch: Batch) -> None:
        raise ZeroDivisionError("nobody has foreseen it")

    monkeypatch.setattr(Batch, "carry_out_steps", broken)
    done = stencil("create", "-", *DEFAULTS, "--output", str(tmp_path), stdin="title\nOne\n")
    assert done.code == 1
    assert "error: ZeroDivisionError: nobody has foreseen it\nhint: STENCIL_TRACEBACK=1" in done.stderr
    assert "1 created" in done.stdout
    assert "created" in (tmp_path / "results.csv").read_text(encoding="utf-8-sig")


def test_the_sandbox_needs_no_setting_and_says_so_in_every_line(
    stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL")
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "embedded.sqlite3"))
    done = stencil("create", str(EXAMPLE), "--sandbox")
    assert done.code == 0, done.stderr
    assert all(line.startswith("[sandbox] ") for line in (done.stdout + done.stderr).splitlines() if line)
    assert "26 created" in done.stdout


def amid_rows(sandbox: Sandbox) -> None:
    """Return as the settings of a first project are applied."""

    async def seen() -> None:
        async with asyncio.timeout(SECONDS):
            while not any(request.method == "PATCH" for request in sandbox.requests):  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.01)

    asyncio.run(seen())


def long_sheet(folder: Path) -> Path:
    sheet = folder / "long.csv"
    sheet.write_text("title\n" + "".join(f"Row {number}\n" for number in range(2000)))
    return sheet


def test_a_batch_needs_no_prefect_and_no_pandas(sandbox: Sandbox) -> None:
    program = (
        "import sys; from label_studio_stencil.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or ', '.join(sorted({'prefect', 'pandas', 'starlette', 'openpyxl'} & set(sys.modules))) or 0)"
    )
    with started("create", str(EXAMPLE), program=program) as running:
        stdout, stderr = running.communicate(timeout=SECONDS)
    assert (running.returncode, stderr) == (0, "")
    assert "26 created" in stdout


@pytest.mark.parametrize(
    "sent", [pytest.param(signal.SIGINT, id="Ctrl-C"), pytest.param(signal.SIGTERM, id="SIGTERM, as a container's end")]
)
def test_an_interrupted_batch_completes_placeholders_and_exits_130_with_the_report(
    sandbox: Sandbox, tmp_path: Path, sent: signal.Signals
) -> None:
    out = tmp_path / "out"
    with started(
        "create", str(long_sheet(tmp_path)), *DEFAULTS, "--output", str(out), "--requests-per-second", "100"
    ) as running:
        amid_rows(sandbox)
        # As a terminal does: to the whole group.
        os.killpg(running.pid, sent)
        stdout, stderr = running.communicate(timeout=SECONDS)
    assert running.returncode == 130, stderr
    assert "unprocessed" in stdout
    assert "Traceback" not in stdout + stderr
    methods = [request.method for request in sandbox.requests]
    assert methods.count("POST") == methods.count("PATCH") < 2000
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        outcomes = [row["outcome"] for row in csv.DictReader(file)]
    assert len(outcomes) == 2000
    assert outcomes.count("created") == methods.count("POST")


def test_a_second_interrupt_cuts_a_batch_off_and_it_still_reports(sandbox: Sandbox, tmp_path: Path) -> None:
    with started("create", str(long_sheet(tmp_path)), *DEFAULTS, "--requests-per-second", "100") as running:
        amid_rows(sandbox)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        assert "once more ends at once" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=SECONDS)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stdout + stderr
    methods = [request.method for request in sandbox.requests]
    assert methods.count("PATCH") < methods.count("POST") < 2000


def test_an_interrupt_before_the_first_create_says_that_nothing_was_created(
    stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(SECONDS)

    monkeypatch.setattr("label_studio_stencil.cli.commands.prepare", interrupted)
    done = stencil("create", str(EXAMPLE))
    assert done.code == 130
    assert "nothing was created" in done.stderr
