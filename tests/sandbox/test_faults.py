"""Faults go wrong as they were told to, the same way each time, and the log tells of them; what they do to two clients."""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from label_studio_sdk.client import LabelStudio
from pydantic import SecretStr

from label_studio_sandbox import BadFaults, Fault, Faults, LoggedRequest, Sandbox, from_argument
from label_studio_sandbox.__main__ import main as sandbox_main
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.cli import main as stencil_main
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.policy import Patience, Retries
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet

DROPPED = httpx.RemoteProtocolError


class Served:
    """A sandbox with faults, and a client that knows nothing of them; `plain` asks for none."""

    def __init__(self, sandbox: Sandbox, stack: ExitStack) -> None:
        self.sandbox = sandbox
        self._headers = {"Authorization": f"Token {sandbox.token}"}
        self._stack = stack
        self.http = self.client(self._headers)
        self.plain = self.client(self._headers | {"X-Sandbox-Fault": "none"})

    def client(self, headers: dict[str, str]) -> httpx.Client:
        # Nothing is encrypted on loopback, and the certificates take longer to load than a test to run.
        return self._stack.enter_context(
            httpx.Client(base_url=self.sandbox.url, headers=headers, timeout=60, verify=False)
        )

    def create(self, title: str = "Project", **headers: str) -> httpx.Response:
        return self.http.post("/api/projects/", json={"title": title}, headers=headers)

    def titles(self) -> list[str]:
        return [project["title"] for project in self.plain.get("/api/projects/?page_size=100").json()["results"]]

    def logged(self) -> list[LoggedRequest]:
        return [entry for entry in self.sandbox.requests if entry.method != "GET"]


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:

        def served(faults: str | Faults, **settings: Any) -> Served:
            chosen = from_argument(faults) if isinstance(faults, str) else faults
            return Served(stack.enter_context(Sandbox(faults=chosen, **settings)), stack)

        yield served


# What the client sees, and what the database holds


@pytest.mark.parametrize(("moment", "count"), [("before", 0), ("after", 1)])
def test_a_lost_answer_is_a_connection_that_ends(serve: Serve, moment: str, count: int) -> None:
    label_studio = serve(f"lost-{moment}")
    with pytest.raises(DROPPED, match="without sending a response"):
        label_studio.create()
    assert len(label_studio.titles()) == count
    [entry] = label_studio.logged()
    assert (entry.fault, entry.status, len(entry.commits)) == (f"lost-{moment}", None, count)


@pytest.mark.parametrize(("moment", "count"), [("before", 0), ("after", 1)])
def test_a_held_answer_ends_when_the_client_gives_up(serve: Serve, moment: str, count: int) -> None:
    label_studio = serve(f"held-{moment}")
    with pytest.raises(httpx.ReadTimeout):
        label_studio.http.post("/api/projects/", json={"title": "Project"}, timeout=httpx.Timeout(60, read=0.2))
    assert len(label_studio.titles()) == count


def test_a_sandbox_that_stops_waits_for_no_client_that_it_holds() -> None:
    with Sandbox() as sandbox:
        client = socket.create_connection(("127.0.0.1", int(sandbox.url.rpartition(":")[2])), timeout=10)
        client.sendall(b"GET /api/version/ HTTP/1.1\r\nHost: sandbox\r\nX-Sandbox-Fault: held\r\n\r\n")
        while not sandbox.requests:
            pass
        # A stop that waited for the client would wait for ever.
        sandbox._server.config.timeout_graceful_shutdown = None
    with client:
        assert client.recv(1) == b""


