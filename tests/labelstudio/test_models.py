"""Answers of both editions, whole and trimmed, become the same types."""

import pickle
from datetime import UTC, datetime

import pytest

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.models import UNKNOWN_DATE, Project, ProjectTemplate, Workspace
from tests.labelstudio.scripted import project

TEMPLATE: dict[str, JSON] = {
    "id": 3,
    "name": "Birds",
    "project_settings": {"color": "#ffffff"},
    "review_settings": None,
    "updated_at": "2026-11-24T06:11:12Z",
    "created_at": "2026-11-24T06:11:12Z",
}


@pytest.mark.parametrize(
    ("told", "attribute", "value"),
    [
        ({"title": None}, "title", ""),
        ({"description": None}, "description", ""),
        ({}, "description", ""),
        ({"created_by": {"id": 4, "email": "a@example.com"}}, "created_by", 4),
        ({"created_by": 4}, "created_by", 4),
        ({"created_by": None}, "created_by", None),
        ({"workspace": 2}, "workspace", 2),
        ({"workspace": "2"}, "workspace", 2),
        ({}, "workspace", None),
        ({"task_number": None, "total_annotations_number": None}, "tasks", 0),
        ({"task_number": 0, "total_annotations_number": 2}, "tasks", 2),
        ({"task_number": 5, "total_annotations_number": 2}, "tasks", 5),
        ({}, "created_at", datetime(2026, 11, 24, 6, 11, 12, 394026, tzinfo=UTC)),
        ({"created_at": "2026-11-24T06:11:12"}, "created_at", datetime(2026, 11, 24, 6, 11, 12, tzinfo=UTC)),
        ({"created_at": None}, "created_at", UNKNOWN_DATE),
    ],
    ids=str,
)
def test_a_project_is_read_leniently(told: dict[str, JSON], attribute: str, value: object) -> None:
    assert getattr(Project.from_json(project(**told)), attribute) == value


def test_a_whole_projects_other_keys_are_its_settings_as_they_came() -> None:
    settings: dict[str, JSON] = {"color": None, "review_settings": {"sampling": "random"}, "new_field": 1}
    assert Project.from_json(project(**settings)).settings == settings


@pytest.mark.parametrize(
    "told",
    [{"title": "x"}, {"id": "1", "title": "x"}, {"id": True, "title": "x"}, [], None],
    ids=str,
)
def test_what_is_no_project_is_refused(told: JSON) -> None:
    with pytest.raises(ValueError, match="project"):
        Project.from_json(told)


WHOLE: dict[str, JSON] = {"id": 7, "title": "x", "description": "", "workspace": None, "task_number": None}


@pytest.mark.parametrize(
    ("key", "attribute"),
    [("title", "title"), ("description", "description"), ("workspace", "workspace"), ("task_number", "tasks")],
)
def test_a_key_that_is_absent_is_unknown_and_one_that_is_empty_is_not(key: str, attribute: str) -> None:
    assert Project.from_json(WHOLE).lacks == ()
    assert Project.from_json({name: value for name, value in WHOLE.items() if name != key}).lacks == (attribute,)


def test_a_project_can_be_hashed_and_pickled() -> None:
    told = Project.from_json(project(color="#ffffff"))
    assert pickle.loads(pickle.dumps(told)) == told
    assert len({told, told}) == 1


def test_a_template_without_settings_has_empty_ones() -> None:
    assert ProjectTemplate.model_validate({**TEMPLATE, "project_settings": None}).project_settings == {}


@pytest.mark.parametrize(
    "change",
    [
        {"project_settings": {"color": "#000000"}},
        {"review_settings": {"sampling": "random"}},
        {"assignment_settings": {"label_stream_task_distribution": "assigned_only"}},
        {"description": "x"},
        {"custom_script": "x"},
        {"require_comment_on_skip": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_templates_version_changes_with_its_content(change: dict[str, JSON]) -> None:
    before = ProjectTemplate.model_validate(TEMPLATE).version
    assert ProjectTemplate.model_validate({**TEMPLATE, **change}).version != before


def test_a_templates_version_stays_when_only_dates_and_unknown_keys_change() -> None:
    before = ProjectTemplate.model_validate(TEMPLATE).version
    after = ProjectTemplate.model_validate({**TEMPLATE, "updated_at": "2026-11-25T00:00:00Z", "uses": 9}).version
    assert after == before
    assert len(after) == 12


def test_the_version_of_a_template_that_came_without_settings_follows_its_date() -> None:
    bare: dict[str, JSON] = {**TEMPLATE, "project_settings": {}}
    later: dict[str, JSON] = {**bare, "updated_at": "2026-11-25T00:00:00Z"}
    assert ProjectTemplate.model_validate(bare).version != ProjectTemplate.model_validate(later).version


def test_a_workspace_is_neither_archived_nor_personal_unless_it_says_so() -> None:
    workspace = Workspace.model_validate({"id": 1, "title": "Birds", "is_archived": None})
    assert not workspace.is_archived
    assert not workspace.is_personal
