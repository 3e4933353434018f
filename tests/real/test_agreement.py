"""The sandbox judges what it is sent as the real Community server does, in the same words, and answers with the same values.

The same bodies go to both. Where Enterprise, which the sandbox stands for, is known to differ, or the real server falls over in
a way that nobody relies on, the difference is in a list with its reason.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_studio_sandbox import Sandbox, spec
from scripts.label_studio import Instance
from tests.real.corpus import changed, shipped

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]

CONFIG = (
    '<View><Text name="text" value="$text"/>'
    '<Choices name="s" toName="text"><Choice value="P"/><Choice value="N"/></Choices></View>'
)
REPEATED = (
    '<View><Repeater on="$images" indexFlag="{{idx}}">'
    '<Image name="image_{{idx}}" value="$images[{{idx}}].url"/></Repeater></View>'
)
#: Configurations beside those that the package ships, and the seed of the changes that make them.
CHANGED, SEED = 450, 3
DERIVED = (
    "label_config",
    "parsed_label_config",
    "control_weights",
    "config_has_control_tags",
    "config_suitable_for_bulk_annotation",
)
WEIGHTS: tuple[Any, ...] = (
    {"s": {"overall": 0.5, "type": "Choices"}},
    {
        "s": {"overall": 0.5, "type": "Choices", "labels": {"P": 0.5, "gone": 1}},
        "other": {"overall": 1, "type": "Rating"},
    },
)
VALUES: tuple[Any, ...] = (
    None, "", " spaced ", "a\x00b", True, 0, -1, 2.5, "3", "2.0", "off", "null", 2**31, [], ["a"], {}, {"a": 1}, *WEIGHTS,
    "x" * 51, "x" * 257, "#FF00aa", "#GGGGGG", "2026-03-01T12:00:00+02:00", "2026-03-01", "yesterday", "Uniform sampling",
    "IGNORE_SKIPPED", "<p>A & B < C</p>",
)  # fmt: skip
TASK = {"data": {"text": "a"}}
TASKS: tuple[Any, ...] = (
    [], {}, [{}], [[]], "x", 1, None, ["a"], {"text": "a"}, [{"text": "a"}], TASK, [TASK, {"data": {"text": "b"}}],
    [{"other": "a"}], [{"data": {"other": "a"}}], [{"data": {}}], [{"data": None}], [{"data": 1}], [{"text": None}],
    [{"text": 1}], [{"text": ["a"]}], [{"text": {"a": 1}}], [{"text": ""}], [{"text": "a"}, {"other": "b"}],
    [TASK | {"meta": {"a": 1}}], [TASK | {"meta": 1}], [TASK | {"nonsense": 1}], [TASK | {"predictions": [{"result": []}]}],
    [TASK | {"annotations": [{"result": []}]}], [TASK | {"annotations": [{}]}], [TASK | {"predictions": [{}]}],
    [TASK | {"annotations": 1}], [TASK | {"predictions": "x"}], [TASK | {"annotations": [{"result": 1}]}],
    [{"images": [{"url": "a"}]}], [{"images": {"url": "a"}}],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Differs:
    """A known difference: a field, which of its values, and why."""

    field: str
    values: Callable[[Any], bool]
    reason: str


DIFFERENCES = (
    Differs("organization", lambda value: value in (None, ""), "Community takes the project away from everybody"),
    Differs("created_by", lambda value: isinstance(value, dict), "Community falls over; Enterprise wants a username"),
    Differs(
        "maximum_annotations", lambda value: value == 2**31, "this server is on SQLite, where numbers have 64 bits"
    ),
    Differs("min_annotations_to_start_training", lambda value: value == 2**31, "SQLite"),
    Differs("overlap_cohort_percentage", lambda value: value == 2**31, "SQLite"),
    Differs("start_training_on_annotation_update", lambda value: True, "Enterprise derives it, and does not take it"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """One of the two, and a project there."""

    http: httpx.Client
    token: str
    project: int

    def create(self, **body: Any) -> httpx.Response:
        return self.http.post("/api/projects/", json={"title": "Agreement", **body})


@pytest.fixture(scope="module")
def servers(label_studio: Instance) -> Iterator[tuple[Server, Server]]:
    # A connection that is kept costs 40 ms a request on the real one.
    limits = httpx.Limits(max_keepalive_connections=0)
    with (
        Sandbox() as sandbox,
        httpx.Client(base_url=label_studio.url, limits=limits, timeout=60) as real,
        httpx.Client(base_url=sandbox.url, timeout=60) as other,
    ):
        found = []
        for client, token in ((real, label_studio.token), (other, sandbox.token)):
            client.headers["authorization"] = f"Token {token}"
            server = Server(client, token, 0)
            found.append(Server(client, token, server.create(label_config=CONFIG).json()["id"]))
        # A sandbox has one from the start.
        other.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token})
        yield found[0], found[1]


def said(answer: httpx.Response, *names: str) -> Any:
    """What an answer says: its status, and the named values or the words of a refusal."""
    if answer.headers.get("content-type", "").partition(";")[0] != "application/json":
        return answer.status_code
    body = answer.json()
    if answer.status_code < 300:
        return answer.status_code, {name: body.get(name, "absent") for name in names}
    return answer.status_code, {
        name: value for name, value in body.items() if name not in ("id", "version", "exc_info")
    }


def test_labelling_configurations_are_judged_alike(
    servers: tuple[Server, Server], label_studio_executable: Path
) -> None:
    (package,) = label_studio_executable.parents[1].glob("lib/python*/site-packages/label_studio")
    gallery = [entry["config"] for entry in servers[0].http.get("/api/templates/").json()["templates"]]
    known = list(dict.fromkeys([*gallery, *shipped(package)]))
    assert len(known) > 200
    statuses = set()
    for config in [*known, *changed(known, CHANGED, SEED)]:
        real, sandbox = (said(server.create(label_config=config), *DERIVED) for server in servers)
        statuses.add(real[0])
        assert sandbox == real, config
    assert statuses == {201, 400, 500}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_settings_are_judged_alike(servers: tuple[Server, Server], method: str) -> None:
    real, _ = servers
    both = real.http.get(f"/api/projects/{real.project}/").json().keys() & {
        *spec.ON_UPDATE,
        "organization",
        "created_by",
    }
    fields = [*sorted(both - {"label_config"}), "start_training_on_annotation_update", "nonsense"]
    assert len(fields) > 25

    def sent(server: Server, project: int, field: str, value: Any) -> Any:
        if method == "PATCH":
            answer = server.http.patch(f"/api/projects/{project}/", json={field: value})
        else:
            answer = server.create(**{"label_config": CONFIG, field: value})
        # Who made it is another person.
        followed = ("control_weights", "model_version", "is_draft", "min_annotations_to_start_training")
        return said(answer, *({field, *followed} - {"created_by"}))

    for field in fields:
        projects = [server.create(label_config=CONFIG).json()["id"] for server in servers]
        for value in VALUES:
            if any(known.field == field and known.values(value) for known in DIFFERENCES):
                continue
            one, other = (
                sent(server, project, field, value) for server, project in zip(servers, projects, strict=True)
            )
            assert other == one, (field, value)


@pytest.mark.parametrize("config", [CONFIG, REPEATED, "<View/>"], ids=["text", "repeater", "nothing shown"])
def test_tasks_are_judged_alike(servers: tuple[Server, Server], config: str) -> None:
    def imported(server: Server, tasks: Any) -> Any:
        """Status or reason, and the counts: Community answers them, Enterprise tells them by the import's state."""
        project = server.create(label_config=config).json()["id"]
        headers = {"content-type": "application/json"}
        answer = server.http.post(f"/api/projects/{project}/import", content=json.dumps(tasks), headers=headers)
        body = answer.json()
        if "import" in body:
            body = server.http.get(f"/api/projects/{project}/imports/{body['import']}/").json()
        counted = server.http.get(f"/api/projects/{project}/").json()["task_number"]
        if answer.status_code >= 400:
            reasons = body["validation_errors"]["non_field_errors"]
            return next(reason for reason in reasons if reason), counted
        if body.get("status") == "failed":
            return body["error"], counted
        return [body[f"{kind}_count"] for kind in ("task", "annotation", "prediction")], counted

    for tasks in TASKS:
        real, sandbox = (imported(server, tasks) for server in servers)
        assert sandbox == real, json.dumps(tasks)


