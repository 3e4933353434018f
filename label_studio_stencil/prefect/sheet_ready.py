"""Runs the sheet that an event `stencil.sheet.ready` names or carries; the deployment says what an event may set.

Requires what `create_projects` requires, and `STENCIL_ALLOW` on the worker, or `folders` in the deployment's parameters.
"""

from typing import Annotated, Any, Literal

from prefect import flow
from prefect.runtime import flow_run
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from label_studio_stencil.files import event as sender
from label_studio_stencil.prefect.artifacts import show_what_is_known
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.names import name_of, unless_named
from label_studio_stencil.prefect.parameters import (
    BadParameters,
    checked_parameters,
    from_json,
    named_by,
    validation_message,
)
from label_studio_stencil.report.report import Report

#: Fields of an event that a deployment has to allow.
Allowed = Literal["credentials", "output"]


class Payload(BaseModel):
    """What an event may set, in the types of JSON; a field that is `null` counts as left out.

    Attributes:
        sheet: Path or URL of the sheet, below what `STENCIL_ALLOW` on the worker or `folders` of the deployment lists.
        csv_text: The sheet itself, as CSV text.
        rows: The rows themselves: an object for each.
        template: Template for rows that name none, by id or name.
        workspace: Workspace for rows that name none, by id or name.
        title: Pattern for the titles of rows that have none.
        mode: What to do with a project that exists.
        dry_run: Whether to plan only, and write nothing.
        encoding: Encoding of a text file.
        worksheet: Worksheet of a workbook.
        output: Where to write results; only if the deployment allows it.
        credentials: Name of a credentials block; only if the deployment allows it.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    sheet: str | None = None
    csv_text: str | None = None
    rows: list[dict[str, Any]] | None = None
    template: str | int | None = None
    workspace: str | int | None = None
    title: str | None = None
    mode: Literal["create", "update"] | None = None
    dry_run: bool | None = None
    encoding: str | None = None
    worksheet: str | None = None
    output: str | None = None
    credentials: str | None = None


def _run_name() -> str:
    """Name a run by its source, and by what is special about it."""
    return unless_named(name_of(flow_run.parameters))


@flow(
    name="on-event",
    flow_run_name=_run_name,
    validate_parameters=False,
    persist_result=False,
    on_crashed=[show_what_is_known],
    on_cancellation=[show_what_is_known],
)
@checked_parameters()
async def on_event(
    event: Annotated[Any, BeforeValidator(from_json)],
    folders: list[str] = [],  # noqa: B006 - the form needs it as it is
    may_set: list[Allowed] = [],  # noqa: B006 - likewise
    pinned: dict[str, Any] = {},  # noqa: B006 - likewise
    credentials: str = "",
) -> Report:
    """Create one project per row of the sheet that an event names or carries, and report on every row.

    Args:
        event: The event's payload, an object with any of `sheet`, `csv_text`, `rows`, `template`, `workspace`, `title`, `mode`,
            `dry_run`, `encoding` and `worksheet`, and what `may_set` allows. The deployment's trigger fills it.
        folders: Folders and URLs in which an event may name sheets, besides those that `STENCIL_ALLOW` lists on the worker.
        may_set: What else an event may set: `credentials`, `output`.
        pinned: Parameters of `create_projects` that this deployment sets and events can't.
        credentials: Name of the credentials block for events that name none; empty uses the worker's environment.
    """
    given = _payload(event, may_set)
    _check_pinned(pinned, given)
    # Files that the event names are opened with its sender's rights; files that the deployment pins, with the deployment's.
    names = {"sheet" if name in ("csv_text", "rows") else name for name in given}
    with named_by(dict.fromkeys(names, sender(*folders))):
        # Within this run, and not as a run of its own: an event makes one run.
        return await create_projects.fn(**{"credentials": credentials, **pinned, **given})


def _payload(event: object, may_set: list[Allowed]) -> dict[str, Any]:
    """Return the parameters that an event sets.

    Raises:
        BadParameters: It sets parameters that it may not set, or invalid values; the message names each.
    """
    if not isinstance(event, dict):
        raise BadParameters("event: the payload must be an object with sheet, csv_text or rows.")
    try:
        payload = Payload.model_validate(event)
    except ValidationError as error:
        raise BadParameters(validation_message(error, list(Payload.model_fields))) from None
    given = {name: value for name, value in payload.model_dump(exclude_none=True).items() if value not in ("", [])}
    for name in ("credentials", "output"):
        if name in given and name not in may_set:
            raise BadParameters(f"{name}: an event can't set it here; the deployment's parameter may_set allows it.")
    # A number is an id.
    return {name: str(value) if name in ("template", "workspace") else value for name, value in given.items()}


def _check_pinned(pinned: dict[str, Any], given: dict[str, Any]) -> None:
    unknown = sorted(pinned.keys() - create_projects.parameters.properties.keys())
    if unknown:
        raise BadParameters(f"pinned: create_projects has no parameter {', '.join(unknown)}.")
    both = sorted(pinned.keys() & given.keys())
    if both:
        raise BadParameters(f"{', '.join(both)}: an event can't set it here, since the deployment pins it.")
