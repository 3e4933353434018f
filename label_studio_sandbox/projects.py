"""Projects, one at a time: create, read, change, delete.

Behaviour is measured on Label Studio Community 1.23.2 where Community has the call, and taken from the vendor's OpenAPI
for what Enterprise adds.
"""

import re
from collections.abc import Mapping

from label_studio_sandbox import spec
from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.account import PERSON
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Crash, Invalid, NotFound, Refusal, Rejected
from label_studio_sandbox.fields import NULL, Flag, Schema, expect_object, now
from label_studio_sandbox.labelconfig import analyse, precheck
from label_studio_sandbox.store import Project

_CREATE = Schema(spec.ON_CREATE)
_UPDATE = Schema(spec.ON_UPDATE)
_COLUMNS = ("title", "description", "workspace", "pinned_at")


def create_project(call: Call) -> Answer:
    """The new project; its counters are null."""
    data = expect_object(call.data())
    if "color" in data and data["color"] is None:
        raise Crash("'NoneType' object has no attribute 'startswith'")
    _refuse_markup(data)
    values, errors = _clean_related(call, data, _CREATE)
    if errors:
        raise Rejected(errors)
    if data.get("control_weights", "") is None and analyse(config_of(values)).has_controls:
        raise Crash("argument of type 'NoneType' is not iterable")
    project = Project(created_at=now(call.skew), id=call.project_id or call.store.reserve_project_id())
    apply(project, values)
    call.store.add_project(project)
    body = render(reread(call, project.id), fresh=True)
    for name in spec.NOT_ON_CREATE:
        del body[name]
    return Answer(trim(call, body), 201)


def get_project(call: Call) -> Answer:
    """The project."""
    return Answer(trim(call, render(reread(call, call.id)) | spec.RESPONSE_EXTRAS))


def update_project(call: Call) -> Answer:
    """The project after a partial change; `PUT` is one too."""
    data = expect_object(call.data())
    precheck(data.get("label_config"))
    project = reread(call, call.id)
    if "color" in data and data["color"] is None:
        raise Crash("'NoneType' object has no attribute 'startswith'")
    _refuse_markup(data)
    values, errors = _clean_related(call, data, _UPDATE)
    # No model backend is ever connected to the sandbox, so that only the empty version exists.
    if "model_version" in data and values.get("model_version") != "":
        message = "Model version doesn't exist either as live model or as static predictions."
        errors["model_version"] = [message]
    if errors:
        raise Rejected(errors)
    if values.get("show_collab_predictions") is False:
        values["model_version"] = ""
    apply(project, values)
    call.store.save_project(project)
    return Answer(trim(call, render(reread(call, call.id)) | spec.RESPONSE_EXTRAS))


def delete_project(call: Call) -> Answer:
    """Delete the project."""
    if not call.store.delete_project(call.id):
        raise NotFound("Project")
    return Answer(status=204)


def validate_config(call: Call) -> Answer:
    """Nothing, for a `label_config` that a project would take; asks for no token."""
    data = expect_object(call.data())
    if "label_config" not in data:
        raise Rejected({"label_config": ["This field is required."]})
    try:
        spec.ON_CREATE["label_config"].clean(data["label_config"])
    except Invalid as exc:
        body: Object = {"label_config": exc.messages}
        raise Refusal(400, "Validation error", bare=body) from None
    return Answer(status=204)


def apply(project: Project, values: Object) -> None:
    """Set cleaned values on the project, and everything that follows from them."""
    settings = project.settings
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
    if "label_config" in values or "control_weights" in values:
        _settle_weights(settings)