#: Method, path, content type, body; `{project}` is one that is there.
REQUESTS: tuple[tuple[str, str, str, bytes], ...] = (
    *(
        (method, path, "application/json", body)
        for method, path in (("POST", "/api/projects/"), ("PATCH", "/api/projects/{project}/"))
        for body in (b"{", b"[]", b"null", b'"a"', b"3", b'{"title": NaN}', b'{"a":1,}', b"true", b'{"title": "ab"}')
    ),
    ("POST", "/api/projects/", "text/plain", b"x"),
    ("POST", "/api/projects/", "", b"x"),
    ("POST", "/api/projects/", "application/x-www-form-urlencoded", b"title=ab"),
    *((method, "/api/projects/", "", b"") for method in ("PUT", "DELETE", "PATCH")),
    ("POST", "/api/projects/{project}/", "application/json", b"{}"),
    *((method, "/api/projects/99999999/", "", b"") for method in ("GET", "PATCH", "DELETE")),
    *((method, f"/api/projects/{10**20}/", "", b"") for method in ("GET", "PATCH", "DELETE")),
    ("GET", "/api/projects/abc/", "", b""),
    ("GET", "/api/projects/{project}", "", b""),
    ("GET", "/api/nothing", "", b""),
    *(
        ("GET", f"/api/projects/?title=no such title&{query}", "", b"")
        for query in (
            "page=0", "page=-1", "page=abc", "page=last", "page=1000", "page=", "page=%2B1", "page=1.0", "page=1&page=2",
            "page_size=0", "page_size=abc", "page_size=1.5", "ids=1,x", "ids=,", "ids=", "ids=1.5", "ordering=nonsense",
            "filter=nonsense", "title=%25",
        )
    ),
    ("GET", "/api/projects/counts/?ids=x", "", b""),
    ("GET", "/api/projects/counts/?ids=99999999", "", b""),
    *(
        ("POST", "/api/projects/validate/", "application/json", b'{"label_config": %s}' % value)
        for value in (b'"<View/>"', b'"<View>"', b"null", b"1", b'""', b"[]", b'"<View><Choices/></View>"')
    ),
    *(("POST", "/api/projects/validate/", "application/json", body) for body in (b"{}", b"[]", b"{")),
    ("GET", "/api/projects/validate/", "", b""),
    ("GET", "/api/templates", "", b""),
    ("POST", "/api/templates/", "application/json", b"{}"),
    ("POST", "/api/current-user/whoami", "application/json", b"{}"),
    ("GET", "/health", "", b""),
    *(
        ("POST", f"/api/token/{what}/", "application/json", body)
        for what in ("refresh", "rotate", "blacklist")
        for body in (b"{}", b"[]", b"{", *(b'{"refresh": %s}' % value for value in (b'""', b'"a.b.c"', b"null", b'["a"]')))
    ),
    ("GET", "/api/token/refresh/", "", b""),
    ("PUT", "/api/token/", "", b""),
    ("GET", "/api/projects/{project}/imports/99999/", "", b""),
    ("POST", "/api/projects/{project}/import/", "application/json", b"[]"),
    ("GET", "/api/projects/{project}/import", "", b""),
    ("POST", "/api/projects/{project}/import", "application/json", b"{"),
    ("POST", "/api/projects/{project}/import", "text/plain", b"x"),
)  # fmt: skip
#: Of a list, what does not depend on what else is there.
PAGE = ("count", "previous", "results", "title")