@pytest.mark.parametrize(("moment", "count"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxys_page_comes_before_or_after_the_commit(serve: Serve, status: int, moment: str, count: int) -> None:
    label_studio = serve(f"{status}-{moment}")
    answer = label_studio.create()
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert f"<h1>{status} " in answer.text
    assert len(label_studio.titles()) == count


@pytest.mark.parametrize("reserve", [False, True], ids=["id at the commit", "id on arrival"])
def test_a_late_write_lands_after_others_that_came_later(serve: Serve, reserve: bool) -> None:
    label_studio = serve(Faults((Fault("lost-late", requests=(1,), seconds=3, reserve=reserve),)))
    with pytest.raises(DROPPED):
        label_studio.create("Late")
    assert label_studio.logged()[0].committed_at is None
    on_time = label_studio.create("On time").json()["id"]
    assert label_studio.titles() == ["On time"]
    assert label_studio.sandbox.settle()
    late, other = label_studio.logged()
    assert late.number < other.number
    assert late.commits[0].number > other.commits[0].number
    assert late.commits[0].at - late.received_at >= 3
    assert (late.commits[0].id, on_time) == ((1, 2) if reserve else (2, 1))


def test_a_replayed_create_makes_copies_before_the_one_that_it_answers(serve: Serve) -> None:
    label_studio = serve("replay:copies=4")
    assert label_studio.create().json()["id"] == 5
    assert len(label_studio.titles()) == 5
    assert [commit.id for commit in label_studio.logged()[0].commits] == [1, 2, 3, 4, 5]


def test_faults_meet_on_one_request(serve: Serve) -> None:
    label_studio = serve("500-after,replay:copies=16")
    assert label_studio.create().status_code == 500
    assert len(label_studio.titles()) == 17
    assert label_studio.logged()[0].fault == "500-after+replay"


def test_a_500_has_the_servers_json(serve: Serve) -> None:
    body = serve("500").create().json()
    assert (body["status_code"], body["detail"]) == (500, "database is locked")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_comes_in_seconds(serve: Serve, status: int) -> None:
    answer = serve(f"{status}:retry-after=7").create()
    assert (answer.status_code, answer.headers["Retry-After"]) == (status, "7")


def test_retry_after_comes_as_a_date(serve: Serve) -> None:
    header = serve("429:retry-after=30:date=yes").create().headers["Retry-After"]
    assert header.endswith(" GMT")
    assert 25 < parsedate_to_datetime(header).timestamp() - time.time() <= 31


def test_an_expired_access_token_is_refused_until_another_comes(serve: Serve) -> None:
    label_studio = serve("401:requests=2")
    refresh = {"refresh": label_studio.sandbox.personal_access_token}

    def fresh() -> dict[str, str]:
        return {
            "Authorization": f"Bearer {label_studio.http.post('/api/token/refresh/', json=refresh).json()['access']}"
        }

    old = fresh()
    statuses = [label_studio.create(**old).status_code for _ in range(3)]
    statuses.append(label_studio.http.get("/api/projects/", headers=old).status_code)
    statuses.append(label_studio.create(**fresh()).status_code)
    assert statuses == [201, 401, 401, 401, 201]
    assert [entry.fault for entry in label_studio.sandbox.requests if entry.status == 401] == ["401"] * 3


def test_an_expired_access_token_may_be_refused_a_few_times_only(serve: Serve) -> None:
    label_studio = serve("401:requests=1:count=2")
    refresh = {"refresh": label_studio.sandbox.personal_access_token}
    access = label_studio.http.post("/api/token/refresh/", json=refresh).json()["access"]
    headers = {"Authorization": f"Bearer {access}"}
    assert [label_studio.create(**headers).status_code for _ in range(3)] == [401, 401, 201]


def test_the_legacy_token_is_refused_once(serve: Serve) -> None:
    label_studio = serve("401:requests=1")
    assert [label_studio.create().status_code for _ in range(2)] == [401, 201]


def test_a_truncated_answer_ends_before_its_length(serve: Serve) -> None:
    label_studio = serve("truncated")
    with pytest.raises(DROPPED, match="without sending complete message body"):
        label_studio.create()
    assert len(label_studio.titles()) == 1


def test_a_slow_answer_comes_whole_though_no_wait_is_long(serve: Serve) -> None:
    label_studio = serve("slow:seconds=4")
    began = time.monotonic()
    answer = label_studio.http.post("/api/projects/", json={"title": "Project"}, timeout=httpx.Timeout(60, read=3))
    assert time.monotonic() - began >= 4
    assert answer.json()["title"] == "Project"


@pytest.mark.parametrize(("moment", "count"), [("before", 0), ("after", 1)])
def test_a_sign_in_page_says_200(serve: Serve, moment: str, count: int) -> None:
    label_studio = serve(f"html-{moment}")
    answer = label_studio.create()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(label_studio.titles()) == count


def test_a_list_that_lags_shows_none_of_the_newest_writes(serve: Serve) -> None:
    label_studio = serve("list-lag:seconds=50")
    kept, gone = (label_studio.create(title).json()["id"] for title in ("Kept", "Gone"))
    label_studio.http.patch(f"/api/projects/{kept}/", json={"title": "Renamed"})
    label_studio.http.delete(f"/api/projects/{gone}/")
    assert label_studio.http.get("/api/projects/").json()["results"] == []
    assert label_studio.http.get(f"/api/projects/{kept}/").json()["title"] == "Renamed"
    assert label_studio.titles() == ["Renamed"]


def test_a_list_that_lags_shows_what_was_before(serve: Serve) -> None:
    label_studio = serve("list-lag:seconds=1")
    kept, gone = (label_studio.create(title).json()["id"] for title in ("Kept", "Gone"))
    while len(label_studio.http.get("/api/projects/").json()["results"]) < 2:
        pass
    label_studio.http.patch(f"/api/projects/{kept}/", json={"title": "Renamed"})
    label_studio.http.delete(f"/api/projects/{gone}/")
    lagging = [project["title"] for project in label_studio.http.get("/api/projects/").json()["results"]]
    assert lagging == ["Gone", "Kept"]
    assert label_studio.titles() == ["Renamed"]


def listed(label_studio: Served, **asked: str | int) -> list[str]:
    return [project["title"] for project in label_studio.http.get("/api/projects/", params=asked).json()["results"]]


def test_a_cached_list_is_the_first_that_was_asked_for_under_its_address(serve: Serve) -> None:
    label_studio = serve("cached:seconds=3600")
    assert listed(label_studio, page=1) == []
    label_studio.create("New")
    assert (listed(label_studio, page=1), listed(label_studio, page=1, _="nonce")) == ([], ["New"])
    assert label_studio.titles() == ["New"]


def test_a_cache_may_go_by_the_parameters_that_the_api_knows(serve: Serve) -> None:
    label_studio = serve("cached:seconds=3600:stripped=yes")
    assert listed(label_studio, _="one") == []
    label_studio.create("New")
    assert (listed(label_studio, _="two"), listed(label_studio, page_size=50)) == ([], ["New"])


def test_a_cached_list_grows_old(serve: Serve) -> None:
    label_studio = serve("cached:seconds=0.1")
    listed(label_studio)
    label_studio.create("New")
    while listed(label_studio) != ["New"]:
        pass


@pytest.mark.parametrize(
    ("order", "found"), [("id", ["A", "B", "C"]), ("pinned", ["B", "C", "A"]), ("-title", ["C", "B", "A"])]
)
def test_an_order_that_is_asked_for_is_ignored(serve: Serve, order: str, found: list[str]) -> None:
    label_studio = serve(f"unordered:order={order}")
    for letter in "ABC":
        label_studio.create(f"{letter} row")
    label_studio.plain.patch("/api/projects/2/", json={"pinned_at": "2026-01-01T00:00:00Z"})
    assert [title[0] for title in listed(label_studio, ordering="-id")] == found
    assert "ordering=-id" in label_studio.sandbox.requests[-1].query


def test_keys_are_left_out_of_some_items_of_a_list_always_the_same(serve: Serve) -> None:
    label_studio = serve("without-keys:keys=description+title:share=0.5,seed=2")
    for number in range(20):
        label_studio.create(f"Project {number}")

    def lacking() -> list[int]:
        items = label_studio.http.get("/api/projects/?page_size=100").json()["results"]
        assert all(("title" in item) == ("description" in item) for item in items)
        return [item["id"] for item in items if "description" not in item]

    assert 4 < len(lacking()) < 16
    assert lacking() == lacking()


def test_keys_are_left_out_of_the_answer_to_a_create(serve: Serve) -> None:
    label_studio = serve("without-keys:on=create")
    assert "description" not in label_studio.create().json()
    assert label_studio.http.get("/api/projects/1/").json()["description"] == ""


def test_an_answer_trickles_a_byte_at_a_time(serve: Serve) -> None:
    label_studio = serve("trickle:seconds=0.01:on=GET /api/version")
    pieces = []
    with label_studio.http.stream("GET", "/api/version/") as answer:
        for piece in answer.iter_raw():
            pieces.append(piece)
            if len(pieces) == 5:
                break
    assert [len(piece) for piece in pieces] == [1] * 5
    assert int(answer.headers["content-length"]) > 5


def test_a_change_is_answered_with_what_the_project_was(serve: Serve) -> None:
    label_studio = serve("old-body:limit=1")
    label_studio.create("Old")
    first, second = (label_studio.http.patch("/api/projects/1/", json={"title": title}) for title in ("New", "Newer"))
    assert (first.json()["title"], second.json()["title"]) == ("Old", "Newer")
    assert [len(entry.commits) for entry in label_studio.logged()] == [1, 1, 1]


def test_a_change_that_is_refused_is_answered_as_ever(serve: Serve) -> None:
    label_studio = serve("old-body")
    label_studio.create()
    assert label_studio.http.patch("/api/projects/1/", json={"title": "no"}).status_code == 400


def test_a_wait_may_stand_in_the_sentence_alone(serve: Serve) -> None:
    answer = serve("429:retry-after=48:header=no").create()
    assert "Retry-After" not in answer.headers
    assert "Expected available in 48 seconds." in answer.json()["detail"]


@pytest.mark.parametrize("header", ["yes", "no"])
def test_each_path_has_a_rate_limit_of_its_own(serve: Serve, header: str) -> None:
    label_studio = serve(f"rate-limit:rate=0.1:on=import:header={header},rate-limit:rate=0.2:on=create")
    created = [label_studio.create(), label_studio.create()]
    imported = [label_studio.http.post("/api/projects/1/import", json=[{"text": "a"}]) for _ in range(2)]
    assert [answer.status_code for answer in (*created, *imported)] == [201, 429, 201, 429]
    assert "Expected available in 10 seconds." in imported[1].json()["detail"]
    assert imported[1].headers.get("Retry-After") == ("10" if header == "yes" else None)
    assert label_studio.http.get("/api/projects/1/").status_code == 200
    assert [entry.fault for entry in label_studio.logged()] == ["", "429", "", "429"]


@pytest.mark.parametrize("seconds", [600, -600])
def test_a_clock_that_is_off_dates_answers_waits_and_projects(serve: Serve, seconds: int) -> None:
    label_studio = serve(f"clock:seconds={seconds},429:requests=2:retry-after=30:date=yes:on=create")
    made, refused = label_studio.create(), label_studio.create()
    now, date = time.time() + seconds, parsedate_to_datetime(refused.headers["Date"])
    assert abs(date.timestamp() - now) < 60
    assert 29 <= (parsedate_to_datetime(refused.headers["Retry-After"]) - date).total_seconds() <= 31
    assert abs(datetime.fromisoformat(made.json()["created_at"]).timestamp() - now) < 60


# An application that is down


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_edge_answers_for_an_application_that_is_down(serve: Serve, status: int) -> None:
    label_studio = serve(f"{status}-down:after=2:count=3")
    got = [label_studio.create().status_code, *(label_studio.http.get("/api/version/").status_code for _ in range(4))]
    got.append(label_studio.create().status_code)
    assert got == [201, 200, status, status, status, 201]
    assert label_studio.titles() == ["Project", "Project"]


def test_an_outage_ends_when_a_test_ends_it(serve: Serve) -> None:
    label_studio = serve("504-down:seconds=3600")
    assert [label_studio.create().status_code for _ in range(2)] == [504, 504]
    label_studio.sandbox.recover()
    assert [label_studio.create().status_code for _ in range(2)] == [201, 201]


def test_an_outage_has_its_time(serve: Serve) -> None:
    label_studio = serve("502-down:at=0.1:seconds=0.2")
    statuses: list[int] = []
    while statuses[-2:] != [502, 200]:
        statuses.append(label_studio.http.get("/api/version/").status_code)
    assert statuses[0] == 200


def test_connections_are_refused_until_the_server_is_back(serve: Serve) -> None:
    label_studio = serve("refused-down:after=1:seconds=3600")
    label_studio.create()
    with pytest.raises(DROPPED):
        label_studio.create()
    for _ in range(2):
        with pytest.raises(httpx.ConnectError):
            label_studio.create()
    label_studio.sandbox.recover()
    assert [label_studio.create().status_code for _ in range(2)] == [201, 201]
    assert len(label_studio.titles()) == 3


def test_connections_are_refused_for_a_while(serve: Serve) -> None:
    label_studio = serve("refused-down:seconds=0.05")
    with pytest.raises(DROPPED):
        label_studio.create()
    while True:
        try:
            assert label_studio.create().status_code == 201
        except httpx.ConnectError:
            continue
        break


def test_a_sandbox_that_is_down_stops_quietly() -> None:
    with Sandbox(faults=from_argument("refused-down:seconds=3600")) as sandbox, pytest.raises(DROPPED):
        httpx.get(f"{sandbox.url}/api/version/")


# Imports


def imported(label_studio: Served, tasks: Any = ({"text": "A review"},)) -> int:
    made = label_studio.http.post(
        "/api/project-templates/1/create-project", json={"title": "Project", "workspace_id": 1}
    )
    answer = label_studio.http.post(f"/api/projects/{made.json()['id']}/import", json=list(tasks))
    assert answer.status_code == 201
    number: int = answer.json()["import"]
    return number


def state(label_studio: Served, number: int) -> tuple[str, str | None, int]:
    body = label_studio.http.get(f"/api/projects/{number}/imports/{number}/").json()
    return body["status"], body["error"], label_studio.plain.get(f"/api/projects/{number}/").json()["task_number"]


def test_an_import_is_done_at_once_and_tells_of_it(serve: Serve) -> None:
    label_studio = serve(Faults())
    assert state(label_studio, imported(label_studio)) == ("completed", None, 1)


def test_an_import_that_does_not_fit_the_labelling_configuration_is_taken_and_fails_later(serve: Serve) -> None:
    label_studio = serve(Faults())
    number = imported(label_studio, [{"text": "A review"}, {"data": {"review": "Another"}}])
    told = (
        'Error at item 1: "text" key is expected in task data [assume: item["data"] = task root with values]'
        " :: {'data': {'review': 'Another'}}"
    )
    assert state(label_studio, number) == ("failed", told, 0)


def test_an_import_fails_for_a_reason_that_was_given(serve: Serve) -> None:
    label_studio = serve(Faults((Fault("import-failed", error="out of memory", limit=1),)))
    assert state(label_studio, imported(label_studio)) == ("failed", "out of memory", 0)
    assert state(label_studio, imported(label_studio)) == ("completed", None, 1)


def test_an_import_is_done_after_some_questions(serve: Serve) -> None:
    label_studio = serve("import-late:count=2")
    number = imported(label_studio)
    assert [state(label_studio, number) for _ in range(3)] == [
        ("created", None, 0),
        ("in_progress", None, 1),
        ("completed", None, 1),
    ]


def test_a_late_import_may_fail(serve: Serve) -> None:
    label_studio = serve("import-late:count=1,import-failed")
    number = imported(label_studio)
    assert [state(label_studio, number) for _ in range(2)] == [
        ("created", None, 0),
        ("failed", "the import was stopped", 0),
    ]


def test_an_import_is_done_after_some_time(serve: Serve) -> None:
    label_studio = serve("import-late:seconds=0.05")
    number = imported(label_studio)
    assert label_studio.sandbox.settle()
    assert state(label_studio, number) == ("completed", None, 1)


def test_an_import_ends_when_a_test_finishes_it(serve: Serve) -> None:
    label_studio = serve("import-late:count=1000000")
    number = imported(label_studio)
    assert state(label_studio, number) == ("created", None, 0)
    label_studio.sandbox.finish_imports()
    assert state(label_studio, number) == ("completed", None, 1)


def test_the_state_of_an_import_is_that_of_its_project_alone(serve: Serve) -> None:
    label_studio = serve(Faults())
    number = imported(label_studio)
    imported(label_studio)
    assert label_studio.http.get(f"/api/projects/{number + 1}/imports/{number}/").status_code == 404


def test_one_request_asks_for_a_fault_of_its_own(serve: Serve) -> None:
    label_studio = serve(Faults())
    with pytest.raises(DROPPED):
        label_studio.create("Lost", **{"X-Sandbox-Fault": "lost-after"})
    assert label_studio.create("Answered").status_code == 201
    assert label_studio.titles() == ["Answered", "Lost"]


def test_a_header_works_on_a_sandbox_without_faults() -> None:
    with Sandbox() as sandbox, ExitStack() as stack:
        label_studio = Served(sandbox, stack)
        answer = label_studio.create(**{"X-Sandbox-Fault": "429:retry-after=3"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        pytest.param("lost", "", id="valid, for contrast"),
        pytest.param("lots", "'lots' is not a kind of fault", id="no such kind"),
        pytest.param("lost=0.5", "the header is about its own request", id="a probability"),
        pytest.param("lost:on=list", "the header is about its own request", id="routes"),
        pytest.param("list-lag", "start it with the fault list-lag=0", id="a past that is not kept"),
        pytest.param("502-down", "is about many requests: start the sandbox with it", id="an outage"),
        pytest.param("cached", "is about many requests: start the sandbox with it", id="a cache"),
    ],
)
def test_a_wrong_header_is_answered_400(serve: Serve, header: str, detail: str) -> None:
    label_studio = serve(Faults())
    if not detail:
        with pytest.raises(DROPPED):
            label_studio.create(**{"X-Sandbox-Fault": header})
        return
    answer = label_studio.create(**{"X-Sandbox-Fault": header})
    assert answer.status_code == 400
    assert detail in answer.json()["detail"]


# Which requests


def pattern(faults: str, label_studio: Served) -> list[str]:
    for number in range(40):
        label_studio.create(f"Project {number}")
    return [entry.fault for entry in label_studio.logged()]


def test_the_same_seed_spoils_the_same_requests(serve: Serve) -> None:
    spec = "502=0.3,429=0.1,seed={}"
    first, again, other = (pattern(spec, serve(spec.format(seed))) for seed in (7, 7, 8))
    assert first == again != other
    assert 5 <= sum("502" in fault for fault in first) <= 20


def test_another_fault_leaves_the_first_ones_requests(serve: Serve) -> None:
    alone, beside = (pattern(spec, serve(spec)) for spec in ("502=0.3,seed=7", "replay=0.5,502=0.3,seed=7"))
    assert ["502" in fault for fault in alone] == ["502" in fault for fault in beside]


def test_requests_are_counted_by_route(serve: Serve) -> None:
    label_studio = serve("502:requests=2:on=create+update")
    ids = [label_studio.create().status_code for _ in range(3)]
    changed = [label_studio.http.patch("/api/projects/1/", json={}).status_code for _ in range(3)]
    assert (ids, changed) == ([201, 502, 201], [200, 502, 200])


def test_a_limit_ends_a_fault(serve: Serve) -> None:
    label_studio = serve("502:limit=2")
    assert [label_studio.create().status_code for _ in range(4)] == [502, 502, 201, 201]


@pytest.mark.parametrize(
    ("on", "statuses"),
    [
        pytest.param("", [502, 502, 502, 200, 200, 200], id="by default the writes"),
        pytest.param("create", [502, 200, 204, 200, 404, 200], id="a group"),
        pytest.param("list+delete", [201, 200, 502, 502, 200, 200], id="two groups"),
        pytest.param("all", [502] * 6, id="all"),
        pytest.param("GET /api/projects/{id}", [201, 200, 204, 200, 502, 200], id="a route"),
    ],
)
def test_a_fault_is_of_certain_routes(serve: Serve, on: str, statuses: list[int]) -> None:
    label_studio = serve("502" + (f":on={on}" if on else ""))
    label_studio.plain.post("/api/projects/", json={"title": "Project"})
    got = [
        label_studio.http.post("/api/projects/", json={"title": "Project"}),
        label_studio.http.patch("/api/projects/1/", json={}),
        label_studio.http.delete("/api/projects/1/"),
        label_studio.http.get("/api/projects"),
        label_studio.http.get("/api/projects/1/"),
        label_studio.http.get("/api/version/"),
    ]
    assert [answer.status_code for answer in got] == statuses


# How faults are written


WRITTEN = (
    "lost-after=0.2:on=create:limit=3,429-before:on=writes:retry-after=3:date=yes,replay:requests=1+4:on=create,"
    "without-keys:on=list:keys=title+description,unordered:on=list:order=-title,503-down:on=all:after=55:at=4.5,seed=7"
)
LISTED = {
    "seed": 7,
    "faults": [
        {"kind": "lost-after", "probability": 0.2, "on": "create", "limit": 3},
        {"kind": "429", "on": ["writes"], "retry-after": 3, "date": True},
        {"kind": "replay", "requests": [1, 4]},
        {"kind": "without-keys", "keys": ["title", "description"]},
        {"kind": "unordered", "order": "-title"},
        {"kind": "503-down", "after": 55, "at": 4.5},
    ],
}


def test_text_and_file_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text(json.dumps(LISTED))
    faults = from_argument(str(tmp_path / "faults.json"))
    assert faults == from_argument(WRITTEN)
    assert str(faults) == WRITTEN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("lots=0.2", "in 'lots=0.2', 'lots' is not a kind of fault: give one of lost, held", id="kind"),
        pytest.param("lost=2", "its probability is 2: give a number from 0 to 1", id="probability"),
        pytest.param("lost=often", "probability is 'often': give a number", id="no number"),
        pytest.param("lost=", "probability is '': give a number", id="nothing"),
        pytest.param("lost:seconds=3", "lost-before has no parameter seconds: it takes none", id="parameter"),
        pytest.param("late", "'late' is not a kind of fault", id="a moment alone"),
        pytest.param("lost-late:seconds=-1", "its seconds is -1: give 0 to 3600", id="bounds"),
        pytest.param("list-lag:seconds=3601", "its seconds is 3601: give 0 to 3600", id="a past too long ago"),
        pytest.param("replay:copies=1.5", "copies is '1.5': give a whole number", id="half a copy"),
        pytest.param("lost:requests=0", "requests are counted from 1", id="request 0"),
        pytest.param("lost:on=everything", "'everything' is not a route: give one of create, update", id="route"),
        pytest.param("lost:limit=-1", "its limit is -1: give a number of requests", id="limit"),
        pytest.param("replay:twice=yes", "'twice' means nothing: give probability, requests, on, limit", id="word"),
        pytest.param("429:date=soon", "date is 'soon': give yes or no", id="flag"),
        pytest.param("502-down:requests=3", "502-down begins once: give after or at", id="an outage at a request"),
        pytest.param("429-down", "'429-down' is not a kind of fault", id="an edge that throttles"),
        pytest.param("rate-limit=0.5", "rate-limit holds for every request", id="a limit for some"),
        pytest.param("rate-limit:rate=0", "rate-limit holds for every request", id="a limit that takes nothing"),
        pytest.param("clock:seconds=-4000", "its seconds is -4000: give -3600 to 3600", id="a clock"),
        pytest.param("unordered:order=", "order is '': give a text", id="no text"),
        pytest.param("old-body:keys=id", "old-body has no parameter keys: it takes none", id="keys"),
        pytest.param("lost,seed=x", "in 'seed=x', seed is 'x': give a number", id="seed"),
        pytest.param("", "no faults are named", id="empty"),
    ],
)
def test_a_bad_specification_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    assert sandbox_main(["--faults", text]) == 2
    assert stencil_main(["sandbox", "--faults", text]) == 2
    errors = capsys.readouterr().err
    assert told in errors
    assert errors.count("\n") == 2


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(None, "the file can't be read (No such file or directory)", id="no file"),
        pytest.param("{", "the file is not JSON", id="no JSON"),
        pytest.param("[" * 100_000, "the file is nested too deeply", id="deep"),
        pytest.param("[]", "the file has no list of faults", id="a list"),
        pytest.param('{"faults": [], "speed": 1}', "'speed' means nothing here: give seed and faults", id="a word"),
        pytest.param('{"faults": [{"kind": "502"}, {}]}', "in fault 2, it has no kind", id="no kind"),
        pytest.param('{"faults": [{"kind": "502", "limit": true}]}', "limit is True: give a number", id="a flag"),
        pytest.param(
            '{"faults": [{"kind": "502", "on": [[1]]}]}', "in fault 1, 502-before: '[1]' is not a route", id="on"
        ),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "faults.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadFaults) as caught:
        from_argument(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


# What Stencil makes of it, and what a loop does


def titles(rows: int) -> list[str]:
    return [f"Reviews {number}" for number in range(rows)]


PATIENCE = Patience(unanswered=(0.05, 0.1), rivals=0.3, late=0.5, fresh=5, lag=0.1)


def batch(sandbox: Sandbox, folder: Path, rows: int) -> Report:
    sheet = folder / "sheet.csv"
    lines = [f"{title},1,1,{number % 9 + 1}" for number, title in enumerate(titles(rows))]
    sheet.write_text("\n".join(["title,template,workspace,maximum_annotations", *lines]))

    async def create() -> Report:
        settings = LabelStudioSettings(sandbox.url, SecretStr(sandbox.token))
        async with open_label_studio(settings, Options()) as label_studio:
            return await provision(
                check(read_sheet(sheet), Options()),
                Options(),
                label_studio,
                patience=PATIENCE,
                retries=Retries(delays=(0.01,) * 30, jitter=0),
            )

    return asyncio.run(create())


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param("lost-before=0.1:limit=2,lost-after=0.2,seed=3", id="lost answers"),
        pytest.param("replay=0.3:copies=3,502-after=0.1,seed=3", id="replays"),
        pytest.param("lost-late=0.1:seconds=0.2,504-late=0.1:seconds=0.2:reserve=yes,seed=3", id="late commits"),
        pytest.param("list-lag:seconds=0.2,lost-after=0.2,truncated=0.1,html-after=0.1,seed=3", id="a list that lags"),
    ],
)
def test_a_batch_makes_each_row_exactly_once(serve: Serve, tmp_path: Path, faults: str) -> None:
    label_studio = serve(faults)
    report = batch(label_studio.sandbox, tmp_path, 60)
    assert label_studio.sandbox.settle()
    found = label_studio.plain.get("/api/projects/?page_size=100").json()["results"]
    made = {project["title"]: (project["id"], project["maximum_annotations"]) for project in found}
    assert Counter(project["title"] for project in found) == Counter(titles(60))
    assert [made[title][1] for title in titles(60)] == [number % 9 + 1 for number in range(60)]
    assert [(row.outcome, row.project_id) for row in report.rows] == [
        (Outcome.CREATED, made[title][0]) for title in titles(60)
    ]
    assert sum(bool(entry.fault) for entry in label_studio.logged()) > 10


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param("cached:seconds=0.5:stripped=yes", id="a cache"),
        pytest.param("unordered:order=pinned,unordered:order=title", id="an order that is ignored"),
        pytest.param(
            "without-keys:keys=description+workspace:share=0.4,without-keys:on=create", id="keys that are missing"
        ),
        pytest.param("old-body:requests=1+3+5", id="old answers"),
        pytest.param("502-down:after=18:count=6", id="an outage"),
        pytest.param("clock:seconds=-600,429=0.1:retry-after=1:date=yes,seed=1", id="a clock that is behind"),
    ],
)
def test_a_batch_and_its_rerun_make_each_row_once_on_a_server_that_differs(
    serve: Serve, tmp_path: Path, faults: str
) -> None:
    label_studio = serve(faults)
    for outcome in (Outcome.CREATED, Outcome.EXISTS):
        report = batch(label_studio.sandbox, tmp_path, 12)
        assert {row.outcome for row in report.rows} == {outcome}
        assert Counter(label_studio.titles()) == Counter(titles(12))
    assert any(entry.fault for entry in label_studio.sandbox.requests)


def test_a_loop_with_the_official_client_makes_a_twin_of_each_answer_lost(serve: Serve) -> None:
    # The client waits for seconds before it tries again, so only a few answers are lost.
    label_studio = serve("502-after:requests=3+21+22,500-after:requests=9,lost-after:requests=15")
    client = LabelStudio(
        base_url=label_studio.sandbox.url, api_key=label_studio.sandbox.token, httpx_client=label_studio.client({})
    )
    for title in titles(30):
        client.project_templates.create_project_from_template(1, title=title, workspace_id=1)
    counted = Counter(label_studio.titles())
    assert set(counted) == set(titles(30))
    assert sorted(counted.values())[-5:] == [1, 2, 2, 2, 3]
