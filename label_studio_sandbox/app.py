"""The routes, with the slash rules of the real server.

A route that the vendor declares with a slash at its end also answers without one, and without a redirect; a route
declared without one answers only so. Every other path is an HTML page without information (measured on Label Studio
Community 1.23.2; Enterprise's own routes follow its OpenAPI).
"""

from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.routing import Route

from label_studio_sandbox import account, gallery, imports, listing, members, projects, tasks, templates, workspaces
from label_studio_sandbox.calls import Handler, Settings
from label_studio_sandbox.gate import Endpoint, Gate, Page
from label_studio_sandbox.store import Store

_HEALTH = b'{"status": "UP"}'
#: The real page carries the whole front end, 170 kB of it.
_NOT_FOUND = (
    b"<!DOCTYPE html>\n<html lang=\"en\"><head><title>Label Studio</title></head><body><h1>404</h1>"
    b"<p>Page not found</p>\n" + b"<!-- front end -->\n" * 9_000 + b"</body></html>\n"
)  # fmt: skip

# The calls that a batch makes most often come first, because routes are tried in order.
_ROUTES: tuple[tuple[str, Mapping[str, Handler]], ...] = (
    ("/api/project-templates/{id:int}/create-project", {"POST": templates.create_from_template}),
    (
        "/api/projects/{id:int}/",
        {
            "GET": projects.get_project,
            "PATCH": projects.update_project,
            "PUT": projects.update_project,
            "DELETE": projects.delete_project,
        },
    ),
    ("/api/projects/", {"GET": listing.list_projects, "POST": projects.create_project}),
    ("/api/projects/counts/", {"GET": listing.count_projects}),
    ("/api/projects/{id:int}/import", {"POST": imports.import_tasks}),
    ("/api/projects/{id:int}/imports/{import:int}/", {"GET": imports.import_state}),
    ("/api/tasks/", {"GET": tasks.list_tasks}),
    ("/api/project-templates/", {"GET": templates.list_templates, "POST": templates.create_template}),
    (
        "/api/project-templates/{id:int}",
        {
            "GET": templates.get_template,
            "PATCH": templates.update_template,
            "PUT": templates.replace_template,
            "DELETE": templates.delete_template,
        },
    ),
    ("/api/projects/{id:int}/members/bulk/", {"POST": members.add_members}),
    ("/api/users/", {"GET": members.list_users}),
    ("/api/templates/", {"GET": gallery.list_gallery}),
    ("/api/workspaces/", {"GET": workspaces.list_workspaces, "POST": workspaces.create_workspace}),
    (
        "/api/workspaces/{id:int}/",
        {
            "GET": workspaces.get_workspace,
            "PATCH": workspaces.update_workspace,
            "DELETE": workspaces.delete_workspace,
        },
    ),
    (
        "/api/workspaces/{id:int}/projects/",
        {
            "GET": workspaces.list_workspace_projects,
            "POST": workspaces.add_workspace_project,
            "DELETE": workspaces.remove_workspace_project,
        },
    ),
    ("/api/current-user/whoami", {"GET": account.whoami}),
    ("/api/token/", {"GET": account.list_tokens, "POST": account.create_token}),
    ("/api/token/rotate/", {"POST": account.rotate_token}),
    ("/api/token/blacklist/", {"POST": account.revoke_token}),
)
_PUBLIC: tuple[tuple[str, Mapping[str, Handler]], ...] = (
    ("/api/version/", dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), account.version)),
    ("/api/token/refresh/", {"POST": account.refresh_token}),
    ("/api/projects/validate/", {"POST": projects.validate_config}),
)


def create_app(store: Store, settings: Settings | None = None) -> Starlette:
    """The sandbox as an ASGI application; `app.state.gate` holds its request log."""
    gate = Gate(store, settings or Settings())
    routes: list[Route] = []
    for table, public in ((_ROUTES, False), (_PUBLIC, True)):
        for path, handlers in table:
            routes += _both_slashes(path, Endpoint(gate, handlers, public=public))
    routes += _both_slashes("/health/", Page(gate, 200, _HEALTH))
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    app.router.default = Page(gate, 404, _NOT_FOUND)
    app.state.gate = gate
    return app


def _both_slashes(path: str, endpoint: Endpoint) -> list[Route]:
    paths = [path, path.rstrip("/")] if path.endswith("/") else [path]
    return [Route(each, endpoint) for each in paths]
