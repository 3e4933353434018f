"""The command line as a person at a terminal, or a script, uses it."""

import argparse
import asyncio
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from label_studio_sandbox import Answer, Call, Proceed, Sandbox
from label_studio_stencil.api import BadOption, CreateOptions, plan
from label_studio_stencil.batch import Batch
from label_studio_stencil.cli import main
from label_studio_stencil.cli.arguments import parser
from label_studio_stencil.cli.display import SCHEMA
from label_studio_stencil.version import __version__

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "projects.csv"
#: Seconds after which what is waited for will not come any more.
SECONDS = 120

DEFAULTS = ("--template", "1", "--workspace", "1")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


Stencil = Callable[..., Done]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A fresh sandbox that the environment names as Label Studio."""
    with Sandbox(tmp_path / "sandbox.sqlite3", log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


@pytest.fixture
def stencil(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stencil]:
    """Run a command in this process."""

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        done = Done(code, *capsys.readouterr())
        assert "Traceback" not in done.stdout + done.stderr
        return done

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def writes(sandbox: Sandbox) -> int:
    # A labelling interface is put to Label Studio as a question, by POST.
    asked = "/api/projects/validate/"
    return sum(request.method != "GET" and request.path != asked for request in sandbox.requests)


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


def test_one_error_of_each_kind_is_reported_with_line_and_column_and_creates_nothing(
    stencil: Stencil, sandbox: Sandbox, tmp_path: Path
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
    done = stencil("create", str(sheet))
    assert done.code == 2
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


def test_plan_and_check_write_nothing(stencil: Stencil, sandbox: Sandbox) -> None:
    plan = stencil("plan", str(EXAMPLE))
    assert (plan.code, "26 would be created" in plan.stdout) == (0, True)
    assert stencil("create", str(EXAMPLE), "--dry-run").stdout.split(" (")[0] == plan.stdout.split(" (")[0]
    check = stencil("check", str(EXAMPLE))
    assert (check.code, "26 rows, no problems" in check.stdout) == (0, True)
    assert writes(sandbox) == 0


def test_a_plan_in_a_pipe_shows_the_counts_first_and_then_every_row(stencil: Stencil) -> None:
    sheet = "title\n" + "".join(f"Row {number}\n" for number in range(60))
    first, header, *rows = stencil("plan", "-", *DEFAULTS, stdin=sheet).stdout.splitlines()
    assert first.startswith("60 rows: 60 would be created (")
    assert header.split("\t")[:3] == ["line", "outcome", "title"]
    assert [row.split("\t")[2] for row in rows] == [f"Row {number}" for number in range(60)]


def test_a_plan_shows_each_field_of_an_update_old_and_new(
    stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "guide.md").write_text("From a file that is quoted nowhere.")
    interface = '<View><Text name="text" value="$text"/><Choices name="c" toName="text">{}</Choices></View>'

    def sheet(**cells: str) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, ["title", "maximum_annotations", *cells])
        writer.writeheader()
        writer.writerow({"title": "One", "maximum_annotations": "1", **cells})
        return text.getvalue()

    sheets = [
        sheet(color="#FFFFFF", task_data_password="geheim", label_config=interface.format('<Choice value="A"/>')),
        sheet(
            color="#112233",
            task_data_password="geheimer",
            label_config=interface.format('<Choice value="B"/>'),
            expert_instruction="@guide.md",
        ),
    ]
    assert "1 created" in stencil("create", "-", *DEFAULTS, stdin=sheets[0]).stdout
    (tmp_path / "second.csv").write_text(sheets[1])
    plan = ("plan", "second.csv", *DEFAULTS, "--mode", "update")
    done = stencil(*plan)
    assert done.code == 0, done.stderr
    details = done.stdout.splitlines()[-1].split("\t")[-1]
    assert "color: #FFFFFF -> #112233" in details
    assert "maximum_annotations" not in details
    assert "task_data_password: *** -> ***" in details
    assert 'label_config: …<Choice value="A"/></Choices></View> (107 characters) -> …<Choice value="B"/>' in details
    assert "-> the text of the file (" in details
    changes = json.loads(stencil(*plan, "--json").stdout)["rows"][0]["changes"]
    assert changes["color"] == {"old": "#FFFFFF", "new": "#112233"}
    assert not any(word in done.stdout + str(changes) for word in ("geheim", "quoted nowhere"))


def test_the_exit_code_of_a_plan_says_on_request_whether_there_is_something_to_do(
    stencil: Stencil, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = ("plan", "-", *DEFAULTS, "--detailed-exitcode")
    sheet = "title\nOne of one\n"
    assert stencil(*plan, stdin=sheet).code == 2
    stencil("create", "-", *DEFAULTS, stdin=sheet)
    assert stencil(*plan, stdin=sheet).code == 0
    # All that is wrong is 1 then, for 2 has a meaning of its own.
    assert stencil(*plan, stdin="title\nab\n").code == 1
    assert stencil(*plan, "--tempalte", "1", stdin=sheet).code == 1
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    assert stencil(*plan, stdin=sheet).code == 1


def test_the_time_of_a_batch_counts_from_the_command(stencil: Stencil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_stencil.cli.time", Mock(monotonic=lambda: time.monotonic() - 500))
    for command in ("plan", "create"):
        report = json.loads(stencil(command, "-", *DEFAULTS, "--json", stdin="title\nOne\n").stdout)
        assert report["seconds"] >= 500
        assert datetime.now(UTC) - datetime.fromisoformat(report["started"]) >= timedelta(seconds=500)


def test_standard_input_is_a_sheet(stencil: Stencil) -> None:
    done = stencil("create", "-", *DEFAULTS, stdin="title\nFrom a pipe\n")
    assert (done.code, "1 created" in done.stdout) == (0, True)


def test_a_machine_gets_one_json_document(stencil: Stencil) -> None:
    report = json.loads(stencil("create", "-", *DEFAULTS, "--json", stdin="title\nFor a machine\n").stdout)
    assert (report["ok"], report["rows"][0]["outcome"]) == (True, "created")
    refused = stencil("create", "-", *DEFAULTS, "--json", stdin="title,color\nOne,red\n")
    assert refused.code == 2
    assert [each["column"] for each in json.loads(refused.stdout)["problems"]] == ["color"]
    listed = json.loads(stencil("template", "list", "--json").stdout)
    assert {"reference": "1", "name": "Sentiment Analysis"}.items() <= listed["templates"][0].items()


def test_each_document_has_the_keys_of_its_schema(stencil: Stencil, tmp_path: Path) -> None:
    """A key that is renamed or gone breaks scripts: then `SCHEMA` grows, and docs/command-line.md says so."""
    rows = {"stdin": "title\nOne of one\n"}
    sheet = ("-", *DEFAULTS)
    report = (
        "sheet label_studio edition sandbox batch mode dry_run started seconds planning_seconds requests retries pauses "
        "paused_seconds counts ok stopped notes"
    )
    row = "line title workspace outcome project_id project_url attempts seconds error_code error steps changes"
    documents: list[tuple[str, tuple[str, ...], dict[str, str], str, str]] = [
        ("rows", ("plan", *sheet), rows, f"{report} output_error rows", row),
        ("rows", ("create", *sheet, "--output", str(tmp_path)), rows, f"{report} output_error rows", row),
        (
            "problems",
            ("plan", *sheet),
            {"stdin": "title\nab\n"},
            "sheet problems notes",
            "line column value code message hint",
        ),
        (
            "problems",
            ("check", *sheet),
            {"stdin": "title\nab\n"},
            "sheet problems notes",
            "line column value code message hint",
        ),
        ("templates", ("template", "list"), {}, "templates", "reference name description"),
        ("workspaces", ("workspace", "list"), {}, "workspaces", "id title archived"),
        ("codes", ("explain",), {}, "codes", "code title why remedy sheet files example"),
        ("", ("explain", "title-too-short"), {}, "code title why remedy sheet files example", ""),
        (
            "variables",
            ("template", "show", str(ROOT / "examples/templates/contracts.yaml")),
            {},
            "reference name settings variables",
            "variable type default choices help",
        ),
        (
            "",
            ("template", "preview", str(ROOT / "examples/templates/sentiment.yaml")),
            {},
            "title description settings",
            "",
        ),
        ("", ("template", "export", "One of one"), {}, "name file", ""),
        (
            "rows",
            ("remove", str(tmp_path / "results.csv"), *DEFAULTS),
            {},
            "results label_studio sandbox dry_run seconds requests counts ok stopped rows",
            "line title project_id project_url outcome code why tasks",
        ),
    ]
    assert SCHEMA == 1
    for listed, command, given, keys, of_each in documents:
        document = json.loads(stencil(*command, "--json", **given).stdout)
        assert " ".join(document) == f"schema {keys}", command
        assert document["schema"] == SCHEMA
        assert not listed or " ".join(document[listed][0]) == of_each, command


def test_result_files_that_could_not_be_written_are_no_success(stencil: Stencil, tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    done = stencil("create", "-", *DEFAULTS, "--output", str(tmp_path), stdin="title\nOne of one\n")
    assert done.code == 1
    assert "1 created" in done.stdout
    assert done.stderr.startswith(f"error: Results can't be written to {tmp_path}: ")
    assert "failed.csv are in" not in done.stderr


def test_who_closes_the_output_early_gets_the_exit_code_anyway(sandbox: Sandbox, tmp_path: Path) -> None:
    sheet = tmp_path / "many.csv"
    sheet.write_text("title,color\n" + "".join(f"Row {number},red\n" for number in range(3000)))
    with started("plan", str(sheet), *DEFAULTS, "--skip-invalid", "--json") as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
    assert running.returncode == 1


def test_an_unexpected_error_is_one_line_and_a_hint(
    stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "file" / "data"))
    done = stencil("plan", "-", "--sandbox", *DEFAULTS, stdin="title\nOne\n")
    assert done.code == 2
    assert done.stderr.splitlines()[1:] == ["[sandbox] hint: STENCIL_TRACEBACK=1 shows where it happened."]
    assert str(tmp_path / "file") in done.stderr


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


@pytest.mark.parametrize(
    "missing", [["LABEL_STUDIO_URL"], ["LABEL_STUDIO_API_KEY"], ["LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"]]
)
def test_a_missing_setting_exits_2_and_names_both(
    stencil: Stencil, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in missing:
        monkeypatch.delenv(name)
    done = stencil("create", str(EXAMPLE))
    assert done.code == 2
    assert all(name in done.stderr for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", *missing))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["create", "no such file.csv"], "no such file.csv", id="no such sheet"),
        pytest.param(["create", str(EXAMPLE), "--max-concurrency", "65"], "--max-concurrency", id="bad number"),
        pytest.param(
            ["create", str(EXAMPLE), "--max-failures", "some"],
            "error: `--max-failures some` is no number.\nhint: Give a number of rows (10)",
            id="bad share",
        ),
        pytest.param(["create", str(EXAMPLE), "--output", "/proc/nowhere"], "/proc/nowhere", id="bad output"),
        pytest.param(["crate"], "error: there is no command 'crate'\nhint: Did you mean create?", id="no such command"),
        pytest.param(
            ["template", "lst"], "there is no command 'lst'\nhint: Did you mean list?", id="no such subcommand"
        ),
        pytest.param(["plan", "a.csv", "--tempalte", "1"], "hint: Did you mean --template?", id="no such option"),
        pytest.param(["template", "preview", "1", "--row", "two"], "--row: 'two' is not a whole number", id="no line"),
        pytest.param(
            ["sandbox", "--latency-ms", "slow"], "--latency-ms: 'slow' is no number of milliseconds", id="no number"
        ),
        pytest.param(["sandbox", "--port", "1.5"], "--port: '1.5' is not a port", id="no whole number"),
        pytest.param(
            ["create", "a.csv", "--mode", "upadte"],
            "argument --mode: there is no 'upadte'\nhint: Did you mean update?",
            id="no such choice",
        ),
    ],
)
def test_bad_usage_exits_2_with_a_sentence(stencil: Stencil, arguments: list[str], said: str) -> None:
    done = stencil(*arguments)
    assert done.code == 2
    assert said in done.stderr


def test_a_message_spells_an_option_as_its_reader_does(stencil: Stencil) -> None:
    with pytest.raises(BadOption, match=r"^`lines=9-2` names no lines\. Give"):
        asyncio.run(plan([{"title": "One"}], lines="9-2", sandbox=True))
    assert stencil("plan", "-", "--lines", "9-2", stdin="title\nOne\n").stderr.startswith("error: `--lines 9-2` names")
    assert "hint: Shorten it, or use `--long-titles cut`." in stencil("check", "-", stdin=f"title\n{'a' * 51}\n").stderr


@pytest.mark.parametrize("command", [[], ["template"], ["workspace"]], ids=["stencil", "template", "workspace"])
def test_a_command_alone_shows_what_there_is(stencil: Stencil, command: list[str]) -> None:
    done = stencil(*command)
    assert (done.code, done.stderr) == (0, "")
    assert f"usage: {' '.join(['stencil', *command])}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("stencil cr", "create"),
        ("stencil template e", "export"),
        ("stencil template export --j", "--json"),
        ("stencil plan sheet.csv --det", "--detailed-exitcode"),
        ("stencil create sheet.csv --mode ", "create update"),
        ("stencil create sheet.csv --project", ""),
        ("stencil create she", ""),
        ("stencil create template --long-titles c", "cut"),
    ],
)
def test_bash_completes_commands_options_and_choices(stencil: Stencil, typed: str, offered: str) -> None:
    words = typed.split(" ")
    program = stencil("completion").stdout + (
        f"\nCOMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}; _stencil"
        '; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert (done.stdout.strip(), done.stderr) == (offered, "")


def test_the_help_of_each_command_has_a_sentence_and_an_example(stencil: Stencil) -> None:
    def every(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
        for action in top._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    yield each
                    yield from every(each)

    for each in every(parser()):
        help_ = each.format_help()
        assert str(each.description).endswith("."), each.prog
        assert f"\nexample:\n  {each.prog}" in help_ or each.prog in (
            "stencil template",
            "stencil workspace",
            "stencil completion",
        ), help_
    assert stencil("--version").stdout == f"stencil {__version__}\n"


def test_every_option_of_a_batch_is_a_flag_with_its_description(stencil: Stencil) -> None:
    told = "".join(stencil("create", "--help").stdout.split())
    for name, field in CreateOptions.model_fields.items():
        if name not in ("url", "token", "headers", "fail_when"):
            assert f"--{name.replace('_', '-')}" in told
            assert "".join(str(field.description).removesuffix(".").split()) in told


def test_a_label_studio_that_does_not_answer_exits_2(stencil: Stencil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    done = stencil("plan", str(EXAMPLE))
    assert done.code == 2
    assert done.stderr.startswith("error: GET http://127.0.0.1:1/api/version/: no connection")
    assert "\nhint: Is LABEL_STUDIO_URL the address of a server that runs?" in done.stderr


async def community(call: Call, proceed: Proceed) -> Any:
    """The sandbox as it would be, were it Community."""
    if call.path == "/api/version/":
        return Answer({"release": "1.23.2", "edition": "Community"}).response()
    return await proceed()


@pytest.mark.parametrize(
    ("sheet", "said"),
    [
        pytest.param(
            "title,template\nOne of one,text classification\n",
            "  hint: Did you mean `gallery:Text Classification`?",
            id="project template",
        ),
        pytest.param(
            "title,template,zork\nOne of one,gallery:Text Classification,1\n",
            "  hint: Community ignores settings that it does not know. To carry the column through to the results, start its "
            "name with _.",
            id="unknown column",
        ),
    ],
)
def test_on_community_a_hint_names_what_that_edition_takes(
    stencil: Stencil, monkeypatch: pytest.MonkeyPatch, sheet: str, said: str
) -> None:
    with Sandbox(interceptors=[community]) as label_studio:
        monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
        done = stencil("plan", "-", stdin=sheet)
    assert done.code == 2
    assert said in done.stderr.splitlines()
    assert "--allow-unknown-fields" not in done.stderr


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


# Processes of their own


def started(*arguments: str, program: str = "") -> subprocess.Popen[str]:
    """A command, in a group of its own as a terminal's is."""
    command = [sys.executable, *(["-c", program] if program else ["-m", "label_studio_stencil"])]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )


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
