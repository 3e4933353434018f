"""Whatever a request holds, the sandbox answers it: with a 500 only where the real server has one, in that server's words."""

import string
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_studio_sandbox import Sandbox, spec

CONFIG = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
FIELDS = sorted(
    {
        *spec.ON_CREATE, *spec.ON_UPDATE, *spec.TEMPLATE.fields, *spec.WORKSPACE.fields, "workspace", "organization",
        "created_by", "workspace_id", "all", "included", "excluded", "roles", "refresh", "project", "data", "id",
    }
)  # fmt: skip
WRITES = (
    ("POST", "/api/projects/"),
    ("PATCH", "/api/projects/1/"),
    ("POST", "/api/projects/validate/"),
    ("POST", "/api/projects/1/import"),
    ("POST", "/api/projects/1/members/bulk/"),
    ("POST", "/api/project-templates/"),
    ("POST", "/api/project-templates/2/create-project"),
    ("PATCH", "/api/project-templates/1"),
    ("PUT", "/api/project-templates/1"),
    ("POST", "/api/workspaces/"),
    ("PATCH", "/api/workspaces/1/"),
    ("POST", "/api/workspaces/1/projects/"),
    ("DELETE", "/api/workspaces/1/projects/"),
    *(("POST", f"/api/token/{what}/") for what in ("refresh", "rotate", "blacklist")),
)
READS = (
    "/api/projects/",
    "/api/projects/1/",
    "/api/projects/counts/",
    "/api/project-templates/",
    "/api/workspaces/",
    "/api/workspaces/1/projects/",
    "/api/users/",
)
QUERIES = (
    "archived", "filter", "ids", "include", "include_all_workspaces", "is_archived", "is_personal", "ordering", "page",
    "page_size", "search", "source_interface_id", "state", "title", "workspaces",
)  # fmt: skip
IDS = st.sampled_from([0, 1, 2**31, 2**63, 10**30])

words = st.sampled_from(
    ["", " ", "1", "-1", "3.5", "true", "id", CONFIG, "<View>", "#FFFFFF", "2026-03-01", "a.b.c", "1,2", "\x00"]
)
numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, words, st.text(max_size=60))
names = st.sampled_from([*FIELDS, "overall", "labels", "type", "c", "user_id", "role", "order"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(names, inner, max_size=3),
    ),
    max_leaves=8,
)
bodies = st.one_of(values, st.dictionaries(st.sampled_from(FIELDS), values, max_size=4))

many = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        headers = {"Authorization": f"Token {running.token}"}
        httpx.post(f"{running.url}/api/projects/", json={"title": "Project", "label_config": CONFIG}, headers=headers)
        yield running


def assert_answered(answer: httpx.Response) -> None:
    """A server that falls over answers in plain text."""
    if answer.status_code >= 500:
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["status_code"] == 500


@many
@given(request=st.sampled_from(WRITES), body=bodies)
def test_any_body_is_answered(http: httpx.Client, request: tuple[str, str], body: Any) -> None:
    assert_answered(http.request(*request, json=body))


@many
@given(
    path=st.sampled_from(READS),
    query=st.dictionaries(st.sampled_from(QUERIES), st.one_of(words, st.text(max_size=20)), max_size=3),
)
def test_any_query_is_answered(http: httpx.Client, path: str, query: dict[str, str]) -> None:
    assert_answered(http.get(path, params=query))


@many
@given(
    method=st.sampled_from(["GET", "PATCH", "DELETE", "POST", "PUT"]),
    path=st.sampled_from(
        [
            "/api/projects/{}/", "/api/projects/{}/import", "/api/projects/1/imports/{}/", "/api/projects/{}/members/bulk/",
            "/api/project-templates/{}", "/api/project-templates/{}/create-project", "/api/workspaces/{}/",
            "/api/workspaces/{}/projects/",
        ]
    ),
    number=IDS,
)  # fmt: skip
def test_any_id_is_answered(http: httpx.Client, method: str, path: str, number: int) -> None:
    # What the other tests rely on stays.
    if not (method == "DELETE" and number == 1):
        assert_answered(http.request(method, path.format(number)))


@many
@given(
    header=st.sampled_from(["Token ", "Bearer ", "", "Token"]),
    token=st.text(string.ascii_letters + string.digits + "._-= ", max_size=60),
    name=st.sampled_from(["authorization", "x-api-key"]),
)
def test_any_token_is_answered(sandbox: Sandbox, anonymous: httpx.Client, header: str, token: str, name: str) -> None:
    answer = anonymous.get("/api/projects/", headers={name: (header + token).strip()})
    assert answer.status_code in (200, 401)
