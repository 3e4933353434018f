"""Workspaces and their projects, after the vendor's OpenAPI.

What it leaves open: an unfiltered list holds archived workspaces too (the switch is described as one that excludes them),
titles may repeat, and the projects of a deleted workspace stay, in none.
"""

from label_studio_sandbox import spec
from label_studio_sandbox._json import Object
from label_studio_sandbox.account import PERSON
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import Invalid, NotFound, Refusal, Rejected
from label_studio_sandbox.fields import Flag, Integer, Schema
from label_studio_sandbox.listing import render_item
from label_studio_sandbox.sorting import sort
from label_studio_sandbox.store import Project, Query

_BLANK: Object = {
    "color": "#FFFFFF",
    "created_by": 1,
    "description": "",
    "is_archived": False,
    "is_personal": False,
}
_PROJECT = Schema({"project": Integer()}, frozenset({"project"}))


def list_workspaces(call: Call) -> Answer:
    """Every workspace that fits the query's switches, as a bare list."""
    asked = call.query
    found = call.store.all("workspaces")
    for switch in ("is_archived", "is_personal"):
        if switch in asked:
            wanted = _switch(switch, asked[switch])
            found = [workspace for workspace in found if workspace[switch] == wanted]
    everybodys = _switch("include_all_workspaces", asked.get("include_all_workspaces", "false"))
    counts = call.store.project_counts()
    rendered = [_render(workspace, counts, with_owner=everybodys) for workspace in found]
    return Answer(sort(rendered, asked.get("ordering", "")))


def create_workspace(call: Call) -> Answer:
    """The new workspace."""
    body = new_workspace(call.clean(spec.WORKSPACE))
    row_id = call.store.add("workspaces", body)
    return Answer(_render({"id": row_id} | body, {}), 201)


def get_workspace(call: Call) -> Answer:
    """The workspace."""
    return Answer(_render(_find(call), call.store.project_counts()))


def update_workspace(call: Call) -> Answer:
    """The workspace after a partial change."""
    body = _find(call) | spec.WORKSPACE.clean(call.data(), partial=True)
    stored = {name: value for name, value in body.items() if name != "id"}
    call.store.save("workspaces", call.id, stored)
    return Answer(_render(body, call.store.project_counts()))


def delete_workspace(call: Call) -> Answer:
    """Delete the workspace."""
    _find(call)
    call.store.delete("workspaces", call.id)
    return Answer(status=204)


def list_workspace_projects(call: Call) -> Answer:
    """The workspace's projects, as a bare list."""
    _find(call)
    found = call.store.projects(Query(["p.workspace = ?"], [call.id]))
    return Answer([render_item(project) for project in found])


def add_workspace_project(call: Call) -> Answer:
    """Move the project into this workspace."""
    _find(call)
    project = _project(call, call.clean(_PROJECT)["project"])
    project.workspace = call.id
    call.store.save_project(project)
    return Answer({"detail": "Project added"}, 201)


def remove_workspace_project(call: Call) -> Answer:
    """Take the project out of its workspace."""
    _find(call)
    asked = _PROJECT.clean(dict(call.query) or call.data())
    project = _project(call, asked["project"])
    if project.workspace != call.id:
        raise NotFound("Project")
    project.workspace = None
    call.store.save_project(project)
    return Answer(status=204)


def new_workspace(values: Object) -> Object:
    """A workspace's body with every field that `values` leaves out."""
    return _BLANK | values


def _render(workspace: Object, counts: dict[int, int], *, with_owner: bool = False) -> Object:
    owned = with_owner and workspace["is_personal"] is True
    return workspace | {
        "created_by_user": PERSON if owned else None,
        "membership": {"role": "OW"},
        "projects_count": counts.get(int(str(workspace["id"])), 0),
    }


def _find(call: Call) -> Object:
    workspace = call.store.get("workspaces", call.id)
    if workspace is None:
        raise NotFound("Workspace")
    return workspace


def _project(call: Call, value: object) -> Project:
    project = call.store.project(int(str(value)))
    if project is None:
        raise Rejected({"project": [f'Invalid pk "{value}" - object does not exist.']})
    return project


def _switch(name: str, text: str) -> bool:
    try:
        return Flag().clean(text) is True
    except Invalid as exc:
        raise Refusal(400, "Validation error", validation_errors={name: exc.messages}) from None
