"""Messages of the command line: what happened, where, and what to do."""

import asyncio
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest

from label_studio_sandbox import Answer, Call, Proceed, Sandbox
from label_studio_stencil.api import BadOption, plan
from tests.cli.running import DEFAULTS, EXAMPLE, Stencil, writes


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


def test_an_unexpected_error_is_one_line_and_a_hint(
    stencil: Stencil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("a file where a folder should be")
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "file" / "data"))
    done = stencil("plan", "-", "--sandbox", *DEFAULTS, stdin="title\nOne\n")
    assert done.code == 2
    assert done.stderr.splitlines()[1:] == ["[sandbox] hint: STENCIL_TRACEBACK=1 shows where it happened."]
    assert str(tmp_path / "file") in done.stderr


def test_a_closed_output_is_nobody_who_reads(stencil: Stencil, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as closed:
        closed.setattr("sys.stdout", None)
        assert stencil("explain", "twins").code == 0


def test_an_outcome_is_no_code_and_says_so_even_if_it_is_mistyped(stencil: Stencil) -> None:
    assert "hint: This is an outcome." in stencil("explain", "ambiguous").stderr
    assert "hint: Did you mean ambiguous?" in stencil("explain", "ambigous").stderr
    assert "hint: Did you mean twins?" in stencil("explain", "twinss").stderr


def test_a_line_of_a_sheet_is_no_option(stencil: Stencil) -> None:
    assert (
        "in a line above it: sep=^"
        in stencil("check", "-", "--offline", stdin="title workspace\nOne Research\n").stderr
    )


class Full(io.StringIO):
    """A file on a disk that is full."""

    def write(self, _text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_output_that_is_full_does_not_make_it_nothing_done(
    stencil: Stencil, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as redirected:
        redirected.setattr("sys.stdout", Full())
        done = stencil("create", "-", *DEFAULTS, stdin="title\nOne of one\n")
    assert (done.code, writes(sandbox)) == (1, 2)
    assert "No space left on device" in done.stderr


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
        pytest.param(
            ["create", str(EXAMPLE), "--max-concurrency", "65"],
            "argument --max-concurrency: '65': takes a number of at most 64\n",
            id="bad number",
        ),
        pytest.param(
            ["create", str(EXAMPLE), "--max-failures", "some"],
            "error: `--max-failures some` is not a number.\nhint: Give a number of rows (10)",
            id="bad share",
        ),
        pytest.param(["create", str(EXAMPLE), "--output", "/proc/nowhere"], "/proc/nowhere", id="bad output"),
        pytest.param(["crate"], "error: there is no command 'crate'\nhint: Did you mean create?", id="no such command"),
        pytest.param(["nope"], "hint: `stencil --help` shows all commands.", id="no command like it"),
        pytest.param(
            ["template", "lst"], "there is no command 'lst'\nhint: Did you mean list?", id="no such subcommand"
        ),
        pytest.param(["plan", "a.csv", "--tempalte", "1"], "hint: Did you mean --template?", id="no such option"),
        pytest.param(["template", "preview", "1", "--row", "two"], "--row: 'two' is not a whole number", id="no line"),
        pytest.param(
            ["sandbox", "--latency-ms", "slow"], "--latency-ms: 'slow' is not a number of milliseconds", id="no number"
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


def test_a_label_studio_that_does_not_answer_exits_2(stencil: Stencil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    done = stencil("plan", str(EXAMPLE))
    assert done.code == 2
    assert done.stderr.startswith("error: GET http://127.0.0.1:1/api/version/: no connection")
    assert "\nhint: Is LABEL_STUDIO_URL right, and is that server running?" in done.stderr


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
            "  hint: Community ignores settings that it does not know. To copy the column to the results, start its "
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
