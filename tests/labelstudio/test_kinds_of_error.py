"""Every shape of answer is one of the four kinds of error, and says what the server said."""

import pickle
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected, Throttled, Unauthorized, Unsure
from tests.labelstudio.scripted import PERSONAL, Script, Step, answer, html, project
from tests.labelstudio.virtual import VirtualClock

VALIDATION: dict[str, JSON] = {
    "id": "5e2b6c4e-0000-4000-8000-000000000001",
    "status_code": 400,
    "detail": "Validation error",
    "validation_errors": {
        "title": ["Ensure this field has at least 3 characters."],
        "color": ["Bad.", "Worse."],
    },
}

#: Every way a request may end badly: what comes back, and the kind of error it must become.
SHAPES: dict[str, tuple[Step, type[LabelStudioError]]] = {
    "validation": (answer(400, VALIDATION), Rejected),
    "bare fields": (answer(400, {"label_config": ["mismatched tag"]}), Rejected),
    "forbidden": (answer(403, {"detail": "No."}), Rejected),
    "conflict": (answer(409, {"detail": "Again?"}), Rejected),
    "gone": (answer(404, {"detail": "No Project matches the given query."}), Rejected),
    "no such endpoint": (html(404), Rejected),
    "no such method": (html(405), Rejected),
    "refused token": (answer(401, {"detail": "Invalid token."}), Unauthorized),
    "refused by a proxy": (html(401), Unauthorized),
    "too fast": (answer(429, {"detail": "Slow down."}, retry_after="2"), Throttled),
    "too fast, in HTML": (html(429), Throttled),
    "out of service for now": (answer(503, None, retry_after="3"), Throttled),
    "out of service": (answer(503, {"detail": "x"}), Unsure),
    "server error": (
        answer(500, {"status_code": 500, "detail": "'NoneType' object has no attribute"}),
        Unsure,
    ),
    "bad gateway": (html(502), Unsure),
    "gateway timeout": (html(504), Unsure),
    "request timeout": (answer(408, {"detail": "x"}), Unsure),
    "forbidden by a gateway": (html(403), Unsure),
    "JSON by chance": (httpx.Response(403, text='{"detail": "x"}'), Unsure),
    "404 that is no page": (httpx.Response(404, text="no"), Unsure),
    "truncated refusal": (
        httpx.Response(400, content=b'{"detail": "Val', headers={"content-type": "application/json"}),
        Unsure,
    ),
    "redirect": (httpx.Response(301, headers={"location": "https://other.test/api"}), Unsure),
    "redirect to nowhere": (httpx.Response(304), Unsure),
    "login page": (html(200), Unsure),
    "success that is JSON by chance": (httpx.Response(201, text='{"id": 7, "title": "Birds"}'), Unsure),
    "truncated": (
        httpx.Response(201, content=b'{"id": 7, "ti', headers={"content-type": "application/json"}),
        Unsure,
    ),
    "cut off": (
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        Unsure,
    ),
    "dropped": (httpx.ReadError("reset"), Unsure),
    "unwritten": (httpx.WriteError("broken pipe"), Unsure),
    "slow": (httpx.ReadTimeout("slow"), Unsure),
    "slow to take": (httpx.WriteTimeout("slow"), Unsure),
    "undecodable": (httpx.DecodingError("bad gzip"), Unsure),
    "refused connection": (httpx.ConnectError("refused"), Unsure),
    "slow connection": (httpx.ConnectTimeout("slow"), Unsure),
    "no free connection": (httpx.PoolTimeout("none"), Unsure),
}

WRITES: dict[str, Callable[[LabelStudio], Awaitable[object]]] = {
    "create from template": lambda label_studio: label_studio.create_from_template(
        3, title="Birds", description="", workspace=1
    ),
    "create": lambda label_studio: label_studio.create_project({"title": "Birds"}),
    "update": lambda label_studio: label_studio.update_project(7, {"title": "Birds"}),
    "delete": lambda label_studio: label_studio.delete_project(7),
}


async def failure(step: Step, clock: VirtualClock) -> LabelStudioError:
    with pytest.raises(LabelStudioError) as caught:
        await Script(step).label_studio(clock).create_project({"title": "Birds"})
    return caught.value