def render(project: Project, *, fresh: bool = False) -> Object:
    """The project as create-project answers it: every field of the vendor's `LseProject`.

    Args:
        project: as it is stored.
        fresh: it has just been created, so that its counters are null.
    """
    body = spec.DEFAULTS | spec.SERVER_DEFAULTS | project.settings
    config = analyse(config_of(body))
    tasks = None if fresh else project.tasks
    body |= dict.fromkeys(spec.COUNTERS, None if fresh else 0)
    body |= {
        "id": project.id,
        "title": project.title,
        "description": project.description,
        "workspace": project.workspace,
        "workspace_title": project.workspace_title,
        "pinned_at": project.pinned_at,
        "created_at": project.created_at,
        "created_by": PERSON,
        "task_number": tasks,
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


def trim(call: Call, body: Object) -> Object:
    """Only the keys that `include` names, as Community does with it (Enterprise's page speaks of counters alone)."""
    if "include" not in call.query_string:
        return body
    wanted = [name.strip() for name in call.query.get("include", "").split(",") if name.strip()]
    return {name: body[name] for name in wanted if name in body} if wanted else body


def find_workspace(call: Call, value: JSON) -> int:
    """The id of the workspace that a body names.

    Raises:
        Invalid: there is none.
    """
    if value is None:
        raise Invalid(NULL)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)):
        raise Invalid(f"Incorrect type. Expected pk value, received {type(value).__name__}.")
    if call.store.get("workspaces", int(str(value))) is None:
        raise Invalid(f'Invalid pk "{value}" - object does not exist.')
    return int(str(value))


def _clean_related(call: Call, data: Object, schema: Schema) -> tuple[Object, Object]:
    if call.is_form and schema is _CREATE:
        # A form cannot say that a box is not ticked, so a missing boolean is read as false.
        data = dict.fromkeys((n for n, kind in schema.fields.items() if isinstance(kind, Flag)), False) | data
    values, errors = schema.sift(data)
    if "workspace" in data:
        try:
            values["workspace"] = find_workspace(call, data["workspace"])
        except Invalid as exc:
            errors["workspace"] = exc.messages
    if data.get("organization") not in (None, 1, "1"):
        errors["organization"] = [f'Invalid pk "{data["organization"]}" - object does not exist.']
    if "created_by" in data and not isinstance(data["created_by"], dict):
        kind = type(data["created_by"]).__name__
        message = f"Invalid data. Expected a dictionary, but got {kind}."
        errors["created_by"] = {"non_field_errors": [message]}
    if isinstance(values.get("expert_instruction"), str):
        values["expert_instruction"] = _tidy_markup(str(values["expert_instruction"]))
    if (weights := values.get("control_weights")) and (reason := _refuse_weights(weights)):
        errors["control_weights"] = [reason]
    return values, errors


def _refuse_markup(data: Object) -> None:
    if "expert_instruction" in data and not isinstance(data["expert_instruction"], str):
        kind = type(data["expert_instruction"]).__name__
        raise Crash(f"argument cannot be of '{kind}' type, must be of text type")


def _tidy_markup(text: str) -> str:
    """The HTML with loose `&`, `<` and `>` escaped, which is what the server's cleaner does to plain text."""
    parts = re.split(r"(<!--.*?-->|</?[A-Za-z][^<>]*>)", text, flags=re.DOTALL)
    for i in range(0, len(parts), 2):
        loose = re.sub(r"&(?!#?\w+;)", "&amp;", parts[i])
        parts[i] = loose.replace("<", "&lt;").replace(">", "&gt;")
    return "".join(parts)


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


def _settle_weights(settings: Object) -> None:
    """Keep the weights of the configuration's own control tags, and give the others theirs."""
    given = settings.get("control_weights")
    defaults = analyse(config_of(settings)).weights
    if "control_weights" in settings and given is None:
        settings["control_weights"] = {}
    elif isinstance(given, dict):
        settings["control_weights"] = {
            name: _merge_weight(weight, given.get(name)) for name, weight in defaults.items()
        }
    else:
        settings.pop("control_weights", None)


def _merge_weight(default: JSON, given: JSON) -> JSON:
    if not isinstance(default, dict) or not isinstance(given, dict):
        return default
    # Labels that the configuration does not have any more go, new ones come in with weight one.
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
    """The project of that id as it is stored.

    Raises:
        NotFound: there is none.
    """
    project = call.store.project(project_id) if project_id < 2**63 else None
    if project is None:
        raise NotFound("Project")
    return project
