"""Neither a token nor the task data's password shows anywhere."""

import logging
import traceback

import httpx
import pytest

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected
from label_studio_stencil.labelstudio.models import ProjectTemplate
from tests.labelstudio.scripted import LEGACY, PERSONAL, Script, Step, answer, project
from tests.labelstudio.virtual import VirtualClock

ACCESS = "access-token-of-the-day"
PASSWORD = "hunter2-and-more"
SECRETS = (LEGACY, PERSONAL, ACCESS, PASSWORD)


def echo(status: int, key: str) -> Step:
    """An answer in which the server repeats whatever it was told."""

    def serve(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/token/refresh/":
            return answer(200, {"access": ACCESS})
        said = f"{request.headers['authorization']} {request.content.decode()}"
        return answer(status, {key: said, "validation_errors": {"task_data_password": [said], "title": [said]}})

    return serve


@pytest.mark.parametrize("token", [LEGACY, PERSONAL], ids=["legacy", "personal"])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
async def test_a_server_that_repeats_secrets_is_not_quoted_with_them(
    status: int, token: str, clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    label_studio = Script(echo(status, "detail")).label_studio(clock, token)
    with pytest.raises(LabelStudioError) as caught:
        await label_studio.create_project({"title": "Birds", "task_data_password": PASSWORD})
    error = caught.value
    shown = (
        "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error)) + repr(label_studio) + caplog.text
    )
    assert "Birds" in str(error)
    assert not [secret for secret in SECRETS if secret in shown]


@pytest.mark.parametrize("shape", ["a list", "an object", "a text"])
async def test_a_password_is_cut_out_as_json_writes_it_too(shape: str, clock: VirtualClock) -> None:
    password = 'q7"z9\\k5 ü'
    said: dict[str, JSON] = {"a list": [{"got": password}], "an object": {"got": password}, "a text": password}
    complaint: dict[str, JSON] = {"detail": said[shape], "validation_errors": {"title": [said[shape]]}}
    with pytest.raises(Rejected) as caught:
        await Script(answer(400, complaint)).label_studio(clock).create_project({"task_data_password": password})
    shown = str(caught.value) + repr(vars(caught.value))
    assert not [part for part in ("q7", "z9", "k5") if part in shown]


async def test_what_the_server_says_about_the_password_is_withheld(clock: VirtualClock) -> None:
    said: dict[str, JSON] = {"task_data_password": [f"{PASSWORD.upper()} is too simple."]}
    with pytest.raises(Rejected, match="task_data_password: was refused") as caught:
        await Script(answer(400, {"validation_errors": said})).label_studio(clock).create_project({})
    assert PASSWORD.upper() not in repr(vars(caught.value)) + str(caught.value)


async def test_debugging_logs_say_method_path_status_and_time_only(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "label_studio_stencil.labelstudio")
    label_studio = Script(answer(201, project(task_data_password=PASSWORD))).label_studio(clock)
    await label_studio.create_project({"title": "Birds", "task_data_password": PASSWORD})
    assert [
        record.getMessage() for record in caplog.records if record.name == "label_studio_stencil.labelstudio.client"
    ] == ["POST /api/projects/ 201 in 0 ms"]


async def test_what_the_server_tells_about_a_project_shows_no_password(clock: VirtualClock) -> None:
    told = await Script(answer(200, project(task_data_password=PASSWORD))).label_studio(clock).project(7)
    assert told.settings["task_data_password"] == PASSWORD
    assert PASSWORD not in repr(told)


def test_a_template_shows_no_password() -> None:
    template = ProjectTemplate(id=1, name="x", project_settings={"task_data_password": PASSWORD})
    assert PASSWORD not in repr(template)


async def test_an_unexpected_answer_is_not_repeated(clock: VirtualClock) -> None:
    script = Script(answer(200, [{"id": PASSWORD, "name": 1, "project_settings": PASSWORD}]))
    with pytest.raises(LabelStudioError, match="unexpected answer") as caught:
        await script.label_studio(clock).project_templates()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
