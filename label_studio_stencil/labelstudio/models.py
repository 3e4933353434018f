"""Typed answers of Label Studio; only fields that decisions need are checked.

Unknown fields are kept or ignored, because the vendor adds fields often. Names and types are those of the vendor's OpenAPI,
and of answers measured on Label Studio Community 1.23.2.
"""

import functools
import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.reasons import reason_of

#: Date of creation if the answer has none: later than any other, so that the project never counts as old.
UNKNOWN_DATE = datetime(9999, 1, 1, tzinfo=UTC)

#: Counters; any above zero means that somebody works in the project.
COUNTERS = (
    "task_number",
    "total_annotations_number",
    "total_predictions_number",
    "num_tasks_with_annotations",
    "finished_task_number",
    "useful_annotation_number",
    "ground_truth_number",
    "skipped_annotations_number",
)

#: Keys of an answer that are attributes of `Project`.
NAMED = ("id", "title", "description", "workspace", "created_at", "created_by")

#: Fields to request of many projects: all that decisions need.
LIGHT_FIELDS = (*NAMED, "task_number", "total_annotations_number")

NOTHING: Mapping[str, JSON] = {}

#: Keys that an answer must have for a decision. A missing key means nothing; an empty one has a meaning.
DECISIVE = ("title", "description", "workspace", "tasks")

#: Keys that show that a project was archived, so that lists leave it out.
_ARCHIVED = ("is_archived", "archived", "archived_at")


class Edition(StrEnum):
    """The edition of a server: only Enterprise (and Starter Cloud) has templates and workspaces."""

    ENTERPRISE = "Enterprise"
    COMMUNITY = "Community"


class Resource(BaseModel):
    """Base of the typed answers: frozen, with unknown fields kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Version(Resource):
    """The release of a server, such as `1.23.2`, and its edition."""

    release: str
    edition: Edition


class User(Resource):
    """The user of a token."""

    id: int
    email: str = ""


class OrganizationMember(Resource):
    """A user of the organization, from `GET /api/users/`."""

    id: int
    email: str = ""


class Added(Resource):
    """Answer to adding members, with the ids that were skipped."""

    skipped_user_ids: list[int] = []


class Imported(Resource):
    """Answer to an import of tasks.

    Attributes:
        number: Id of the import on Enterprise; `None` on Community, which has carried it out.
        task_count: Tasks that were imported, if that is known.
        annotation_count: Their annotations, if that is known.
        prediction_count: Their predictions, if that is known.
    """

    number: int | None = Field(default=None, alias="import")
    task_count: int | None = None
    annotation_count: int | None = None
    prediction_count: int | None = None


class ImportState(Resource):
    """The state of an import, on Enterprise.

    Attributes:
        status: `created`, `in_progress`, `failed` or `completed`.
        error: Why it failed, without quotes from tasks; empty if there is no reason.
    """

    status: str
    error: Annotated[str, BeforeValidator(lambda value: reason_of(str(value)) if value else "")] = ""

    @property
    def done(self) -> bool:
        """Whether it was carried out."""
        return self.status == "completed"

    @property
    def failed(self) -> bool:
        """Whether it failed."""
        return self.status == "failed"


class Task(Resource):
    """A task of a project, with its annotations and predictions.

    Attributes:
        data: Data that is shown.
        meta: Metadata that was imported with it.
        annotations: All annotations.
        predictions: All predictions.
        drafts: Annotations that somebody has begun.
        draft_exists: Whether there are drafts.
        comment_count: Comments on it.
        updated_at: When it, or one of its annotations and predictions, was last changed.
    """

    id: int
    data: JSON
    meta: JSON = None
    annotations: list[dict[str, JSON]]
    predictions: list[dict[str, JSON]]
    drafts: list[JSON]
    draft_exists: bool | None = None
    comment_count: int | None = None
    updated_at: datetime | None = None


class TaskPage(Resource):
    """One page of a project's tasks.

    Attributes:
        total: Tasks on all pages.
        tasks: Tasks of this page.
    """

    total: int
    tasks: list[Task]


class TaskData(Resource):
    """What a task shows."""

    id: int
    data: JSON


class TaskDataPage(Resource):
    """One page of what a project's tasks show."""

    total: int
    tasks: list[TaskData]


class Workspace(Resource):
    """A workspace, on Enterprise."""

    id: int
    title: str
    is_archived: Annotated[bool, BeforeValidator(bool)] = False
    is_personal: Annotated[bool, BeforeValidator(bool)] = False


class GalleryEntry(Resource):
    """A labelling interface that ships with Label Studio; it has no id (measured on Community 1.23.2).

    Attributes:
        title: Its name, unique in the gallery.
        group: Its group in the gallery.
        config: The labelling interface, in XML.
        type: `community` or `enterprise`.
    """

    title: str
    group: str = ""
    config: str = Field(default="", repr=False)
    type: str = ""

    @property
    def id(self) -> None:
        """None: entries go by their title."""


class Gallery(Resource):
    """Answer of `GET /api/templates/`."""

    templates: list[GalleryEntry]


def _object(value: object) -> object:
    return {} if value is None else value


