"""Routes, slashes, bodies, pages and lists, as the real server has them."""

import uuid

import httpx
import pytest

from label_studio_sandbox import Sandbox


def make(http: httpx.Client, *titles: str, **body: object) -> list[int]:
    return [int(http.post("/api/projects/", json={"title": t, **body}).json()["id"]) for t in titles]


def ids(http: httpx.Client, query: str = "") -> list[int]:
    return [int(item["id"]) for item in http.get(f"/api/projects/{query}").json()["results"]]


@pytest.mark.parametrize(
    "path",
    ["/api/projects/", "/api/projects/1/", "/api/projects/counts/", "/api/workspaces/", "/api/workspaces/1/",
     "/api/project-templates/", "/api/version/", "/health/", "/api/token/"],
)  # fmt: skip
def test_a_route_with_a_slash_answers_without_one_and_without_a_redirect(http: httpx.Client, path: str) -> None:
    make(http, "Project")
    assert [http.get(path).status_code, http.get(path.rstrip("/")).status_code] == [200, 200]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/project-templates/1/"),
        ("POST", "/api/project-templates/1/create-project/"),
        ("POST", "/api/projects/1/import/"),
        ("GET", "/api/current-user/whoami/"),
        ("GET", "/api/projects/abc/"),
        ("GET", "/api/nothing"),
    ],
)
def test_what_is_no_route_is_a_large_page_of_html(http: httpx.Client, method: str, path: str) -> None:
    make(http, "Project")
    answer = http.request(method, path, json={"title": "Project"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert len(answer.content) > 100_000


@pytest.mark.parametrize(
    ("method", "path", "model"),
    [
        ("GET", "/api/projects/99/", "Project"),
        ("PATCH", "/api/projects/99/", "Project"),
        ("DELETE", "/api/projects/99/", "Project"),
        ("GET", "/api/project-templates/99", "ProjectTemplate"),
        ("POST", "/api/project-templates/99/create-project", "ProjectTemplate"),
        ("GET", "/api/workspaces/99/", "Workspace"),
        ("GET", f"/api/projects/{2**70}/", "Project"),
    ],
)
def test_a_missing_object_is_json(http: httpx.Client, method: str, path: str, model: str) -> None:
    answer = http.request(method, path, json={"title": "Project"})
    assert (answer.status_code, answer.json()["detail"]) == (404, f"No {model} matches the given query.")


def test_an_error_body_has_an_id_of_its_own_and_the_servers_version(http: httpx.Client) -> None:
    body = http.post("/api/projects/", json={"title": "ab"}).json()
    assert uuid.UUID(body.pop("id"))
    assert body == {
        "status_code": 400,
        "version": http.get("/api/version/").json()["release"],
        "detail": "Validation error",
        "exc_info": None,
        "validation_errors": {"title": ["Ensure this field has at least 3 characters."]},
    }


def test_a_body_that_is_not_json_is_refused_without_validation_errors(http: httpx.Client) -> None:
    answer = http.post("/api/projects/", content=b"{,", headers={"Content-Type": "application/json"})
    expected = "JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
    assert (answer.status_code, answer.json()["detail"]) == (400, expected)
    assert "validation_errors" not in answer.json()


def test_a_list_is_no_project(http: httpx.Client) -> None:
    errors = http.post("/api/projects/", json=[]).json()["validation_errors"]
    assert errors == {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]}


def test_another_content_type_is_refused(http: httpx.Client) -> None:
    answer = http.post("/api/projects/", content=b"title=x", headers={"Content-Type": "text/plain"})
    expected = 'Unsupported media type "text/plain" in request.'
    assert (answer.status_code, answer.json()["detail"]) == (415, expected)


def test_a_form_leaves_its_booleans_false(http: httpx.Client) -> None:
    made = http.post("/api/projects/", data={"title": "From a form"}).json()
    assert (made["title"], made["show_skip_button"]) == ("From a form", False)


def test_a_method_that_a_route_lacks_is_refused(http: httpx.Client) -> None:
    answer = http.post("/api/projects/1/", json={})
    assert (answer.status_code, answer.json()["detail"]) == (405, 'Method "POST" not allowed.')


def test_health_is_json_that_calls_itself_html(anonymous: httpx.Client) -> None:
    answer = anonymous.get("/health")
    assert (answer.text, answer.headers["content-type"][:9]) == ('{"status": "UP"}', "text/html")


def test_counters_are_numbers_in_the_answer_to_a_create_too(http: httpx.Client) -> None:
    made = http.post("/api/project-templates/1/create-project", json={"title": "Project"}).json()
    assert (made["task_number"], made["total_predictions_number"]) == (0, 0)


def test_ids_rise_and_are_never_given_twice(http: httpx.Client) -> None:
    [first] = make(http, "One")
    http.delete(f"/api/projects/{first}/")
    assert make(http, "Two") == [first + 1]


def test_a_page_links_to_its_neighbours(http: httpx.Client, sandbox: Sandbox) -> None:
    make(http, "One", "Two", "Three", "Four", "Five")
    page = http.get("/api/projects/?page=2&page_size=2").json()
    assert page["count"] == 5
    assert page["next"] == f"{sandbox.url}/api/projects/?page=3&page_size=2"
    assert page["previous"] == f"{sandbox.url}/api/projects/?page_size=2"


@pytest.mark.parametrize(
    ("query", "length"),
    [
        pytest.param("", 30, id="default"),
        pytest.param("?page_size=1000", 100, id="clamped"),
        pytest.param("?page_size=0", 30, id="zero"),
        pytest.param("?page_size=-1", 30, id="negative"),
        pytest.param("?page_size=abc", 30, id="no number"),
        pytest.param("?page=last&page_size=100", 4, id="last"),
    ],
)
def test_a_page_has_a_size(http: httpx.Client, query: str, length: int) -> None:
    make(http, *(f"Project {i}" for i in range(104)))
    assert len(ids(http, query)) == length


@pytest.mark.parametrize("page", ["2", "0", "-1", "abc"])
def test_a_page_that_is_not_there_is_404(http: httpx.Client, page: str) -> None:
    answer = http.get("/api/projects/", params={"page": page})
    assert (answer.status_code, answer.json()["detail"]) == (404, "Invalid page.")


def test_an_empty_list_has_a_first_page(http: httpx.Client) -> None:
    assert http.get("/api/projects/").json() == {"count": 0, "next": None, "previous": None, "results": []}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("", [2, 4, 3, 1], id="pinned first, then newest"),
        pytest.param("?ordering=id", [1, 2, 3, 4], id="by id"),
        pytest.param("?ordering=-title", [4, 3, 2, 1], id="by title, falling"),
        pytest.param("?ordering=nonsense", [2, 4, 3, 1], id="by something unknown"),
        pytest.param("?title=100%25", [4], id="per cent is literal"),
        pytest.param("?title=ärger", [3], id="without case, in any alphabet"),
        pytest.param("?search=hidden", [1], id="search reads descriptions"),
        pytest.param("?ids=1,3", [3, 1], id="ids"),
        pytest.param("?ids=1&ids=2", [2], id="the last ids count"),
        pytest.param("?workspaces=6", [4], id="workspace"),
        pytest.param("?archived=true", [4], id="in an archived workspace"),
        pytest.param("?archived=false", [2, 3, 1], id="in none archived"),
        pytest.param("?filter=pinned_only", [2], id="pinned"),
        pytest.param("?filter=exclude_pinned", [4, 3, 1], id="not pinned"),
        pytest.param("?filter=nonsense", [2, 4, 3, 1], id="unknown filter"),
    ],
)
def test_a_list_is_ordered_and_filtered(http: httpx.Client, query: str, expected: list[int]) -> None:
    make(http, "Alpha", description="a hidden word")
    make(http, "Beta", pinned_at="2026-01-01T00:00:00Z")
    make(http, "Mit Ärger")
    make(http, "Up 100%", workspace=6)
    assert ids(http, query) == expected


