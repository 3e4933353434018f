"""Sheets, results and inboxes in a real S3, as moto serves it, through s3fs."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from label_studio_stencil.cli import main
from label_studio_stencil.files import DEPLOYMENT, PERSON, Folder, Missing, NotAllowed, Unusable, event, read
from label_studio_stencil.inbox.folder import Inbox
from label_studio_stencil.report.files import OutputUnwritable, write_results
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.sources import read_sheet
from tests.report.reports import report, row

MB = 1_000_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket of this test's own, with a sheet, what it names, and what it must not."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # What an earlier test has opened knows its server.
    fsspec.filesystem("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    name = f"sheets-{tmp_path.name.replace('_', '-').lower()[:40]}"
    system.mkdir(name)
    system.pipe_file(f"{name}/in/sheet.csv", f"title,tasks\nFrom a bucket,s3://{name}/in/tasks.json\n".encode())
    system.pipe_file(f"{name}/in/tasks.json", json.dumps([{"text": "one"}]).encode())
    system.pipe_file(f"{name}/in-of-others/tasks.json", json.dumps([{"text": "secret"}]).encode())
    return name


def test_a_sheet_in_a_bucket_is_read_with_what_lies_beside_it(bucket: str) -> None:
    sheet = read_sheet(f"s3://{bucket}/in/sheet.csv", asker=DEPLOYMENT)
    [request], problems = requests_of(sheet, template="t")
    assert not problems
    assert request.steps.tasks is not None
    assert request.steps.tasks.count == 1


@pytest.mark.parametrize(
    "where", ["in-of-others/tasks.json", "in/../in-of-others/tasks.json", "in/%2e%2e/in-of-others/tasks.json"]
)
def test_a_row_opens_nothing_else_in_the_bucket(where: str, bucket: str) -> None:
    with pytest.raises(NotAllowed):
        read(f"s3://{bucket}/{where}", DEPLOYMENT.rows(f"s3://{bucket}/in/sheet.csv"), most=MB)
    with pytest.raises(NotAllowed):
        read(f"s3://{bucket}/{where}", event(f"s3://{bucket}/in"), most=MB)


def test_the_command_checks_a_sheet_in_a_bucket(bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"s3://{bucket}/in/sheet.csv", "--offline", "--template", "t"]) == 0
    assert "1 row, no problems" in capsys.readouterr().out


def test_a_protocol_may_be_written_in_capitals(bucket: str) -> None:
    assert read(f"S3://{bucket}/in/tasks.json", DEPLOYMENT.rows(f"s3://{bucket}/in/sheet.csv"), most=MB)


def test_results_go_into_a_bucket(bucket: str) -> None:
    written = write_results(report(row(2)), f"s3://{bucket}/out")
    assert written.results == f"s3://{bucket}/out/results.csv"
    assert b"Project 2" in read(written.results, PERSON, most=MB)
    with pytest.raises(OutputUnwritable, match=f"STENCIL_ALLOW=s3://{bucket}/elsewhere"):
        write_results(report(row(2)), f"s3://{bucket}/elsewhere", event(f"s3://{bucket}/out"))


def test_an_inbox_in_a_bucket_is_emptied(bucket: str) -> None:
    inbox = Inbox(f"s3://{bucket}/in")
    assert [sheet.name for sheet in inbox.waiting()] == ["sheet.csv"]
    assert inbox.now() > 0
    handled = inbox.put_away(inbox.waiting()[0], report(row(2)), datetime(2026, 1, 2, tzinfo=UTC))
    assert handled.folder == f"s3://{bucket}/in/done/2026-01-02T000000Z-sheet.csv"
    assert inbox.waiting() == []
    assert read(f"{handled.folder}/sheet.csv", PERSON, most=MB).startswith(b"title")


def test_what_is_not_there_is_said_without_secrets(bucket: str) -> None:
    with pytest.raises(Missing, match="there is no such file"):
        read(f"s3://{bucket}/none.csv", PERSON, most=MB)
    with pytest.raises(Unusable) as failed:
        Folder(f"s3://me:geheim@{bucket}-none/x").files()
    assert "geheim" not in str(failed.value)
