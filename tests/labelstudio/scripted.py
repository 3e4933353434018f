"""A transport that plays a script, for answers that no server gives on demand."""

import base64
import json
from collections.abc import Awaitable, Callable, Iterable

import httpx

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from tests.labelstudio.virtual import VirtualClock

LEGACY = "0123456789abcdef0123456789abcdef01234567"
Handler = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]
Step = httpx.Response | httpx.HTTPError | Handler


def jwt(kind: str, name: str = "a", **claims: JSON) -> str:
    """A token of the form of Label Studio's, of `kind` `refresh` or `access`."""
    parts = ({"alg": "HS256"}, {"token_type": kind, "jti": name, **claims})
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "sig"]
    )


PERSONAL = jwt("refresh")


def project(**fields: JSON) -> dict[str, JSON]:
    """A project as the server writes it."""
    return {"id": 7, "title": "Birds", "created_at": "2026-11-24T06:11:12.394026Z", **fields}


def answer(status: int, body: JSON = None, **headers: str) -> httpx.Response:
    """An answer with a JSON body; header names have `_` for `-`."""
    return httpx.Response(status, json=body, headers={key.replace("_", "-"): value for key, value in headers.items()})


def html(status: int) -> httpx.Response:
    """The page that the server answers with where it has no such endpoint."""
    return httpx.Response(status, html="<!doctype html><title>Label Studio</title>")


class Script(httpx.MockTransport):
    """Answers each request with the next step, and with the last one from then on; keeps the requests."""

    def __init__(self, *steps: Step) -> None:
        super().__init__(self._play)
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []

    async def _play(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, httpx.HTTPError):
            raise step
        if isinstance(step, httpx.Response):
            # A response can be read once only, so each request gets one of its own.
            return httpx.Response(step.status_code, headers=step.headers, content=step.content)
        played = step(request)
        return await played if isinstance(played, Awaitable) else played

    def label_studio(self, clock: VirtualClock, token: str = LEGACY, **options: object) -> LabelStudio:
        """A client that talks to this script."""
        return LabelStudio("https://studio.test", token, transport=self, clock=clock, **options)  # type: ignore[arg-type]


def sent(requests: Iterable[httpx.Request]) -> list[str]:
    """Method and path of each request."""
    return [f"{request.method} {request.url.path}" for request in requests]
