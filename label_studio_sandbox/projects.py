"""Projects, one at a time: create, read, change, delete.

Behaviour is measured on Label Studio Community 1.23.2 where Community has the call, and taken from the vendor's OpenAPI
for what Enterprise adds.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from label_studio_sandbox import spec
from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.account import PERSON
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Crash, Invalid, NotFound, Refusal, Rejected
from label_studio_sandbox.fields import NULL, Flag, Nested, Schema, Text, expect_object, now
from label_studio_sandbox.labelconfig import analyse, precheck
from label_studio_sandbox.markup import cleaned
from label_studio_sandbox.store import Project

_CREATE = Schema(spec.ON_CREATE)
_UPDATE = Schema(spec.ON_UPDATE)
_VALIDATE = Schema({"label_config": Text(blank=False)}, frozenset({"label_config"}))
_COLUMNS = ("title", "description", "workspace", "pinned_at")


def create_project(call: Call) -> Answer:
    """The new project."""
    data = expect_object(call.data())
    values = _clean(call, data, _CREATE)
    project = Project(created_at=now(call.skew), id=call.project_id or call.store.reserve_project_id())
    apply(project, values)
    call.store.add_project(project)
    body = render(reread(call, project.id))
    for name in spec.NOT_ON_CREATE:
        del body[name]
    return Answer(trim(body, included(call)), 201)


def get_project(call: Call) -> Answer:
    """The project."""
    return Answer(trim(render(reread(call, call.id)) | spec.RESPONSE_EXTRAS, included(call)))


def update_project(call: Call) -> Answer:
    """The project after a partial change; `PUT` is one too."""
    data = call.data()
    project = reread(call, call.id)
    if not isinstance(data, dict):
        raise Crash(f"{type(data).__name__!r} object has no attribute 'get'")
    precheck(data.get("label_config"))
    values = _clean(call, data, _UPDATE)
    if values.get("show_collab_predictions") is False:
        values["model_version"] = ""
    apply(project, values, exists=True)
    call.store.save_project(project)
    return Answer(trim(render(reread(call, call.id)) | spec.RESPONSE_EXTRAS, included(call)))


def delete_project(call: Call) -> Answer:
    """Delete the project."""
    call.store.delete_project(reread(call, call.id).id)
    return Answer(status=204)


def validate_config(call: Call) -> Answer:
    """Check a `label_config`. Needs no token."""
    try:
        analyse(str(_VALIDATE.clean(call.data())["label_config"]))
    except Invalid as exc:
        raise Refusal(400, "Validation error", bare={"label_config": exc.messages}) from None
    except Rejected as exc:
        raise Refusal(400, exc.detail, bare=dict(exc.validation_errors or {})) from None
    return Answer(status=204)


def apply(project: Project, values: Object, *, exists: bool = False) -> None:
    """Set checked values on a new or existing project, and the values that are derived from them."""
    settings = project.settings
    before = config_of(settings) if exists else None
    for name, value in values.items():
        if name in _COLUMNS:
            setattr(project, name, value)
        elif name in {"assignment_settings", "review_settings"} and isinstance(value, dict):
            kept = settings.get(name)
            settings[name] = (kept if isinstance(kept, dict) else {}) | value
        else:
            settings[name] = value
    if settings.get("is_draft") and settings.get("is_published"):
        settings["is_draft"] = False
    if values.keys() & {"label_config", "control_weights"}:
        _weigh(settings, before)


def render(project: Project) -> Object:
    """The project as in the answer to a create: every field of the vendor's `LseProject`."""
    body = spec.DEFAULTS | spec.SERVER_DEFAULTS | dict.fromkeys(spec.COUNTERS, 0) | project.settings
    config = analyse(config_of(body))
    body |= {
        "id": project.id,
        "title": project.title,
        "description": project.description,
        "workspace": project.workspace,
        "workspace_title": project.workspace_title,
        "pinned_at": project.pinned_at,
        "created_at": project.created_at,
        "created_by": PERSON,
        "start_training_on_annotation_update": bool(body["min_annotations_to_start_training"]),
        "task_number": project.tasks,
        "queue_total": project.tasks,
        "parsed_label_config": config.parsed,
        "control_weights": project.settings.get("control_weights", config.weights),
        "data_types": config.data_types,
        "config_has_control_tags": config.has_controls,
        "config_suitable_for_bulk_annotation": config.bulk,
    }
    ids: Object = {"id": project.id, "project": project.id}
    body["assignment_settings"] = spec.ASSIGNMENT_DEFAULTS | _settings(project, "assignment_settings") | ids
    body["review_settings"] = spec.REVIEW_DEFAULTS | _settings(project, "review_settings") | ids
    return body


def trim(body: Object, wanted: Sequence[str]) -> Object:
    """Keep only the keys that `include` names, as Community does (Enterprise's documentation mentions only counters)."""
    return {name: body[name] for name in wanted if name in body} if wanted else body


def included(call: Call) -> list[str]:
    """The keys that `include` names, or none if it is left out."""
    if "include" not in call.query_string:
        return []
    return [name.strip() for name in call.query.get("include", "").split(",") if name.strip()]


def find_workspace(call: Call, value: JSON) -> int:
    """Return the id of the workspace that a body names.

    Raises:
        Invalid: There is no such workspace.
    """
    if value is None:
        raise Invalid(NULL)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)):
        raise Invalid(f"Incorrect type. Expected pk value, received {type(value).__name__}.")
    if call.store.get("workspaces", int(str(value))) is None:
        raise Invalid(f'Invalid pk "{value}" - object does not exist.')
    return int(str(value))


