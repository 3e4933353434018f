"""What a real socket does to a request: nothing is sent twice, and every accident is told apart."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Unauthorized, Unsure
from tests.labelstudio.scripted import LEGACY

Serve = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server that reads whole requests, and answers them as it is told to."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.url = ""
        self.requests: list[bytes] = []
        self.connections = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                self.requests.append(head + await reader.readexactly(int(length[0].split()[1]) if length else 0))
                await self.serve(writer)
                await writer.drain()
                if writer.is_closing() or b"connection: close" in head.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[Server]:
    server = Server(serve)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()


async def whole(writer: asyncio.StreamWriter) -> None:
    body = b'{"id": 7, "title": "Birds"}'
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n")
    writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))


async def truncated(writer: asyncio.StreamWriter) -> None:
    writer.write(b'HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{"id": 7, "ti')
    writer.close()


async def dropped(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    writer.close()


async def silent(writer: asyncio.StreamWriter) -> None:
    return


async def refused(writer: asyncio.StreamWriter) -> None:
    body = b'{"detail": "Invalid token."}'
    writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n")
    writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize("accident", [truncated, dropped, reset, garbage, silent])
async def test_after_an_accident_a_create_is_unsure_and_was_sent_once(accident: Serve) -> None:
    async with serving(accident) as server, LabelStudio(server.url, LEGACY, timeout=1) as label_studio:
        with pytest.raises(Unsure) as caught:
            await label_studio.create_project({"title": "Birds"})
    assert caught.value.sent
    assert len(server.requests) == 1
    assert label_studio.sent == {"POST": 1}


async def test_a_connection_that_the_server_closed_meanwhile_is_not_written_to() -> None:
    async def whole_then_close(writer: asyncio.StreamWriter) -> None:
        await whole(writer)
        writer.close()

    async with serving(whole_then_close) as server, LabelStudio(server.url, LEGACY) as label_studio:
        for _ in range(5):
            await label_studio.create_project({"title": "Birds"})
    assert len(server.requests) == server.connections == 5


async def test_nobody_there_is_not_sent() -> None:
    async with serving(whole) as server:
        pass
    async with LabelStudio(server.url, LEGACY) as label_studio:
        with pytest.raises(Unsure, match="it was not sent") as caught:
            await label_studio.create_project({"title": "Birds"})
    assert not caught.value.sent
    assert label_studio.requests_sent == 0


@pytest.mark.parametrize(("keep_alive", "connections"), [(True, 1), (False, 3)], ids=["kept", "not kept"])
async def test_connections_are_kept_as_asked(keep_alive: bool, connections: int) -> None:
    async with serving(whole) as server, LabelStudio(server.url, LEGACY, keep_alive=keep_alive) as label_studio:
        for _ in range(3):
            await label_studio.create_project({"title": "Birds"})
    assert server.connections == connections


async def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(whole) as server, LabelStudio(server.url, LEGACY) as label_studio:
        assert (await label_studio.create_project({"title": "Birds"})).id == 7


async def test_a_proxy_of_the_environment_is_asked_for_any_other_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(whole) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with LabelStudio("http://studio.test", LEGACY) as label_studio:
            assert (await label_studio.create_project({"title": "Birds"})).id == 7
    assert proxy.requests[0].startswith(b"POST http://studio.test/api/projects/ ")


async def test_a_proxy_is_not_asked_where_the_environment_excepts_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(whole) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "invalid")
        async with LabelStudio("http://studio.invalid", LEGACY) as label_studio:
            with pytest.raises(Unsure, match="it was not sent"):
                await label_studio.create_project({"title": "Birds"})
    assert not proxy.requests


async def test_there_are_as_many_connections_as_requests_at_once() -> None:
    async with serving(whole) as server, LabelStudio(server.url, LEGACY) as label_studio:
        for _ in range(3):
            await asyncio.gather(*(label_studio.create_project({"title": "Birds"}) for _ in range(4)))
    assert (server.connections, len(server.requests)) == (4, 12)


async def test_an_answer_that_trickles_in_for_ever_ends_at_the_requests_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of its bytes comes long before the timeout for a byte."""

    async def trickling(writer: asyncio.StreamWriter) -> None:
        if len(server.requests) > 1:
            await whole(writer)
            return
        writer.write(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.005)

    monkeypatch.setattr("label_studio_stencil.labelstudio.client.CREATE_DEADLINE", 0.1)
    async with serving(trickling) as server, LabelStudio(server.url, LEGACY) as label_studio:
        with pytest.raises(Unsure, match="no whole answer within 0") as caught:
            await label_studio.create_project({"title": "Birds"})
        assert caught.value.sent
        monkeypatch.setattr("label_studio_stencil.labelstudio.client.CREATE_DEADLINE", 90.0)
        assert (await label_studio.create_project({"title": "Birds"})).id == 7


async def test_a_request_that_is_given_up_leaves_its_place_to_the_next_one() -> None:
    arrived = asyncio.Event()

    async def first_silent(writer: asyncio.StreamWriter) -> None:
        if arrived.is_set():
            await whole(writer)
        arrived.set()

    async with serving(first_silent) as server, LabelStudio(server.url, LEGACY) as label_studio:
        given_up = asyncio.create_task(label_studio.create_project({"title": "Birds"}))
        await arrived.wait()
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert (await label_studio.create_project({"title": "Birds"})).id == 7
    assert server.connections == 2


async def test_no_log_of_any_library_holds_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(refused) as server, LabelStudio(server.url, LEGACY) as label_studio:
        with pytest.raises(Unauthorized):
            await label_studio.create_project({"title": "Birds", "task_data_password": "hunter2-and-more"})
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    assert LEGACY not in caplog.text
    assert "hunter2" not in caplog.text
