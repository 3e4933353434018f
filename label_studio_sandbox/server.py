"""Runs a sandbox, in a thread of its own or in the foreground."""

import asyncio
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from label_studio_sandbox.app import create_app
from label_studio_sandbox.calls import Interceptor, Settings
from label_studio_sandbox.faults.answers import CONNECTION, EDGE, Connection
from label_studio_sandbox.faults.model import Faults
from label_studio_sandbox.gate import Gate
from label_studio_sandbox.imports import finish_imports
from label_studio_sandbox.requestlog import LoggedRequest
from label_studio_sandbox.seed import seed
from label_studio_sandbox.store import Store
from label_studio_sandbox.tokens import DEFAULT_TOKEN


class Sandbox:
    """A stand-in for Label Studio Enterprise, as a context manager that serves on loopback.

    Args:
        data: The SQLite file that keeps all objects; without one they are kept in memory.
        token: The legacy token; by default `DEFAULT_TOKEN`.
        latency_ms: Milliseconds by which every answer is delayed.
        port: The port to listen on; 0 takes a free one.
        access_token_seconds: Lifetime of an access token.
        rate_limit: Requests a second for each token, above which the answer is 429.
        log_requests: Whether `requests` keeps the requests.
        interceptors: Functions between the routes and the handlers.
        faults: Faults outside the interceptors.

    Raises:
        OSError: On entering, if the port is taken.
        sqlite3.Error: On entering, if the file is not a database.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        token: str | None = None,
        latency_ms: float = 0,
        port: int = 0,
        access_token_seconds: float = 300,
        rate_limit: float | None = None,
        log_requests: bool = True,
        interceptors: Sequence[Interceptor] = (),
        faults: Faults | None = None,
    ) -> None:
        self._data = data
        self._port = port
        self._settings = Settings(
            token=token or DEFAULT_TOKEN,
            latency_ms=latency_ms,
            access_token_seconds=access_token_seconds,
            rate_limit=rate_limit,
            log_requests=log_requests,
            interceptors=tuple(interceptors),
            faults=faults,
        )
        self._personal = ""
        self._store: Store
        self._gate: Gate
        self._server: _Server
        self._thread: threading.Thread

    def __enter__(self) -> Self:
        listener = listen("127.0.0.1", self._port)
        try:
            self._store = open_store(self._data)
        except sqlite3.Error:
            listener.close()
            raise
        self._port = listener.getsockname()[1]
        app = create_app(self._store, self._settings)
        self._gate = app.state.gate
        self._personal = self._gate.tokens.personal()
        self._server = _Server(_config(app))
        self._thread = threading.Thread(target=self._server.run, args=([listener],), name="sandbox", daemon=True)
        self._thread.start()
        self._server.ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._store.close()

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def token(self) -> str:
        """The legacy token."""
        return self._settings.token

    @property
    def personal_access_token(self) -> str:
        """The personal access token that was valid when the sandbox was entered."""
        return self._personal

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The newest hundred thousand requests, in the order of arrival."""
        return self._gate.log.entries()

    def clear_requests(self) -> None:
        """Empty `requests`."""
        self._gate.log.clear()

    def settle(self, seconds: float = 60) -> bool:
        """Wait until every late write and replay has taken effect. Returns False if the time was too short."""
        return self._gate.injector.settle(seconds)

    def recover(self) -> None:
        """End every outage that has begun."""

        def recover() -> None:
            self._gate.injector.recover()
            self._server.answer_again()

        self._server.call(recover)

    def finish_imports(self) -> None:
        """Finish all imports at once."""
        self._server.call(lambda: finish_imports(self._store))


