"""What Label Studio answers with, typed: only what decisions are made of is checked.

The vendor adds fields faster than clients follow, so unknown ones are kept or passed by, never refused. The
names and types are those of the vendor's OpenAPI, and of answers measured on Label Studio Community 1.23.2.
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

#: Stands for a date of creation that an answer did not hold: later than any, so that nothing is taken for
#: old.
UNKNOWN_DATE = datetime(9999, 1, 1, tzinfo=UTC)

#: Counters of which any that is above zero means that somebody has begun to work in a project.
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

#: Keys of an answer that `Project` holds by name.
NAMED = ("id", "title", "description", "workspace", "created_at", "created_by")

#: Fields to list where many projects are listed: all that decisions about a project need.
LIGHT_FIELDS = (*NAMED, "task_number", "total_annotations_number")

NOTHING: Mapping[str, JSON] = {}

#: What an answer about a project must hold to be decided by. A key that is absent says nothing; one that is empty does.
DECISIVE = ("title", "description", "workspace", "tasks")

#: Keys by which an answer may say that a project was archived, and lists show it no more.
_ARCHIVED = ("is_archived", "archived", "archived_at")


class Edition(StrEnum):
    """What a server can do: only Enterprise (and Starter Cloud) has templates and workspaces."""

    ENTERPRISE = "Enterprise"
    COMMUNITY = "Community"


class Resource(BaseModel):
    """Base of the typed answers: frozen, with unknown fields kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Version(Resource):
    """Which Label Studio a server is: its release, such as `1.23.2`, and its edition."""

    release: str
    edition: Edition


class User(Resource):
    """Whose token it is."""

    id: int
    email: str = ""


class OrganizationMember(Resource):
    """Somebody of the organisation, as `GET /api/users/` tells."""

    id: int
    email: str = ""


class Added(Resource):
    """Answer to adding members; who was skipped is not one."""

    skipped_user_ids: list[int] = []


class Imported(Resource):
    """Answer to an import of tasks.

    Attributes:
        number: Id under which Enterprise carries it out; `None` on Community, which has done so by then.
        task_count: Tasks that were imported, where that is known.
    """

    number: int | None = Field(default=None, alias="import")
    task_count: int | None = None


class ImportState(Resource):
    """What has become of an import, on Enterprise.

    Attributes:
        status: `created`, `in_progress`, `failed` or `completed`.
        error: Why it failed, as far as Label Studio's words can't hold the tasks; empty where it gave no reason.
    """

    status: str
    error: Annotated[str, BeforeValidator(lambda value: reason_of(str(value)) if value else "")] = ""

    @property
    def done(self) -> bool:
        """Whether it was carried out."""
        return self.status == "completed"

    @property
    def failed(self) -> bool:
        """Whether it never will be."""
        return self.status == "failed"


class Task(Resource):
    """A task of a project, with what people and models have made of it.

    Attributes:
        data: What is shown.
        meta: What was imported beside it.
        annotations: All of them.
        predictions: All of them.
        drafts: What somebody has begun.
        draft_exists: Whether there are any.
        comment_count: Comments on it.
    """

    id: int
    data: JSON
    meta: JSON = None
    annotations: list[dict[str, JSON]]
    predictions: list[dict[str, JSON]]
    drafts: list[JSON]
    draft_exists: bool | None = None
    comment_count: int | None = None


class TaskPage(Resource):
    """One page of a project's tasks.

    Attributes:
        total: Tasks on all pages.
        tasks: Those of this page.
    """

    total: int
    tasks: list[Task]


class Workspace(Resource):
    """A place for projects, on Enterprise."""

    id: int
    title: str
    is_archived: Annotated[bool, BeforeValidator(bool)] = False
    is_personal: Annotated[bool, BeforeValidator(bool)] = False


class GalleryEntry(Resource):
    """A labelling interface that Label Studio's package brings; it has no id (measured on Community 1.23.2).

    Attributes:
        title: Its name, unique in the gallery.
        group: What it is filed under.
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
    """What a project is made from, on Enterprise.

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
        """Twelve hex digits that change whenever what the template gives to a project changes.

        Made of the content: whether the server moves `updated_at` when a template is merely used is not
        documented. The date counts only where no settings came.
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
        id: The server's number of the project.
        title: Its title; not unique, and empty where the server has none.
        description: Its description; empty where the server has none.
        workspace: Id of its workspace; `None` on Community.
        created_at: When the server says it was created; `UNKNOWN_DATE` where the answer held no date.
        created_by: Id of the user who created it.
        tasks: How much work it holds: the largest of the server's `COUNTERS`, 0 where the answer held none.
        settings: All other keys of the answer as they came; of a listing that was trimmed, those that were
            asked for.
        lacks: Names of the attributes (of `DECISIVE`) that the answer did not hold, so that nothing is known of them.
            Community has no workspaces, and each of its projects lacks one.
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

    @property
    def archived(self) -> bool:
        """Whether the answer says that the project was archived."""
        return any(self.settings.get(key) for key in _ARCHIVED)

    @classmethod
    def from_json(cls, answer: JSON, fields: Collection[str] = ()) -> Self:
        """The project that `answer` describes, with `fields` of its other keys, or all where none are named.

        Raises:
            ValueError: `answer` is no project: it is no object, or has no `id`.
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
        )


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """One page of a listing.

    Attributes:
        count: Projects in all pages; 0 past the last page, where the server tells none.
        projects: Those of this page.
        has_next: Whether the server says that there is another page.
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
    # Each is one and the same tuple for a whole listing, as a rule an empty one or Community's.
    return _tuple_of(*(counted if name == "tasks" else name in answer for name in DECISIVE))


@functools.cache
def _tuple_of(*held: bool) -> tuple[str, ...]:
    return tuple(name for name, is_held in zip(DECISIVE, held, strict=True) if not is_held)


def _text(answer: dict[str, JSON], key: str) -> str:
    value = answer.get(key)
    return "" if value is None else str(value)


def _reference(value: JSON) -> int | None:
    """The id that `value` is or holds: users and workspaces come as a number or as an object."""
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