def test_what_is_wrong_with_a_request_is_told_alike(servers: tuple[Server, Server]) -> None:
    def sent(server: Server, method: str, path: str, kind: str, body: bytes) -> Any:
        headers = {"content-type": kind} if kind else {}
        answer = server.http.request(method, path.format(project=server.project), content=body, headers=headers)
        names = PAGE if "?" in path else ()
        allowed = answer.headers["allow"].split(", ") if answer.status_code == 405 else []
        return said(answer, *names), answer.headers.get("www-authenticate"), sorted(allowed)

    for request in REQUESTS:
        real, sandbox = (sent(server, *request) for server in servers)
        assert sandbox == real, request


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Token"},
        {"authorization": "Token a b"},
        {"authorization": "Token " + "0" * 40},
        {"authorization": "Bearer {token}"},
        {"authorization": "Bearer"},
        {"authorization": "bearer x.y.z"},
        {"authorization": "JWT x"},
        {"authorization": "Basic YTpi"},
        {"authorization": "token {token}"},
        {"authorization": "Token  {token}"},
        {"x-api-key": "{token}"},
        {"x-api-key": "nonsense"},
        {"x-api-key": "nonsense", "authorization": "Token {token}"},
    ],
    ids=str,
)
def test_tokens_are_judged_alike(servers: tuple[Server, Server], headers: dict[str, str]) -> None:
    def sent(server: Server) -> Any:
        given = {name: value.format(token=server.token) for name, value in headers.items()}
        with httpx.Client(base_url=server.http.base_url) as client:
            answer = client.get("/api/projects/", params={"title": "no such title"}, headers=given)
        return said(answer, *PAGE), answer.headers.get("www-authenticate")

    real, sandbox = map(sent, servers)
    assert sandbox == real


def test_a_personal_token_lives_alike(servers: tuple[Server, Server]) -> None:
    def life(server: Server) -> list[Any]:
        def post(what: str, token: str) -> httpx.Response:
            return server.http.post(f"/api/token/{what}/", json={"refresh": token})

        token = server.http.post("/api/token/").json()["token"]
        told: list[Any] = [said(server.http.post("/api/token/"))]
        access = post("refresh", token).json()["access"]
        told += [said(post(what, access)) for what in ("rotate", "refresh", "blacklist")]
        rotated = post("rotate", token).json()["refresh"]
        told += [said(post(what, token)) for what in ("rotate", "refresh", "blacklist")]
        told += [post("blacklist", rotated).status_code, said(post("refresh", rotated))]
        bearer = {"authorization": f"Bearer {access}"}
        told.append(server.http.get("/api/projects/", params={"page_size": 1}, headers=bearer).status_code)
        return told

    real, sandbox = map(life, servers)
    assert sandbox == real
