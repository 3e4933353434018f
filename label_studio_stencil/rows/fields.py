"""Facts about every settable field, derived from the model.

Messages, help, documentation and comparison all read them here, so that they agree.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Union, cast, get_args, get_origin

from annotated_types import Ge, Le, MaxLen
from pydantic.fields import FieldInfo

from label_studio_stencil.json_value import JSON
from label_studio_stencil.redaction import SECRET_FIELDS
from label_studio_stencil.rows.overrides import INT32, Overrides
from label_studio_stencil.rows.values import Kind

_TEXTS = (Kind.TEXT, Kind.XML)


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """The facts about one settable field.

    Attributes:
        name: The field's name on the wire.
        kind: The kind of its value.
        nullable: Whether the vendor's contract allows null. Stencil never sends it, because servers answer 500
            to some.
        max_length: Longest text in code points, or `None`.
        minimum: Smallest number, or `None`.
        maximum: Largest number, or `None`.
        choices: Its possible values; empty allows any.
        default: The server's documented default; `None` if there is none.
        help: What it does, in one line.
        enterprise_only: Whether Community ignores it.
        secret: Whether its value is never shown.
        text: Whether its cell may be `@path`, the name of a file that holds the text.
    """

    name: str
    kind: Kind
    nullable: bool
    max_length: int | None
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    default: JSON
    help: str
    enterprise_only: bool
    secret: bool
    text: bool

    @property
    def type(self) -> str:
        """The kind of its value in words, such as `a whole number`."""
        return self.kind.value

    @property
    def allowed(self) -> str:
        """The values that it takes, such as `a whole number from 0 to 100`."""
        if self.choices:
            return f"one of: {', '.join(self.choices)}"
        if self.max_length is not None:
            return f"{self.type} of at most {self.max_length} characters"
        if self.kind is Kind.INTEGER and self.maximum == INT32 and self.minimum in (0, 1):
            return f"{self.type}, {self.minimum} or more (at most {INT32})"
        if self.minimum is not None:
            return f"{self.type} from {self.minimum} to {self.maximum}"
        return {Kind.COLOUR: "a colour as #RRGGBB", Kind.XML: "well-formed XML"}.get(self.kind, self.type)


def _facts(name: str, info: FieldInfo) -> FieldFacts:
    base, *marks = parts_of(info.annotation)
    extra = cast("Mapping[str, JSON]", info.json_schema_extra)
    kind = next(mark for mark in marks if isinstance(mark, Kind))
    choices = tuple(one.value for one in base) if isinstance(base, type) and issubclass(base, StrEnum) else ()
    return FieldFacts(
        name=name,
        kind=kind,
        nullable=bool(extra["nullable"]),
        max_length=next((mark.max_length for mark in marks if isinstance(mark, MaxLen)), None),
        minimum=next((cast("float", mark.ge) for mark in marks if isinstance(mark, Ge)), None),
        maximum=next((cast("float", mark.le) for mark in marks if isinstance(mark, Le)), None),
        choices=choices,
        default=extra["server"],
        help=info.description or "",
        enterprise_only=not extra["community"],
        secret=name in SECRET_FIELDS,
        text=kind in _TEXTS,
    )


def parts_of(annotation: object) -> tuple[object, ...]:
    """The type and the marks of `Annotated[type, *marks] | None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)


FIELDS: Mapping[str, FieldFacts] = MappingProxyType(
    {name: _facts(name, info) for name, info in Overrides.model_fields.items()}
)

#: Fields that Community ignores without an error (measured on 1.23.2), so Stencil rejects them there.
ENTERPRISE_ONLY_FIELDS = frozenset(name for name, facts in FIELDS.items() if facts.enterprise_only)
TEXT_FIELDS = frozenset(name for name, facts in FIELDS.items() if facts.text)

#: Columns of the row itself, which can't be overrides.
ROW_FIELDS = frozenset({"title", "workspace", "workspace_id", "template"})

#: Fields that the server computes. They include `duplication_*`, which the OpenAPI has in answers, but in no request.
READ_ONLY_FIELDS = frozenset(
    {
        "allow_stream",
        "collection_mode",
        "config_has_control_tags",
        "config_suitable_for_bulk_annotation",
        "created_at",
        "data_types",
        "duplication_done",
        "duplication_status",
        "finished_task_number",
        "ground_truth_number",
        "id",
        "is_dimensions_enabled",
        "members",
        "members_count",
        "num_tasks_with_annotations",
        "parsed_label_config",
        "permissions",
        "prompts",
        "queue_done",
        "queue_left",
        "queue_total",
        "ready",
        "rejected",
        "review_total_tasks",
        "reviewed_number",
        "reviewer_queue_total",
        "skipped_annotations_number",
        "start_training_on_annotation_update",
        "state",
        "task_number",
        "total_annotations_number",
        "total_predictions_number",
        "useful_annotation_number",
        "workspace_title",
    }
)
