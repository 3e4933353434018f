"""What a write sends, to the letter."""

import json

import pytest

from stencil.labelstudio import Project
from tests.labelstudio.scripted import Script, answer, project, sent
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
    made = await script.studio(clock).create_from_template(3, title="Birds", description="d", workspace=workspace)
    assert sent(script.requests) == ["POST /api/project-templates/3/create-project"]
    assert json.loads(script.requests[0].content) == body
    assert (made.id, made.workspace) == (7, 4)


async def test_a_create_a_change_and_a_deletion_use_the_vendors_paths(clock: VirtualClock) -> None:
    script = Script(answer(201, project()), answer(200, project(title="Owls")), answer(204))
    studio = script.studio(clock)
    assert isinstance(await studio.create_project({"title": "Birds"}), Project)
    assert (await studio.update_project(7, {"title": "Owls"})).title == "Owls"
    await studio.delete_project(7)
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
        await script.studio(clock).create_project({"maximum_annotations": float("nan")})
    assert not script.requests


async def test_cookies_are_not_kept(clock: VirtualClock) -> None:
    script = Script(answer(200, project(), set_cookie="sessionid=abc; Path=/"))
    studio = script.studio(clock)
    for _ in range(2):
        await studio.project(7)
    assert "cookie" not in script.requests[1].headers