def serve(
    port: int,
    data: Path | None,
    token: str | None,
    latency_ms: float,
    host: str = "127.0.0.1",
    faults: Faults | None = None,
) -> int:
    """Serve a sandbox in the foreground until it is interrupted, and return the exit code.

    Prints the address as its first line. If the port is taken or the file is not a database, it prints one line and
    returns 2.
    """
    try:
        listener = listen(host, port)
    except OSError as exc:
        print(f"The sandbox cannot listen on {host}:{port}: {exc.strerror or exc}.", file=sys.stderr)
        return 2
    with listener:
        try:
            store = open_store(data)
        except sqlite3.Error as exc:
            print(f"The sandbox cannot use {data}: {exc}.", file=sys.stderr)
            return 2
        with store:
            settings = Settings(token=token or DEFAULT_TOKEN, latency_ms=latency_ms, faults=faults)
            return _serve(listener, store, settings)


def open_store(data: Path | None) -> Store:
    """Open the store in a file, and seed a fresh one.

    Raises:
        sqlite3.Error: the file is not a database, or cannot be made.
    """
    store = Store(data)
    seed(store)
    return store


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, which accepts connections from now on.

    Raises:
        OSError: The port is taken, or the address is not this machine's.
    """
    try:
        listener = _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))
    except OverflowError as exc:
        raise OSError(str(exc)) from None
    listener.listen(2048)
    return listener


def _bound(family: int, address: tuple[str | int, ...]) -> socket.socket:
    # Without the protocol, asyncio would leave Nagle's algorithm on and delay every answer on a kept connection by 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


class _Server(uvicorn.Server):
    """A uvicorn server that announces when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._held_port: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until it is stopped."""
        try:
            with asyncio.Runner() as runner:
                runner.run(self.serve(sockets))
        finally:
            # Callers that wait for a server that could not start must not wait for ever.
            self.ready.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer connections."""
        self._loop = asyncio.get_running_loop()
        self.lifespan.state[EDGE] = self
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close all connections."""
        if self._held_port is not None:
            self._held_port.close()
        await super().shutdown(sockets)

    def call(self, act: Callable[[], None]) -> None:
        """Call `act` in the server's thread."""

        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for some seconds, and close existing ones."""
        if self._held_port is not None:
            return
        [server] = self.servers
        family, address = server.sockets[0].family, server.sockets[0].getsockname()
        server.close()
        # A socket that is bound without listening keeps the port and refuses connections.
        self._held_port = _bound(family, address)
        for connection in list(self.server_state.connections):
            connection.transport.close()
        self._loop.call_later(seconds, self.answer_again)

    def answer_again(self) -> None:
        """Accept connections again."""
        held, self._held_port = self._held_port, None
        if held is None or self.should_exit:
            return
        held.listen(2048)
        self._reopening = self._loop.create_task(self._serve_on(held))

    async def _serve_on(self, listener: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return _Protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

        self.servers = [await self._loop.create_server(protocol, sock=listener)]


class _Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # a variable that holds a class
    """An HTTP protocol that lets answers close their connection."""

    app_state: dict[str, object]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Put the connection into the state of its requests' scopes."""
        super().connection_made(transport)
        self._connection = Connection(transport)
        self.app_state = self.app_state | {CONNECTION: self._connection}

    def shutdown(self) -> None:
        """End the connection with its answer, or at once if none may come."""
        super().shutdown()
        if self._connection.held:
            self._connection.transport.close()


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type] # any ASGI application
        http=_Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        date_header=False,
        # Connections that are kept alive are closed at once; a request that is being answered gets this long.
        timeout_graceful_shutdown=2,
    )


def _serve(listener: socket.socket, store: Store, settings: Settings) -> int:
    host, port = listener.getsockname()[:2]
    known = f", token {DEFAULT_TOKEN}" if settings.token == DEFAULT_TOKEN else ""
    address = f"[{host}]" if ":" in host else host
    print(f"Sandbox of Label Studio Enterprise on http://{address}:{port}{known}", flush=True)
    if settings.faults is not None:
        print(f"Faults: {settings.faults}", flush=True)
    try:
        _Server(_config(create_app(store, settings))).run([listener])
    except KeyboardInterrupt:
        return 0
    return 0
