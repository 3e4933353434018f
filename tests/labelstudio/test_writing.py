"""What a write sends, to the letter."""

import asyncio
import json
from datetime import UTC, datetime

import httpx
import pytest

from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.labelstudio.pacing import Pacer
from tests.labelstudio.scripted import PERSONAL, Script, answer, project, sent
from tests.labelstudio.virtual import VirtualClock


@pytest.mark.parametrize(
    ("workspace", "body"),
    [
        (4, {"title": "Birds", "description": "d", "workspace_id": 4}),
        (None, {"title": "Birds", "description": "d"}),
    ],
    ids=["workspace", "no workspace"],
)
async def test_a_create_from_a_template_sends_its_three_fields(
    workspace: int | None, body: dict[str, object], clock: VirtualClock
) -> None:
    script = Script(answer(201, project(workspace=4)))
    made = await script.label_studio(clock).create_from_template(3, title="Birds", description="d", workspace=workspace)
    assert sent(script.requests) == ["POST /api/project-templates/3/create-project"]
    assert json.loads(script.requests[0].content) == body
    assert (made.id, made.workspace) == (7, 4)


async def test_a_create_a_change_and_a_deletion_use_the_vendors_paths(clock: VirtualClock) -> None:
    script = Script(answer(201, project()), answer(200, project(title="Owls")), answer(204))
    label_studio = script.label_studio(clock)
    assert isinstance(await label_studio.create_project({"title": "Birds"}), Project)
    assert (await label_studio.update_project(7, {"title": "Owls"})).title == "Owls"
    await label_studio.delete_project(7)
    assert sent(script.requests) == [
        "POST /api/projects/",
        "PATCH /api/projects/7/",
        "DELETE /api/projects/7/",
    ]
    assert [request.headers.get("content-type") for request in script.requests] == [
        "application/json",
        "application/json",
        None,
    ]


async def test_what_json_cannot_say_is_never_sent(clock: VirtualClock) -> None:
    script = Script(answer(201, project()))
    with pytest.raises(ValueError, match="not JSON compliant"):
        await script.label_studio(clock).create_project({"maximum_annotations": float("nan")})
    assert not script.requests


async def test_cookies_are_not_kept(clock: VirtualClock) -> None:
    script = Script(answer(200, project(), set_cookie="sessionid=abc; Path=/"))
    label_studio = script.label_studio(clock)
    for _ in range(2):
        await label_studio.project(7)
    assert "cookie" not in script.requests[1].headers


async def test_a_change_is_kept_back_by_what_comes_before_it(clock: VirtualClock) -> None:
    script = Script(answer(200, project()))

    def refuse() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await script.label_studio(clock).update_project(7, {}, before=refuse)
    assert not script.requests


async def test_what_comes_before_a_change_comes_after_the_token_was_renewed(clock: VirtualClock) -> None:
    script = Script(answer(200, {"access": "x"}), answer(200, project()))
    seen: list[list[str]] = []
    await script.label_studio(clock, PERSONAL).update_project(7, {}, before=lambda: seen.append(sent(script.requests)))
    assert seen == [["POST /api/token/refresh/"]]


async def test_the_servers_clock_goes_on_from_its_last_answer(clock: VirtualClock) -> None:
    label_studio = Script(answer(200, project(), date="Tue, 24 Nov 2026 09:00:00 GMT")).label_studio(clock)
    assert label_studio.server_time() is None
    await label_studio.project(7)
    await clock.sleep(90)
    assert label_studio.server_time() == datetime(2026, 11, 24, 9, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("headers", [{}, {"date": "today"}], ids=["none", "broken"])
async def test_a_server_that_dates_no_answer_has_no_clock(headers: dict[str, str], clock: VirtualClock) -> None:
    label_studio = Script(answer(200, project(), **headers)).label_studio(clock)
    await label_studio.project(7)
    assert label_studio.server_time() is None


async def test_a_create_waits_behind_whatever_ends_work_begun(clock: VirtualClock) -> None:
    async def serve(request: httpx.Request) -> httpx.Response:
        await clock.sleep(1)
        return answer(200, project())

    script = Script(serve)
    label_studio = script.label_studio(clock, pacer=Pacer(max_concurrency=1, clock=clock))
    await asyncio.gather(label_studio.project(1), label_studio.create_project({}), label_studio.update_project(7, {}))
    assert [request.method for request in script.requests] == ["GET", "PATCH", "POST"]


async def test_what_waits_goes_by_how_soon_it_grows_old(clock: VirtualClock) -> None:
    """What a reading of a moment ago has decided, what others wait for, what a look has decided, and what begins work."""

    async def slow(_: httpx.Request) -> httpx.Response:
        await clock.sleep(1)
        return answer(200, project())

    script = Script(slow)
    label_studio = script.label_studio(clock, pacer=Pacer(max_concurrency=1, clock=clock))
    await asyncio.gather(
        label_studio.project(1),
        label_studio.create_project({"title": "Birds"}),
        label_studio.update_project(2, {}),
        label_studio.project(3),
        label_studio.import_tasks(4, []),
        label_studio.delete_project(5),
    )
    assert sent(script.requests) == [
        "GET /api/projects/1/",
        "POST /api/projects/4/import",
        "DELETE /api/projects/5/",
        "GET /api/projects/3/",
        "PATCH /api/projects/2/",
        "POST /api/projects/",
    ]