@pytest.mark.parametrize(("step", "kind"), SHAPES.values(), ids=SHAPES.keys())
async def test_each_shape_is_of_one_kind_and_names_the_request(
    step: Step, kind: type[LabelStudioError], clock: VirtualClock
) -> None:
    error = await failure(step, clock)
    assert type(error) is kind
    of_connection = not isinstance(error, Rejected) or error.absent
    assert str(error).startswith(f"POST {'https://studio.test' if of_connection else ''}/api/projects/")
    assert (error.method, error.path) == ("POST", "/api/projects/")
    assert error.status == (step.status_code if isinstance(step, httpx.Response) else None)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("step", [step for step, _ in SHAPES.values()], ids=SHAPES.keys())
async def test_a_write_is_sent_once_however_it_ends(
    step: Step, write: Callable[[LabelStudio], Awaitable[object]], clock: VirtualClock
) -> None:
    script = Script(step)
    # A deletion does not look at what came back with a success.
    with suppress(LabelStudioError):
        await write(script.label_studio(clock))
    assert len(script.requests) == 1


async def test_a_create_whose_answer_is_no_project_is_unsure_and_sent_once(clock: VirtualClock) -> None:
    bodies: list[JSON] = [{"title": "Birds"}, [], None, {"id": True, "title": ""}]
    for body in bodies:
        script = Script(answer(201, body))
        with pytest.raises(Unsure, match="unexpected answer"):
            await script.label_studio(clock).create_project({})
        assert len(script.requests) == 1


async def test_a_rejection_passes_on_the_servers_words_by_field_and_the_id_in_its_log(
    clock: VirtualClock,
) -> None:
    error = await failure(answer(400, VALIDATION), clock)
    assert isinstance(error, Rejected)
    assert error.fields["color"] == ["Bad.", "Worse."]
    assert error.detail == "Validation error"
    assert error.reference == VALIDATION["id"]
    assert str(error) == (
        "POST /api/projects/ was rejected (400): title: Ensure this field has at least 3 characters.; "
        "color: Bad. Worse. (in the server's log: 5e2b6c4e-0000-4000-8000-000000000001)"
    )


async def test_a_rejection_without_the_usual_envelope_is_read_as_fields(clock: VirtualClock) -> None:
    error = await failure(answer(400, {"label_config": ["mismatched tag"]}), clock)
    assert isinstance(error, Rejected)
    assert error.fields == {"label_config": ["mismatched tag"]}


async def test_an_absent_endpoint_is_distinguished_from_an_absent_object(clock: VirtualClock) -> None:
    missing = await failure(answer(404, {"detail": "No Project matches the given query."}), clock)
    assert isinstance(missing, Rejected)
    assert not missing.absent
    with pytest.raises(
        Rejected, match=r"no such endpoint .*Only Label Studio Enterprise has project templates"
    ) as caught:
        await Script(html(404)).label_studio(clock).workspaces()
    assert caught.value.absent


async def test_a_page_in_place_of_a_project_says_nothing_of_the_project(clock: VirtualClock) -> None:
    """The application says in JSON that one is gone; a proxy that has lost its server shows a page of its own."""
    for status in (404, 405):
        with pytest.raises(Unsure):
            await Script(html(status)).label_studio(clock).update_project(7, {})


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7),
        ({"retry_after": "2.5"}, 2.5),
        ({"retry_after": "Tue, 24 Nov 2026 12:00:20 GMT"}, 1),
        ({"x_ratelimit_reset": "1795521609"}, 1),
        ({"retry_after": "Tue, 24 Nov 2026 12:10:20 GMT", "date": "Tue, 24 Nov 2026 12:10:18 GMT"}, 2),
        ({"retry_after": "Tue, 24 Nov 2026 11:50:20 GMT", "date": "Tue, 24 Nov 2026 11:50:18 GMT"}, 2),
        ({"x_ratelimit_reset": "1795521609", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 9),
        ({"retry_after": "4", "x_ratelimit_reset": "1795521609"}, 4),
        ({}, 1),
        ({"retry_after": "soon"}, 1),
        ({"retry_after": "Tue, 24 Nov 99999999999 11:00:00 GMT"}, 1),
        ({"retry_after": "nan"}, 1),
        ({"retry_after": "86400"}, 300),
        ({"retry_after": "-5"}, 0.1),
        ({"retry_after": "Tue, 24 Nov 2026 11:00:00 GMT", "date": "Tue, 24 Nov 2026 12:00:00 GMT"}, 0.1),
    ],
    ids=str,
)
async def test_a_throttled_request_says_how_long_to_wait_by_the_servers_own_clock(
    headers: dict[str, str], seconds: float, clock: VirtualClock
) -> None:
    error = await failure(answer(429, None, **headers), clock)
    assert isinstance(error, Throttled)
    assert error.retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Request was throttled. Expected available in 48 seconds.", 48),
        ("Request was throttled. Expected available in 1 second.", 1),
        ("Try again in 2 minutes", 120),
        ("Please wait for 30 secs.", 30),
        ("Retry after about 1.5 min", 90),
        ("too many requests, try again in 400ms", 0.4),
        ("retry_after: 12", 12),
        ("Rate limit exceeded: 15 per 1 second", 1),
        ("In 12 projects too much was asked.", 1),
        ("Slow down.", 1),
    ],
)
async def test_a_wait_that_only_the_words_of_a_refusal_name_is_waited(
    said: str, seconds: float, clock: VirtualClock
) -> None:
    for refusal in (answer(429, {"detail": said}), httpx.Response(429, text=said)):
        error = await failure(refusal, clock)
        assert isinstance(error, Throttled)
        assert error.retry_after == pytest.approx(seconds)


