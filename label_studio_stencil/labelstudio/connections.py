"""Carries requests to one server, and keeps connections between them.

Needs `httpx`, whose transport is used without the client around it: of its features (cookies, redirects, hooks), only the
proxy of the environment is needed.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping

import httpx

from label_studio_stencil.labelstudio.environment import proxy_for, ssl_context

#: Seconds to open a connection.
CONNECT_TIMEOUT = 10.0
#: Seconds that an idle connection is kept: less than servers keep theirs, or one would be reused just as it
#: is closed.
KEEP_ALIVE = 2.0

_LIMITS = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)


class Overdue(httpx.ReadTimeout):
    """The whole answer did not come within the request's deadline."""


class Connections:
    """The connections to one server, as many as there are requests at the same time.

    Each is a pool of its own. A pool looks at all of its connections for each request, by a system call for every idle one: at
    sixteen at once that was a third of what a request costs (measured on httpx 0.28.1 with httpcore 1.0.9).

    Args:
        url: The server.
        timeout: Seconds without a byte after which a request fails.
        transport: Carries the requests instead of the network.
    """

    def __init__(self, url: str, timeout: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._proxy = proxy_for(url)
        self._encrypted = not url.startswith("http://")
        self._timeout = httpx.Timeout(timeout, connect=CONNECT_TIMEOUT).as_dict()
        self._only = transport
        self._all: list[httpx.AsyncBaseTransport] = []
        self._idle: list[httpx.AsyncBaseTransport] = []

    async def send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes | None, *, deadline: float
    ) -> httpx.Response:
        """The whole answer.

        Args:
            method: Such as `GET`.
            url: The URL with its query.
            headers: All headers.
            content: The body, if there is one.
            deadline: Seconds for all of it. A server that sends a byte now and then never runs into the other timeout.

        Raises:
            httpx.HTTPError: There is no answer.
        """
        request = httpx.Request(method, url, headers=headers, content=content, extensions={"timeout": self._timeout})
        transport = self._idle.pop() if self._idle else self._another()
        try:
            async with asyncio.timeout(deadline):
                answer = await transport.handle_async_request(request)
                try:
                    await answer.aread()
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            await self._drop(transport)
            raise Overdue(f"no whole answer within {deadline:.0f} s", request=request) from error
        except BaseException:
            await self._drop(transport)
            raise
        self._idle.append(transport)
        return answer

    async def _drop(self, transport: httpx.AsyncBaseTransport) -> None:
        """Close a connection that broke: a pool of one may keep it and never open another (httpcore 1.0.9)."""
        if transport is self._only:
            self._idle.append(transport)
            return
        self._all.remove(transport)
        with contextlib.suppress(httpx.HTTPError, OSError):
            await transport.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in (self._only, *self._all):
            if transport is not None:
                await transport.aclose()

    def _another(self) -> httpx.AsyncBaseTransport:
        if self._only is not None:
            return self._only
        self._all.append(httpx.AsyncHTTPTransport(verify=self._verify(), limits=_LIMITS, proxy=self._proxy))
        return self._all[-1]

    def _verify(self) -> ssl.SSLContext | bool:
        # Loading certificates takes 20 ms and more, so not without encryption.
        return ssl_context() if self._encrypted or self._proxy else False
