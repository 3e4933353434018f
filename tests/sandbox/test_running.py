"""A sandbox starts, keeps what it was told, logs, can be slowed down, and stops."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response

from label_studio_sandbox import DEFAULT_TOKEN, Call, Proceed, Sandbox, serve
from label_studio_sandbox.server import listen

HEADERS = {"Authorization": f"Token {DEFAULT_TOKEN}"}


def create(sandbox: Sandbox, title: str) -> httpx.Response:
    return httpx.post(f"{sandbox.url}/api/projects/", json={"title": title}, headers=HEADERS)


@contextmanager
def foreground(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "label_studio_sandbox", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        try:
            yield process, found[0]
        finally:
            process.kill()


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox.sqlite3") as sandbox:
        personal = sandbox.personal_access_token
        made = create(sandbox, "Kept").json()
    with Sandbox(tmp_path / "sandbox.sqlite3") as sandbox:
        kept = httpx.get(f"{sandbox.url}/api/projects/{made['id']}/", headers=HEADERS).json()
        assert (kept["title"], kept["created_at"]) == ("Kept", made["created_at"])
        assert sandbox.personal_access_token == personal
        assert len(httpx.get(f"{sandbox.url}/api/project-templates/", headers=HEADERS).json()) == 6


def test_a_deleted_projects_id_is_not_given_again_after_a_restart(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox.sqlite3") as sandbox:
        create(sandbox, "Gone")
        httpx.delete(f"{sandbox.url}/api/projects/1/", headers=HEADERS)
    with Sandbox(tmp_path / "sandbox.sqlite3") as sandbox:
        assert create(sandbox, "New").json()["id"] == 2


def test_without_a_file_everything_is_forgotten() -> None:
    with Sandbox() as sandbox:
        create(sandbox, "Forgotten")
    with Sandbox() as sandbox:
        assert httpx.get(f"{sandbox.url}/api/projects/", headers=HEADERS).json()["count"] == 0


def test_it_stops_while_a_connection_is_kept_alive() -> None:
    with httpx.Client() as client:
        with Sandbox() as sandbox:
            assert client.get(f"{sandbox.url}/health").status_code == 200
        with pytest.raises(httpx.TransportError):
            client.get(f"{sandbox.url}/health")


def test_the_log_holds_what_was_asked_in_order(sandbox: Sandbox, http: httpx.Client) -> None:
    http.post("/api/projects/", json={"title": "Project"})
    http.get("/api/projects/?page=9")
    http.get("/nothing")
    first, second, third = sandbox.requests
    assert (first.method, first.path, first.json(), first.status) == (
        "POST",
        "/api/projects/",
        {"title": "Project"},
        201,
    )
    assert (second.query, second.status) == ("page=9", 404)
    assert (third.path, third.status) == ("/nothing", 404)
    assert first.number < second.number < third.number


def test_the_log_can_be_off() -> None:
    with Sandbox(log_requests=False) as sandbox:
        create(sandbox, "Project")
        assert sandbox.requests == ()


def test_answers_are_late_by_the_latency() -> None:
    with Sandbox(latency_ms=50) as sandbox:
        create(sandbox, "Project")
        [entry] = sandbox.requests
    assert entry.seconds >= 0.05


def test_a_rate_limit_throttles_each_token_by_itself() -> None:
    with Sandbox(rate_limit=0.1) as sandbox:
        assert create(sandbox, "First").status_code == 201
        second = create(sandbox, "Second")
        assert httpx.get(f"{sandbox.url}/health").status_code == 200
    assert (second.status_code, second.headers["Retry-After"]) == (429, "10")
    assert second.json()["detail"] == "Request was throttled. Expected available in 10 seconds."


async def lose_the_answer(call: Call, proceed: Proceed) -> Response:
    await proceed()
    return Response(status_code=502)


async def lose_the_request(call: Call, proceed: Proceed) -> Response:
    return Response(status_code=502)


async def commit_late(call: Call, proceed: Proceed) -> Response:
    if call.method == "POST":
        late.append(asyncio.ensure_future(proceed()))
        return Response(status_code=504)
    await asyncio.gather(*late)
    return await proceed()


late: list[asyncio.Future[Response]] = []


@pytest.mark.parametrize(
    ("interceptor", "count"),
    [
        pytest.param(lose_the_answer, 1, id="after the commit"),
        pytest.param(lose_the_request, 0, id="before the commit"),
    ],
)
def test_an_interceptor_stands_before_and_after_the_commit(tmp_path: Path, interceptor: object, count: int) -> None:
    data = tmp_path / "sandbox.sqlite3"
    with Sandbox(data, interceptors=[interceptor]) as sandbox:  # type: ignore[list-item]
        assert create(sandbox, "Project").status_code == 502
    with Sandbox(data) as sandbox:
        assert httpx.get(f"{sandbox.url}/api/projects/", headers=HEADERS).json()["count"] == count


def test_an_interceptor_may_let_a_commit_come_late() -> None:
    late.clear()
    with Sandbox(interceptors=[commit_late]) as sandbox:
        assert create(sandbox, "Project").status_code == 504
        assert httpx.get(f"{sandbox.url}/api/projects/", headers=HEADERS).json()["count"] == 1


def test_the_token_is_not_in_any_repr() -> None:
    with Sandbox(token="f" * 40) as sandbox:
        create(sandbox, "Project")
        shown = f"{sandbox!r} {sandbox._settings!r} {sandbox._gate.tokens!r} {sandbox.requests!r}"
    assert "f" * 40 not in shown


def test_answers_on_a_kept_connection_are_not_held_back() -> None:
    with listen("127.0.0.1", 0) as listener:
        # Only where the protocol is named does asyncio turn Nagle's algorithm off.
        assert listener.proto == socket.IPPROTO_TCP


def test_a_taken_port_is_said_in_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve(port, None, None, 0) == 2
    assert capsys.readouterr().err == f"The sandbox cannot listen on 127.0.0.1:{port}: Address already in use.\n"


def test_a_file_that_is_no_database_is_said_in_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be taken for one " * 10)
    assert serve(0, tmp_path / "notes.txt", None, 0) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_in_the_foreground_it_prints_its_address_and_ends_on_an_interrupt() -> None:
    with foreground() as (process, url):
        assert httpx.get(f"{url}/health").status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    data = str(tmp_path / "sandbox.sqlite3")
    with foreground("--data", data) as (process, url):
        assert httpx.post(f"{url}/api/projects/", json={"title": "Kept"}, headers=HEADERS).status_code == 201
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    with Sandbox(Path(data)) as sandbox:
        assert httpx.get(f"{sandbox.url}/api/projects/1/", headers=HEADERS).json()["title"] == "Kept"
