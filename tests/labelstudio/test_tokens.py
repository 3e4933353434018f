"""Both kinds of token; an access token is renewed once, however many ask."""

import asyncio
import json
import random
from datetime import timedelta

import httpx
import pytest

from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Unauthorized
from tests.labelstudio.scripted import LEGACY, PERSONAL, Script, answer, jwt, project, sent
from tests.labelstudio.virtual import VirtualClock

REFRESH = "POST /api/token/refresh/"


class Tokens:
    """A server that takes the access token it gave last, and counts those that it gave."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.given = 0
        self.valid = True
        self._chance = random.Random(1)

    def revoke(self) -> None:
        self.valid = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        # Time for others to come by, each request another time.
        await self.clock.sleep(self._chance.uniform(0.01, 0.1))
        if request.url.path == "/api/token/refresh/":
            assert json.loads(request.content) == {"refresh": PERSONAL}
            assert "authorization" not in request.headers
            self.given += 1
            self.valid = True
            return answer(200, {"access": f"access-{self.given}"})
        if self.valid and request.headers["authorization"] == f"Bearer access-{self.given}":
            return answer(200, project())
        return answer(401, {"detail": "Authentication credentials were not provided."})


async def test_a_legacy_token_is_sent_as_it_is(clock: VirtualClock) -> None:
    script = Script(answer(200, project()))
    await script.label_studio(clock, f"  Token {LEGACY}\n").project(7)
    assert script.requests[0].headers["authorization"] == f"Token {LEGACY}"


async def test_a_refused_legacy_token_is_not_tried_again(clock: VirtualClock) -> None:
    script = Script(answer(401, {"detail": "Invalid token."}))
    with pytest.raises(Unauthorized, match="Invalid token"):
        await script.label_studio(clock).project(7)
    assert len(script.requests) == 1


@pytest.mark.parametrize(("days", "noted"), [(-1, True), (0.5, True), (6.9, True), (7.1, False), (73_000, False)])
async def test_a_token_that_expires_within_a_week_is_noted(clock: VirtualClock, days: float, noted: bool) -> None:
    expires = clock.wall() + timedelta(days=days)
    token = jwt("refresh", exp=int(expires.timestamp()))
    async with LabelStudio("http://studio", token, clock=clock, transport=Script()) as label_studio:
        note = label_studio.token_note()
        assert (f"expires on {expires:%Y-%m-%d}" in note) == noted
        assert bool(note) == noted
        assert token not in note


async def test_a_token_that_does_not_say_when_it_expires_is_not_noted(clock: VirtualClock) -> None:
    for token in (LEGACY, jwt("refresh"), jwt("refresh", exp="soon"), jwt("refresh", exp=10**18)):
        async with LabelStudio("http://studio", token, clock=clock, transport=Script()) as label_studio:
            assert label_studio.token_note() == ""


async def test_concurrent_requests_buy_one_access_token(clock: VirtualClock) -> None:
    tokens = Tokens(clock)
    script = Script(tokens)
    label_studio = script.label_studio(clock, PERSONAL)
    await asyncio.gather(*(label_studio.project(7) for _ in range(20)))
    assert tokens.given == 1
    assert label_studio.sent == {"GET": 20, "refresh": 1}


async def test_an_access_token_is_renewed_before_it_is_too_old(clock: VirtualClock) -> None:
    tokens = Tokens(clock)
    label_studio = Script(tokens).label_studio(clock, PERSONAL)
    await label_studio.project(7)
    await clock.sleep(239)
    await label_studio.project(7)
    assert tokens.given == 1
    await clock.sleep(2)
    await asyncio.gather(*(label_studio.project(7) for _ in range(20)))
    assert tokens.given == 2
    assert label_studio.sent["GET"] == 22


async def test_concurrent_refusals_renew_the_access_token_once(clock: VirtualClock) -> None:
    tokens = Tokens(clock)
    label_studio = Script(tokens).label_studio(clock, PERSONAL)
    await label_studio.project(7)
    tokens.revoke()
    await asyncio.gather(*(label_studio.project(7) for _ in range(20)))
    assert tokens.given == 2


async def test_a_create_that_a_stale_token_stopped_is_sent_again_with_a_fresh_one(
    clock: VirtualClock,
) -> None:
    tokens = Tokens(clock)
    script = Script(tokens)
    label_studio = script.label_studio(clock, PERSONAL)
    await label_studio.project(7)
    tokens.revoke()
    await label_studio.create_project({"title": "Birds"})
    create = "POST /api/projects/"
    assert sent(script.requests)[2:] == [create, REFRESH, create]


async def test_a_token_that_is_refused_when_fresh_ends_it(clock: VirtualClock) -> None:
    script = Script(
        lambda request: (
            answer(200, {"access": "x"})
            if request.url.path == "/api/token/refresh/"
            else answer(401, {"detail": "User is inactive."})
        )
    )
    with pytest.raises(Unauthorized, match="User is inactive"):
        await script.label_studio(clock, PERSONAL).create_project({})
    create = "POST /api/projects/"
    assert sent(script.requests) == [REFRESH, create, REFRESH, create]


async def test_a_revoked_personal_token_is_unauthorized(clock: VirtualClock) -> None:
    script = Script(answer(401, {"detail": "Token is blacklisted"}))
    with pytest.raises(Unauthorized, match="Token is blacklisted"):
        await script.label_studio(clock, PERSONAL).create_project({})
    assert sent(script.requests) == [REFRESH]


async def test_an_exchange_that_is_rejected_is_unauthorized(clock: VirtualClock) -> None:
    with pytest.raises(Unauthorized, match="can't be exchanged"):
        await Script(answer(400, {"detail": "no"})).label_studio(clock, PERSONAL).create_project({})


async def test_an_exchange_that_fails_for_a_moment_is_repeated(clock: VirtualClock) -> None:
    script = Script(
        httpx.ReadTimeout(""),
        answer(429, None, retry_after="9"),
        answer(200, {"access": "x"}),
        answer(201, project()),
    )
    assert (await script.label_studio(clock, PERSONAL).create_project({})).id == 7
    assert sent(script.requests) == [REFRESH] * 3 + ["POST /api/projects/"]


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("", "is empty"),
        ("Token ", "is empty"),
        ("abc def", "holds a space"),
        ("abc\ndef", "holds a space"),
        ("jeton-é", "no token has"),
        (jwt("access"), "expires after five minutes"),
        (PERSONAL.rpartition(".")[0], "without its last part"),
    ],
    ids=["empty", "scheme only", "space", "newline", "not ASCII", "access token", "no signature"],
)
def test_what_can_be_no_token_is_refused_with_advice_and_without_it(token: str, sentence: str) -> None:
    with pytest.raises(Unauthorized, match=sentence) as caught:
        LabelStudio("https://studio.test", token)
    assert "Account & Settings" in str(caught.value)
    assert not token.strip() or token == "Token " or token not in str(caught.value)
