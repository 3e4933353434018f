"""Project templates, and the projects made from them.

The calls and their fields are those of the vendor's OpenAPI. The code says where the sandbox decides what the OpenAPI leaves
open: which settings a template keeps of its project, which description a project gets, and that it starts unpublished.
"""

from label_studio_sandbox import spec
from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Invalid, NotFound, Rejected
from label_studio_sandbox.fields import Schema, expect_object, now
from label_studio_sandbox.projects import apply, find_workspace, render
from label_studio_sandbox.sorting import sort
from label_studio_sandbox.store import Project

_SETTINGS = Schema({k: v for k, v in spec.ON_UPDATE.items() if k not in spec.OWN_TO_A_PROJECT})
_BLANK: Object = {
    "assignment_settings": {},
    "created_by": 1,
    "custom_script": None,
    "description": None,
    "organization": 1,
    "project_settings": {},
    "require_comment_on_skip": False,
    "review_settings": {},
    "show_unused_data_columns_to_annotators": None,
    "tags": [],
}


def list_templates(call: Call) -> Answer:
    """All templates, as a list without pages."""
    return Answer(sort(call.store.all("templates"), call.query.get("ordering", "")))


def create_template(call: Call) -> Answer:
    """A template with the settings of the project that `project_id` names."""
    values = spec.TEMPLATE.clean(call.data())
    source = call.store.project(int(str(values.pop("project_id"))))
    if source is None:
        raise Rejected({"project_id": ["Project does not exist."]})
    body = new_template(_taken_from(source) | values)
    return Answer({"id": call.store.add("templates", body)} | body, 201)


def get_template(call: Call) -> Answer:
    """The template."""
    return Answer(_find(call))


def update_template(call: Call) -> Answer:
    """The template after a partial change."""
    template = _find(call)
    values = spec.TEMPLATE.clean(call.data(), partial=True)
    return _save(call, template, values)


def replace_template(call: Call) -> Answer:
    """The template after a change that names all required fields."""
    template = _find(call)
    return _save(call, template, spec.TEMPLATE.clean(call.data()))


def delete_template(call: Call) -> Answer:
    """Delete the template; projects made from it stay."""
    if not call.store.delete("templates", call.id):
        raise NotFound("ProjectTemplate")
    return Answer(status=204)


def create_from_template(call: Call) -> Answer:
    """A project with the template's settings."""
    template = _find(call)
    data = expect_object(call.data())
    values, errors = spec.CREATE_PROJECT.sift(data)
    workspace = None
    if "workspace_id" in values:
        try:
            workspace = find_workspace(call, values["workspace_id"])
        except Invalid as exc:
            errors["workspace_id"] = exc.messages
    if errors:
        raise Rejected(errors)
    project = Project(created_at=now(call.skew), id=call.project_id or call.store.reserve_project_id())
    apply(project, _handed_on(template))
    project.title = str(values["title"])
    project.workspace = workspace
    if values.get("description") is not None:
        project.description = str(values["description"])
    call.store.add_project(project)
    stored = call.store.project(project.id) or project
    return Answer(render(stored), 201)


def new_template(values: Object) -> Object:
    """A template's body with every field that `values` leaves out."""
    moment = now()
    return _BLANK | values | {"created_at": moment, "updated_at": moment}


def _handed_on(template: Object) -> Object:
    """The settings that a project gets; fields that projects don't have are left out, as everywhere."""
    settings = template["project_settings"]
    values, _ = _SETTINGS.sift(settings if isinstance(settings, dict) else {})
    for name in spec.TEMPLATE_LEVEL:
        if template[name] is not None:
            values[name] = template[name]
    for name, schema in (("assignment_settings", spec.ASSIGNMENT), ("review_settings", spec.REVIEW)):
        nested = template[name]
        if isinstance(nested, dict):
            values[name], _ = schema.sift(nested)
    return values


def _taken_from(project: Project) -> Object:
    body = render(project)
    settings: Object = {name: body[name] for name in spec.ON_UPDATE if name not in spec.OWN_TO_A_PROJECT}
    # A password belongs to one project; the description is copied.
    settings.pop("task_data_password", None)
    taken: Object = {"project_settings": settings}
    for name in ("assignment_settings", "review_settings"):
        taken[name] = _without_ids(body[name])
    for name in spec.TEMPLATE_LEVEL:
        taken[name] = body[name]
    taken["custom_script"] = body["custom_script"] or None
    return taken


def _without_ids(nested: JSON) -> JSON:
    if not isinstance(nested, dict):
        return nested
    return {name: value for name, value in nested.items() if name not in {"id", "project"}}


def _save(call: Call, template: Object, values: Object) -> Answer:
    # The source project of a template is stored once and never shown.
    values.pop("project_id", None)
    body = template | values | {"updated_at": now()}
    del body["id"]
    call.store.save("templates", call.id, body)
    return Answer({"id": call.id} | body)


def _find(call: Call) -> Object:
    template = call.store.get("templates", call.id)
    if template is None:
        raise NotFound("ProjectTemplate")
    return template
