"""Reads are repeated until they succeed or it is hopeless, and pages come as the server has them."""

import asyncio
import logging

import httpx
import pytest

from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected, Throttled, Unsure
from label_studio_stencil.labelstudio.models import LIGHT_FIELDS, Edition
from label_studio_stencil.labelstudio.pacing import Pacer
from tests.labelstudio.scripted import Script, answer, html, project
from tests.labelstudio.virtual import VirtualClock

PAGE = answer(200, {"count": 1, "next": None, "previous": None, "results": [project()]})
USER = answer(200, {"id": 5, "email": "a@example.com"})


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadTimeout(""),
        httpx.ConnectError("refused"),
        answer(500, {"detail": "x"}),
        html(502),
        html(200),
    ],
    ids=["timeout", "refused", "500", "502", "page"],
)
async def test_a_read_is_tried_four_times(failure: httpx.Response | httpx.HTTPError, clock: VirtualClock) -> None:
    script = Script(failure, failure, failure, USER)
    assert (await script.label_studio(clock).whoami()).id == 5
    assert len(script.requests) == 4


async def test_a_read_gives_up_after_four_tries_that_take_longer_and_longer(clock: VirtualClock) -> None:
    script = Script(httpx.ReadTimeout(""))
    with pytest.raises(Unsure):
        await script.label_studio(clock).whoami()
    assert len(script.requests) == 4
    assert clock.slept == sorted(clock.slept)
    assert 0.375 <= clock.slept[0] <= 0.625
    assert 1.5 <= clock.slept[2] <= 2.5


