"""Whatever is sent to the sandbox, it answers as a server does, and never falls over by itself."""

import json
import random
from typing import Any

import httpx
import pytest

from label_studio_sandbox import Sandbox, spec
from label_studio_sandbox.app import _PUBLIC, _ROUTES

REQUESTS = 1500
CONFIG = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
# fmt: off
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**70, 10**400, 1.5, -0.0, 1e308,
    "", " ", "x", "0", "1", "true", "null", "2.0", "9" * 1500, "é" * 60, "\x00", "\ud800", "٣", "1_0", "Infinity",
    "<View/>", "<View>\ud800</View>", "<a", CONFIG, "2026-01-01T00:00:00Z", "9999-99-99", "#ffffff", "all", "one",
)
NESTED: tuple[Any, ...] = (
    [], [[]], [1], [None], ["x"], [{}], {}, {"a": 1}, {"overall": 1}, {"username": "x"}, {"explore": None},
    {"explore": {"order": [1], "visible": {}}}, {"c": {"overall": None, "type": 1, "labels": {"A": "x"}}},
    [{"user_id": [], "role": "AN"}], [{"user_id": 1, "role": []}], [{"user_id": 1, "role": {}}], [{"data": []}],
    {"data": {"t": 1}}, [{"t": "\ud800"}], [{"t": 10**30}], [{"data": {"t": "x"}, "annotations": [1]}],
    [{"data": {"t": "x"}, "predictions": [{"result": 3}]}],
)
BROKEN = (b"\xff\xfe", b"{", b'{"a":1,"a":2}', b"[" * 3000, b"null", b'{"title": NaN}', b'{"title": 1e999}')
NAMES = sorted({
    *spec.ON_UPDATE, *spec.ON_CREATE, *spec.TEMPLATE.fields, *spec.WORKSPACE.fields, *spec.CREATE_PROJECT.fields,
    "workspace", "organization", "created_by", "project", "all", "included", "excluded", "roles", "refresh",
})
PARAMETERS = (
    "page", "page_size", "ordering", "ids", "title", "search", "workspaces", "filter", "include", "archived", "state",
    "source_interface_id", "members_limit", "project", "fields", "is_archived", "is_personal",
)
ASKED = ("", "0", "1", "-1", "x", "1,2", "id", "-id", "id,title", "last", "true", "1.5", "9" * 30, "٣", "\x00", "a" * 3000, "²")
# fmt: on


def body(chance: random.Random) -> Any:
    if chance.random() < 0.2:
        return chance.choice((*SCALARS, *NESTED))
    found = {name: chance.choice((*SCALARS, *NESTED)) for name in chance.sample(NAMES, chance.choice((1, 1, 2, 3)))}
    if chance.random() < 0.5:
        found.setdefault("title", "A title")
    if chance.random() < 0.3:
        found |= {"project_id": chance.choice((1, 2, "1")), "name": "Name"}
    if chance.random() < 0.2:
        found |= {"all": chance.choice((True, False)), "included": chance.choice(([1, 2], [[]], [{}], ["1"], "x"))}
    return found


def request(chance: random.Random, url: str) -> httpx.Request:
    path, handlers = chance.choice((*_ROUTES, *_PUBLIC))
    method = chance.choice((*handlers, *handlers, "PUT"))
    path = path.replace("{id:int}", chance.choice("123990")).replace("{import:int}", chance.choice("19"))
    params = {chance.choice(PARAMETERS): chance.choice(ASKED)} if chance.random() < 0.4 else {}
    broken = chance.random() < 0.05
    content = chance.choice(BROKEN) if broken else json.dumps(body(chance)).encode()
    reads = method == "GET"
    return httpx.Request(
        method,
        f"{url}{path}",
        params=params,
        content=None if reads else content,
        headers={} if reads else {"content-type": "application/json"},
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_request_makes_it_fall_over(seed: int) -> None:
    chance = random.Random(seed)
    with Sandbox() as sandbox, httpx.Client(verify=False) as client:
        for _ in range(REQUESTS):
            asked = request(chance, sandbox.url)
            asked.headers["authorization"] = f"Token {sandbox.token}"
            answer = client.send(asked)
            if answer.status_code >= 500:
                # Where the real server falls over, so does this one, in its words.
                assert answer.json()["status_code"] == 500, (asked.method, asked.url, asked.content)
