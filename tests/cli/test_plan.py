"""`stencil plan`: what it shows, and its exit codes."""

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from tests.cli.running import DEFAULTS, Stencil


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