async def test_whoever_waits_for_a_server_that_does_not_answer_is_told(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    await Script(httpx.ReadTimeout(""), html(502), USER).label_studio(clock).whoami()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == [
        "GET https://studio.test/api/current-user/whoami: no answer within 60 s. Trying again, at most 3 more times."
    ]


async def test_a_rejected_read_is_not_repeated(clock: VirtualClock) -> None:
    script = Script(answer(404, {"detail": "No Project matches the given query."}))
    with pytest.raises(Rejected) as caught:
        await script.label_studio(clock).project(7)
    assert caught.value.status == 404
    assert len(script.requests) == 1


async def test_a_redirected_read_is_not_repeated(clock: VirtualClock) -> None:
    script = Script(httpx.Response(302, headers={"location": "/user/login/"}))
    with pytest.raises(Unsure):
        await script.label_studio(clock).whoami()
    assert len(script.requests) == 1


async def test_being_throttled_is_no_try(clock: VirtualClock) -> None:
    script = Script(*[answer(429, None, retry_after="20")] * 10, USER)
    assert (await script.label_studio(clock).whoami()).id == 5
    assert clock.now() == pytest.approx(1200)


async def test_a_read_is_not_throttled_for_ever(clock: VirtualClock) -> None:
    script = Script(answer(429, None, retry_after="290"))
    with pytest.raises(Throttled):
        await script.label_studio(clock).whoami()
    assert len(script.requests) == 3


async def test_a_refusal_holds_back_the_whole_batch(clock: VirtualClock) -> None:
    times: list[float] = []

    def serve(request: httpx.Request) -> httpx.Response:
        times.append(clock.now())
        return USER if len(times) > 3 else answer(429, None, retry_after="30")

    label_studio = Script(serve).label_studio(clock, pacer=Pacer(max_concurrency=1, clock=clock))
    await asyncio.gather(*(label_studio.whoami() for _ in range(8)))
    assert times[:4] == pytest.approx([1000, 1030, 1060, 1090])
    assert label_studio.pacer.paused_for == pytest.approx(90)


async def test_a_refused_create_holds_back_the_whole_batch(clock: VirtualClock) -> None:
    label_studio = Script(answer(429, None, retry_after="30"), USER).label_studio(clock)
    with pytest.raises(Throttled):
        await label_studio.create_project({})
    assert clock.now() == 1000
    await label_studio.whoami()
    assert clock.now() == pytest.approx(1030)


async def test_a_refused_import_holds_back_imports_alone(clock: VirtualClock) -> None:
    script = Script(answer(429, None, retry_after="30"), USER, answer(201, {"import": 1}))
    label_studio = script.label_studio(clock)
    with pytest.raises(Throttled):
        await label_studio.import_tasks(7, [])
    await label_studio.whoami()
    assert clock.now() == 1000
    await label_studio.import_tasks(7, [])
    assert clock.now() == pytest.approx(1030)


async def test_maintenance_holds_back_everything_whatever_was_asked(clock: VirtualClock) -> None:
    label_studio = Script(answer(503, None, retry_after="30"), USER).label_studio(clock)
    with pytest.raises(Throttled):
        await label_studio.import_tasks(7, [])
    await label_studio.whoami()
    assert clock.now() == pytest.approx(1030)


async def test_no_cache_can_answer_a_read(clock: VirtualClock) -> None:
    script = Script(PAGE)
    label_studio = script.label_studio(clock)
    for _ in range(2):
        await label_studio.list_page(1)
    first, second = script.requests
    assert first.headers["cache-control"] == "no-cache"
    assert first.url != second.url
    assert {name for name, value in first.url.params.items() if second.url.params[name] != value} == {"_"}


async def test_a_page_asks_for_what_was_named_and_keeps_nothing_else(clock: VirtualClock) -> None:
    script = Script(answer(200, {"count": 201, "next": "x", "results": [project(color="#ffffff", task_number=3)]}))
    page = await script.label_studio(clock).list_page(2, fields=("color",), title="bi", ids=(7, 8))
    assert dict(script.requests[0].url.params.remove("_")) == {
        "page": "2",
        "page_size": "100",
        "ordering": "-id",
        "title": "bi",
        "ids": "7,8",
        "include": "id,title,created_at,color",
    }
    assert (page.count, page.has_next) == (201, True)
    assert page.projects[0].settings == {"color": "#ffffff"}
    assert page.projects[0].tasks == 3


async def test_a_page_without_named_fields_is_whole(clock: VirtualClock) -> None:
    script = Script(answer(200, {"count": 1, "next": None, "results": [project(color="#ffffff")]}))
    page = await script.label_studio(clock).list_page(1)
    assert "include" not in script.requests[0].url.params
    assert page.projects[0].settings == {"color": "#ffffff"}
    assert not page.has_next


async def test_past_the_last_page_is_an_empty_page(clock: VirtualClock) -> None:
    page = await Script(answer(404, {"detail": "Invalid page."})).label_studio(clock).list_page(9)
    assert (page.projects, page.has_next) == ([], False)


async def test_a_server_without_projects_is_no_empty_page(clock: VirtualClock) -> None:
    with pytest.raises(Rejected):
        await Script(html(404)).label_studio(clock).list_page(1)


async def test_a_server_that_refuses_to_trim_pages_is_asked_for_whole_ones(clock: VirtualClock) -> None:
    script = Script(answer(400, {"detail": "Validation error", "validation_errors": {"include": ["No."]}}), PAGE)
    label_studio = script.label_studio(clock)
    for _ in range(2):
        assert (await label_studio.list_page(1, fields=LIGHT_FIELDS)).projects[0].id == 7
    assert ["include" in request.url.params for request in script.requests] == [True, False, False]


@pytest.mark.parametrize(
    "body",
    [[], {"results": []}, {"count": 1}, {"count": 1, "results": [{}]}],
    ids=["list", "count", "results", "id"],
)
async def test_what_is_no_page_is_an_unexpected_answer(body: object, clock: VirtualClock) -> None:
    with pytest.raises(Unsure, match="unexpected answer"):
        await Script(httpx.Response(200, json=body)).label_studio(clock).list_page(1)


async def test_projects_are_counted_in_one_small_request(clock: VirtualClock) -> None:
    script = Script(answer(200, {"count": 12_345, "next": "x", "results": [project()]}))
    assert await script.label_studio(clock).count_projects() == 12_345
    assert script.requests[0].url.params["page_size"] == "1"


@pytest.mark.parametrize(
    ("body", "edition"),
    [
        ({"release": "1.23.2", "edition": "Community"}, Edition.COMMUNITY),
        ({"release": "2.30", "edition": "Enterprise"}, Edition.ENTERPRISE),
        ({"release": "2.30", "edition": "Starter Cloud"}, Edition.ENTERPRISE),
        ({"release": "2.4", "label-studio-enterprise-package": {}}, Edition.ENTERPRISE),
        ({"release": "1.5"}, Edition.COMMUNITY),
    ],
    ids=["community", "enterprise", "starter", "old enterprise", "old community"],
)
async def test_the_edition_is_read_without_the_token(
    body: dict[str, object], edition: Edition, clock: VirtualClock
) -> None:
    script = Script(httpx.Response(200, json=body))
    version = await script.label_studio(clock).version()
    assert (version.release, version.edition) == (body["release"], edition)
    assert "authorization" not in script.requests[0].headers


async def test_a_server_that_names_no_release_is_hardly_label_studio(clock: VirtualClock) -> None:
    with pytest.raises(Unsure, match="probably not Label Studio"):
        await Script(answer(200, {"status": "ok"})).label_studio(clock).version()


async def test_connections_to_community_over_plain_http_are_not_kept(clock: VirtualClock) -> None:
    script = Script(answer(200, {"release": "1", "edition": "Community"}), USER)
    label_studio = LabelStudio("http://localhost:8080", "a" * 40, transport=script, clock=clock)
    await label_studio.version()
    await label_studio.whoami()
    assert [request.headers["connection"] for request in script.requests] == ["keep-alive", "close"]


async def test_requests_are_counted_by_method_and_timed(clock: VirtualClock) -> None:
    label_studio = Script(USER, PAGE, answer(201, project()), answer(204), httpx.ReadError("")).label_studio(clock)
    await label_studio.whoami()
    await label_studio.count_projects()
    await clock.sleep(5)
    await label_studio.create_project({})
    await label_studio.delete_project(7)
    with pytest.raises(Unsure):
        await label_studio.update_project(7, {})
    assert label_studio.sent == {"GET": 2, "POST": 1, "DELETE": 1, "PATCH": 1}
    assert label_studio.requests_sent == 5
    assert (label_studio.first_sent, label_studio.last_answered) == (1000, 1005)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (answer(400, {"label_config": ["no"]}), "no"),
        (html(403), "something in front of Label Studio answered 403 with text/html"),
        (
            html(413),
            "a proxy in front of Label Studio refuses a request of 0.0 MB. "
            "Raise its limit (nginx: client_max_body_size).",
        ),
        (answer(500, {"detail": "boom"}), "the server answered 500: boom"),
    ],
    ids=["refused", "a firewall", "too large", "a fault of the server"],
)
async def test_whatever_is_answered_about_an_interface_is_about_that_interface(
    clock: VirtualClock, said: httpx.Response, fault: str
) -> None:
    studio = Script(said).label_studio(clock)
    assert await studio.interface_faults("<View/>") == [fault]


async def test_an_interface_is_not_blamed_for_an_outage(clock: VirtualClock) -> None:
    with pytest.raises(Unsure):
        await Script(html(502)).label_studio(clock).interface_faults("<View/>")


async def test_a_request_that_is_too_large_for_a_proxy_was_refused_for_certain(clock: VirtualClock) -> None:
    with pytest.raises(Rejected, match=r"refuses a request of 1\.4 MB \(413\)\. Raise its limit") as caught:
        await Script(html(413)).label_studio(clock).import_tasks(7, [{"data": {"text": "x" * 1_400_000}}])
    assert caught.value.status == 413
