"""The command line as a person at a terminal, or a script, uses it."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from tests.prefect.deployed import SECONDS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "projects.csv"


def stencil(environment: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "label_studio_stencil", *arguments]
    done = subprocess.run(
        command, env=environment, input=stdin, capture_output=True, encoding="utf-8", timeout=SECONDS, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def writes(sandbox: Sandbox) -> int:
    # A labelling interface is put to Label Studio as a question, by POST.
    asked = "/api/projects/validate/"
    return sum(request.method != "GET" and request.path != asked for request in sandbox.requests)


def test_the_example_is_created_once_and_exists_the_second_time(environment: dict[str, str], tmp_path: Path) -> None:
    first = stencil(environment, "create", str(EXAMPLE), "--output", str(tmp_path / "out"))
    assert first.returncode == 0, first.stderr
    assert "26 rows: 26 created" in first.stdout
    second = stencil(environment, "create", str(EXAMPLE), "--output", str(tmp_path / "out"))
    assert "26 rows: 26 exists, nothing written" in second.stdout

    with (tmp_path / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["outcome"] for row in rows} == {"exists"}
    assert all(row["project_url"].endswith(f"/projects/{row['project_id']}") for row in rows)


def test_failed_rows_come_back_as_a_sheet_that_can_be_fed_back_from_anywhere(
    environment: dict[str, str], tmp_path: Path
) -> None:
    sheets, out = tmp_path / "sheets", tmp_path / "out"
    sheets.mkdir()
    (sheets / "guide.md").write_text("Read it twice.")
    (sheets / "sheet.csv").write_text(
        "title,template,workspace,expert_instruction,model_version\nGood,1,1,@guide.md,\nBad,1,1,@guide.md,no such model\n"
    )
    first = stencil(environment, "create", str(sheets / "sheet.csv"), "--output", str(out))
    assert first.returncode == 1
    assert "model_version" in first.stdout

    failed = (out / "failed.csv").read_text(encoding="utf-8-sig")
    assert failed.splitlines()[0] == "title,template,workspace,expert_instruction,model_version"
    (out / "failed.csv").write_text(failed.replace("no such model", ""), encoding="utf-8")
    second = stencil(environment, "create", str(out / "failed.csv"))
    assert second.returncode == 0, second.stdout + second.stderr
    assert "1 rows: 1 created" in second.stdout or "1 row: 1 created" in second.stdout


def test_one_error_of_each_kind_is_told_with_line_and_column_and_creates_nothing(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    sheet = tmp_path / "wrong.csv"
    sheet.write_text(
        "title,template,workspace,color,maximum_annotations,sampling,overrides\n"
        "ab,1,1,,,,\n"
        "Right title,1,1,red,,,\n"
        "Right title 2,1,1,,many,,\n"
        "Right title 3,1,1,,,Random,\n"
        "Right title 4,1,1,,,,{broken\n"
        'Right title 5,1,1,,,,"{""id"": 3}"\n'
        'Right title 6,1,1,,,,"{""colour"": ""#112233""}"\n'
        "Right title 7,Sentimental Analysis,1,,,,\n"
        "Right title 8,1,No such workspace,,,,\n"
        "Right title 9,1,Archive 2024,,,,\n"
        "Right title 10,1,1,,,,\n"
        "Right title 10,1,1,,,,\n"
    )
    done = stencil(environment, "create", str(sheet))
    assert done.returncode == 2
    expected = {
        (2, "title", "title-too-short"),
        (3, "color", "not-a-colour"),
        (4, "maximum_annotations", "not-a-number"),
        (5, "sampling", "not-a-choice"),
        (6, "overrides", "not-json"),
        (7, "overrides.id", "read-only-field"),
        (8, "overrides.colour", "unknown-field"),
        (9, "template", "template-unknown"),
        (10, "workspace", "workspace-unknown"),
        (11, "workspace", "workspace-archived"),
        (13, "title", "duplicate-row"),
    }
    for line, column, code in expected:
        assert any(
            f"line {line}, column {column}:" in each and f"[{code}]" in each for each in done.stderr.splitlines()
        ), code
    assert "'Sentiment Analysis' (id 1)" in done.stderr
    assert writes(sandbox) == 0


def test_plan_and_check_write_nothing_and_never_start_prefect(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    nowhere = {**environment, "PREFECT_API_URL": "http://127.0.0.1:1/api"}
    plan = stencil(nowhere, "plan", str(EXAMPLE))
    assert (plan.returncode, "26 would be created" in plan.stdout) == (0, True)
    assert stencil(nowhere, "create", str(EXAMPLE), "--dry-run").stdout.split(" (")[0] == plan.stdout.split(" (")[0]
    check = stencil(nowhere, "check", str(EXAMPLE))
    assert (check.returncode, "26 rows, no problems" in check.stdout) == (0, True)
    assert writes(sandbox) == 0


def test_standard_input_is_a_sheet(environment: dict[str, str]) -> None:
    done = stencil(environment, "plan", "-", "--template", "1", "--workspace", "1", stdin="title\nFrom a pipe\n")
    assert "From a pipe" in done.stdout


def test_a_machine_gets_one_json_document_of_problems_too(environment: dict[str, str]) -> None:
    done = stencil(
        environment, "create", "-", "--template", "1", "--workspace", "1", "--json", stdin="title,color\nOne,red\n"
    )
    assert done.returncode == 2
    assert [each["column"] for each in json.loads(done.stdout)["problems"]] == ["color"]


def test_result_files_that_could_not_be_written_are_no_success(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nOne of one\n")
    done = stencil(environment, "create", str(sheet), "--template", "1", "--workspace", "1", "--output", str(tmp_path))
    assert done.returncode == 1
    assert "1 created" in done.stdout
    assert "were not written" in done.stderr
    assert "failed.csv are in" not in done.stderr


def test_who_closes_the_output_early_is_told_all_the_same_whether_rows_are_well(
    environment: dict[str, str], tmp_path: Path
) -> None:
    sheet = tmp_path / "many.csv"
    sheet.write_text("title,color\n" + "".join(f"Row {number},red\n" for number in range(3000)))
    command = [
        sys.executable,
        "-m",
        "label_studio_stencil",
        "plan",
        str(sheet),
        "--template",
        "1",
        "--workspace",
        "1",
    ]
    with subprocess.Popen(
        [*command, "--skip-invalid", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
    assert running.returncode == 1


def test_what_nobody_has_foreseen_ends_in_a_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".stencil").write_text("a file where a folder should be")
    bare = {name: value for name, value in environment.items() if name != "STENCIL_SANDBOX_DATA"}
    bare["PYTHONPATH"] = str(ROOT)
    command = [
        sys.executable,
        "-m",
        "label_studio_stencil",
        "plan",
        "-",
        "--sandbox",
        "--template",
        "1",
        "--workspace",
        "1",
    ]
    done = subprocess.run(
        command, env=bare, cwd=tmp_path, input="title\nOne\n", capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert ".stencil" in done.stderr


def test_a_machine_gets_one_json_document(environment: dict[str, str], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("title\nFor a machine\n")
    done = stencil(environment, "create", str(sheet), "--template", "1", "--workspace", "1", "--json")
    report = json.loads(done.stdout)
    assert (report["ok"], report["rows"][0]["outcome"]) == (True, "created")
    listed = json.loads(stencil(environment, "template", "list", "--json").stdout)
    assert {"reference": "1", "name": "Sentiment Analysis"}.items() <= listed[0].items()


@pytest.mark.parametrize(
    "missing", [["LABEL_STUDIO_URL"], ["LABEL_STUDIO_API_KEY"], ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"]]
)
def test_a_missing_setting_exits_2_and_names_both(environment: dict[str, str], missing: list[str]) -> None:
    without = {name: value for name, value in environment.items() if name not in missing}
    done = stencil(without, "create", str(EXAMPLE))
    assert done.returncode == 2
    assert all(name in done.stderr for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", *missing))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["create", "no such file.csv"], "no such file.csv", id="no such sheet"),
        pytest.param(["create", str(EXAMPLE), "--max-concurrency", "0"], "--max-concurrency", id="bad number"),
        pytest.param(["create", str(EXAMPLE), "--max-failures", "some"], "max_failures", id="bad share"),
        pytest.param(["create", str(EXAMPLE), "--output", "/proc/nowhere"], "/proc/nowhere", id="bad output"),
        pytest.param(["frobnicate"], "frobnicate", id="no such command"),
    ],
)
def test_bad_usage_exits_2_with_a_sentence(environment: dict[str, str], arguments: list[str], said: str) -> None:
    done = stencil(environment, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_studio_that_does_not_answer_exits_2(environment: dict[str, str]) -> None:
    done = stencil({**environment, "LABEL_STUDIO_URL": "http://127.0.0.1:1"}, "plan", str(EXAMPLE))
    assert done.returncode == 2
    assert "no connection" in done.stderr


def test_a_prefect_server_that_does_not_answer_exits_2(environment: dict[str, str]) -> None:
    done = stencil({**environment, "PREFECT_API_URL": "http://127.0.0.1:1/api"}, "create", str(EXAMPLE))
    assert done.returncode == 2
    assert "PREFECT_API_URL" in done.stderr


def test_the_sandbox_needs_no_setting_and_says_so_in_every_line(environment: dict[str, str], tmp_path: Path) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("LABEL_STUDIO_")}
    bare["STENCIL_SANDBOX_DATA"] = str(tmp_path / "sandbox.sqlite3")
    done = stencil(bare, "create", str(EXAMPLE), "--sandbox")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("[sandbox] ") for line in (done.stdout + done.stderr).splitlines() if line)
    assert "26 created" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("embedded", "sent"),
    [
        pytest.param(False, signal.SIGINT, id="Ctrl-C"),
        pytest.param(True, signal.SIGINT, id="Ctrl-C with the embedded server"),
        pytest.param(False, signal.SIGTERM, id="SIGTERM, as a container's end"),
    ],
)
def test_an_interrupted_batch_finishes_what_is_staked_and_exits_130_with_the_report(
    environment: dict[str, str], sandbox: Sandbox, tmp_path: Path, embedded: bool, sent: signal.Signals
) -> None:
    if embedded:
        environment = {name: value for name, value in environment.items() if name != "PREFECT_API_URL"}
    sheet = tmp_path / "long.csv"
    sheet.write_text("title\n" + "".join(f"Row {number}\n" for number in range(2000)))
    command = [
        sys.executable,
        "-m",
        "label_studio_stencil",
        "create",
        str(sheet),
        "--template",
        "1",
        "--workspace",
        "1",
    ]
    running = subprocess.Popen(
        [*command, "--output", str(tmp_path / "out"), "--requests-per-second", "100"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS
    while not any(request.method == "PATCH" for request in sandbox.requests) and time.monotonic() < deadline:
        time.sleep(0.01)
    # As a terminal does: to the whole group.
    os.killpg(running.pid, sent)
    stdout, stderr = running.communicate(timeout=SECONDS)
    assert running.returncode == 130, stderr
    assert "unprocessed" in stdout
    assert "Traceback" not in stdout + stderr
    methods = [request.method for request in sandbox.requests]
    assert methods.count("POST") == methods.count("PATCH") < 2000
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        outcomes = [row["outcome"] for row in csv.DictReader(file)]
    assert len(outcomes) == 2000
    assert outcomes.count("created") == methods.count("POST")