class ProjectTemplate(Resource):
    """A project template, on Enterprise.

    The settings are left out of the `repr`, since project settings may hold the password of the task data.
    """

    id: int
    name: str
    description: str | None = None
    project_settings: Annotated[dict[str, JSON], BeforeValidator(_object), Field(repr=False)] = {}
    assignment_settings: JSON = Field(default=None, repr=False)
    review_settings: JSON = Field(default=None, repr=False)
    custom_script: str | None = Field(default=None, repr=False)
    require_comment_on_skip: bool | None = None
    show_unused_data_columns_to_annotators: bool | None = None
    tags: JSON = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def version(self) -> str:
        """Twelve hex digits that change with the content of the template.

        Based on the content, because it is not documented whether using a template changes `updated_at`. The date counts
        only if the answer has no settings.
        """
        content = self.model_dump(
            mode="json",
            include={
                "description",
                "project_settings",
                "assignment_settings",
                "review_settings",
                "custom_script",
                "require_comment_on_skip",
                "show_unused_data_columns_to_annotators",
                "tags",
            },
        )
        if not self.project_settings:
            content["updated_at"] = self.updated_at.isoformat() if self.updated_at else None
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Project:
    """A project as the server has it; light, since a batch may hold a hundred thousand.

    Attributes:
        id: Its id.
        title: Its title; not unique, and empty if the server has none.
        description: Its description; empty if the server has none.
        workspace: Id of its workspace; `None` on Community.
        created_at: Its date of creation; `UNKNOWN_DATE` if the answer has none.
        created_by: Id of the user who created it.
        tasks: Amount of work in it: the largest of the server's `COUNTERS`, 0 if the answer has none.
        settings: All other keys of the answer; of a list with selected fields, those that were requested.
        lacks: Attributes of `DECISIVE` that the answer does not have, so that they are unknown.
            Community has no workspaces, and each of its projects lacks one.
        task_number: Number of its tasks; `None` if the answer has none.
    """

    id: int
    title: str
    description: str
    workspace: int | None
    created_at: datetime
    created_by: int | None
    tasks: int
    # May hold the password of the task data.
    settings: Mapping[str, JSON] = field(default_factory=lambda: NOTHING, repr=False, hash=False)
    lacks: tuple[str, ...] = ()
    task_number: int | None = None

    @property
    def task_count(self) -> int:
        """Number of its tasks. `tasks` is more if a task has several annotations or predictions."""
        return self.tasks if self.task_number is None else self.task_number

    @property
    def archived(self) -> bool:
        """Whether the project was archived."""
        return any(self.settings.get(key) for key in _ARCHIVED)

    @classmethod
    def from_json(cls, answer: JSON, fields: Collection[str] = ()) -> Self:
        """The project in `answer`, with its other keys in `fields`, or all if `fields` is empty.

        Raises:
            ValueError: `answer` is not a project: it is not an object, or has no `id`.
        """
        if not isinstance(answer, dict):
            raise ValueError(f"a project was expected, not {type(answer).__name__}")  # noqa: TRY004
        return cls(
            id=_required_id(answer),
            title=_text(answer, "title"),
            description=_text(answer, "description"),
            workspace=_reference(answer.get("workspace")),
            created_at=_date(answer.get("created_at")),
            created_by=_reference(answer.get("created_by")),
            tasks=max((_count(answer.get(counter)) for counter in COUNTERS), default=0),
            settings=_settings(answer, fields),
            lacks=_lacking(answer),
            task_number=number if isinstance(number := answer.get("task_number"), int) else None,
        )


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """One page of a list of projects.

    Attributes:
        count: Projects on all pages; 0 after the last page.
        projects: Projects of this page.
        has_next: Whether there is another page.
    """

    count: int
    projects: list[Project]
    has_next: bool


def _required_id(answer: dict[str, JSON]) -> int:
    value = answer.get("id")
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("the project has no id")  # noqa: TRY004
    return value


def _lacking(answer: dict[str, JSON]) -> tuple[str, ...]:
    counted = any(counter in answer for counter in COUNTERS)
    # All projects of a list share the tuple, which is usually empty or Community's.
    return _tuple_of(*(counted if name == "tasks" else name in answer for name in DECISIVE))


@functools.cache
def _tuple_of(*held: bool) -> tuple[str, ...]:
    return tuple(name for name, is_held in zip(DECISIVE, held, strict=True) if not is_held)


def _text(answer: dict[str, JSON], key: str) -> str:
    value = answer.get(key)
    return "" if value is None else str(value)


def _reference(value: JSON) -> int | None:
    """The id of a user or workspace, which comes as a number or as an object."""
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _date(value: JSON) -> datetime:
    if not isinstance(value, str):
        return UNKNOWN_DATE
    date = datetime.fromisoformat(value)
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _count(value: JSON) -> int:
    return value if isinstance(value, int) else 0


def _settings(answer: dict[str, JSON], fields: Collection[str]) -> Mapping[str, JSON]:
    if not fields:
        return {key: value for key, value in answer.items() if key not in NAMED}
    kept = {key: answer[key] for key in fields if key in answer and key not in NAMED and key not in COUNTERS}
    return kept or NOTHING