def _clean(call: Call, data: Object, schema: Schema) -> Object:
    """Return the values to store.

    Raises:
        Rejected: Some don't fit.
        Crash: The real server fails on one of them.
    """
    if "color" in data and data["color"] is None:
        raise Crash("'NoneType' object has no attribute 'startswith'")
    if call.is_form and schema is _CREATE:
        # A form cannot say that a box is not ticked, so a missing boolean is read as false.
        data = dict.fromkeys((n for n, kind in schema.fields.items() if isinstance(kind, Flag)), False) | data
    values, errors = schema.sift(data)
    # No model backend is ever connected to the sandbox, so that only the empty version exists.
    if schema is _UPDATE and values.get("model_version", "") != "":
        errors["model_version"] = ["Model version doesn't exist either as live model or as static predictions."]
    for name, check in _RELATED.items():
        if name in data:
            try:
                check(call, values, data[name])
            except Invalid as exc:
                errors[name] = exc.messages
    if values.get("collection_mode") and not values.get("use_custom_interface"):
        errors["collection_mode"] = ["Only projects with a custom interface have a collection mode."]
    if errors:
        raise Rejected(errors)
    if "expert_instruction" in data:
        values["expert_instruction"] = _cleaned_markup(data["expert_instruction"])
    return values


def _workspace(call: Call, values: Object, given: JSON) -> None:
    values["workspace"] = find_workspace(call, given)


def _organization(_call: Call, _values: Object, given: JSON) -> None:
    # There is one, and a project is not taken out of it.
    if given in (None, ""):
        return
    key = isinstance(given, int | float) and not isinstance(given, bool)
    if not key and not (isinstance(given, str) and re.fullmatch(r"\s*[+-]?\d{1,18}\s*", given)):
        raise Invalid(f"Incorrect type. Expected pk value, received {type(given).__name__}.")
    if float(str(given)) != 1:
        raise Invalid(f'Invalid pk "{given}" - object does not exist.')


def _creator(_call: Call, _values: Object, given: JSON) -> None:
    # It is read, and stays who it was.
    _CREATOR.clean(given)


def _weights(_call: Call, _values: Object, given: JSON) -> None:
    if given and (reason := _refuse_weights(given)):
        raise Invalid(reason)


_CREATOR = Nested(
    Schema(
        {
            "username": Text(max_length=256, blank=False),
            "email": Text(max_length=254),
            "first_name": Text(max_length=256),
            "last_name": Text(max_length=256),
        },
        frozenset({"username"}),
    )
)
#: Fields that need more than the value itself, or are not stored.
_RELATED: Mapping[str, Callable[[Call, Object, JSON], None]] = {
    "workspace": _workspace,
    "organization": _organization,
    "created_by": _creator,
    "control_weights": _weights,
}


def _cleaned_markup(given: JSON) -> str:
    if not isinstance(given, str):
        raise Crash(f"argument cannot be of {type(given).__name__!r} type, must be of text type")
    return cleaned(given)


def _refuse_weights(weights: JSON) -> str | None:
    if not isinstance(weights, dict):
        return None
    overalls = [weight.get("overall") for weight in weights.values() if isinstance(weight, dict)]
    numbers = [o for o in overalls if isinstance(o, int | float)]
    if any(not 0 <= number <= 1 for number in numbers):
        return "Overall weight must be between 0.0 and 1.0."
    if numbers and not any(numbers):
        return "At least one control tag must have a non-zero overall weight."
    return None


def _weigh(settings: Object, before: str | None) -> None:
    """Adapt the weights to the configuration, if it differs from that of `before`.

    If the configuration is unchanged, all weights are kept. Otherwise those of its control tags are kept, and its other tags
    get the default (Community 1.23.2).
    """
    given = settings.get("control_weights", {})
    config = config_of(settings)
    if given and config == before:
        return
    weights = analyse(config).weights
    if weights and not isinstance(given, dict):
        raise Crash(f"{type(given).__name__!r} object has no attribute 'get'")
    known = given if isinstance(given, dict) else {}
    settings["control_weights"] = {name: _merge_weight(weight, known.get(name)) for name, weight in weights.items()}


def _merge_weight(default: JSON, given: JSON) -> JSON:
    if not isinstance(default, dict) or not isinstance(given, dict):
        return default
    # Labels that the configuration has no more are removed, and new ones get the weight one.
    labels, kept = default["labels"], given.get("labels")
    if isinstance(labels, dict) and isinstance(kept, dict):
        labels = {name: kept.get(name, weight) for name, weight in labels.items()}
    return default | {"overall": given.get("overall", 1.0), "labels": labels}


def config_of(settings: Mapping[str, JSON]) -> str:
    """The labelling configuration of a project's settings."""
    return str(settings.get("label_config") or spec.DEFAULTS["label_config"])


def _settings(project: Project, name: str) -> Object:
    value = project.settings.get(name)
    return value if isinstance(value, dict) else {}


def reread(call: Call, project_id: int) -> Project:
    """Return the stored project with this id.

    Raises:
        NotFound: There is none.
    """
    project = call.store.project(project_id)
    if project is None:
        raise NotFound("Project")
    return project