@pytest.mark.parametrize("shape", ["refused connection", "slow connection", "no free connection"])
async def test_what_never_left_is_not_counted_and_says_so(shape: str, clock: VirtualClock) -> None:
    label_studio = Script(SHAPES[shape][0]).label_studio(clock)
    with pytest.raises(Unsure, match="it was not sent") as caught:
        await label_studio.create_project({})
    assert not caught.value.sent
    assert label_studio.requests_sent == 0


@pytest.mark.parametrize("shape", ["slow", "dropped", "cut off", "server error", "redirect", "login page"])
async def test_what_may_have_been_carried_out_says_so(shape: str, clock: VirtualClock) -> None:
    error = await failure(SHAPES[shape][0], clock)
    assert isinstance(error, Unsure)
    assert error.sent
    assert "it may have been carried out" in str(error)


async def test_a_redirect_names_the_host_it_points_to(clock: VirtualClock) -> None:
    assert "redirects to https://other.test;" in str(await failure(SHAPES["redirect"][0], clock))


async def test_a_redirect_within_the_server_names_the_path_and_doubts_the_address(clock: VirtualClock) -> None:
    there = httpx.Response(307, headers={"location": "https://studio.test/dashboard"})
    error = await failure(there, clock)
    assert "redirects to /dashboard" in str(error)
    assert error.hint.startswith("Is a Label Studio at LABEL_STUDIO_URL")


async def test_a_timeout_says_how_long_was_waited(clock: VirtualClock) -> None:
    with pytest.raises(Unsure, match="no answer within 12 s"):
        await Script(httpx.ReadTimeout("")).label_studio(clock, timeout=12).create_project({})


async def test_the_refusal_of_a_legacy_token_is_passed_on_with_advice(clock: VirtualClock) -> None:
    said = "legacy token authentication has been disabled for this organization"
    error = await failure(answer(401, {"detail": said}), clock)
    assert said in str(error)
    assert "personal access token" in str(error)


async def test_a_long_complaint_is_cut(clock: VirtualClock) -> None:
    assert len(str(await failure(answer(400, {"detail": "x" * 100_000}), clock))) < 1000


@pytest.mark.parametrize(("step", "kind"), SHAPES.values(), ids=SHAPES.keys())
async def test_an_error_survives_pickling(step: Step, kind: type[LabelStudioError], clock: VirtualClock) -> None:
    error = await failure(step, clock)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "refresh",
    [httpx.ReadTimeout(""), html(502), answer(429, None, retry_after="300")],
    ids=["slow", "502", "429"],
)
async def test_a_create_whose_token_could_not_be_renewed_was_not_sent(refresh: Step, clock: VirtualClock) -> None:
    script = Script(refresh)
    with pytest.raises(Unsure, match="could not be renewed") as caught:
        await script.label_studio(clock, PERSONAL).create_project(project())
    assert not caught.value.sent
    assert {request.url.path for request in script.requests} == {"/api/token/refresh/"}