def test_include_trims_the_answer(http: httpx.Client) -> None:
    make(http, "Project")
    assert http.get("/api/projects/?include=id,title").json()["results"] == [{"id": 1, "title": "Project"}]


def test_counts_hold_the_counters_alone(http: httpx.Client) -> None:
    make(http, "Project")
    http.post("/api/projects/1/import", json=[{"text": "a"}, {"text": "b"}])
    [counts] = http.get("/api/projects/counts/?ids=1").json()["results"]
    assert (counts["id"], counts["task_number"]) == (1, 2)
    assert "title" not in counts


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        pytest.param("?is_archived=true", ["Archive 2024"], id="archived"),
        pytest.param("?is_personal=true", [], id="personal"),
        pytest.param(
            "?is_archived=false&ordering=-title",
            ["Vision", "Speech", "Research", "Legal Documents", "Customer Feedback"],
            id="in use, by title",
        ),
    ],
)
def test_workspaces_are_filtered_and_ordered(http: httpx.Client, query: str, titles: list[str]) -> None:
    assert [workspace["title"] for workspace in http.get(f"/api/workspaces/{query}").json()] == titles


def test_a_workspace_counts_its_projects(http: httpx.Client) -> None:
    make(http, "One", "Two", workspace=3)
    assert http.get("/api/workspaces/3/").json()["projects_count"] == 2


def test_every_seeded_template_makes_a_project(http: httpx.Client) -> None:
    templates = http.get("/api/project-templates/").json()
    for template in templates:
        made = http.post(f"/api/project-templates/{template['id']}/create-project", json={"title": "Project"}).json()
        assert made.items() >= template["project_settings"].items()
        assert made["config_has_control_tags"]
