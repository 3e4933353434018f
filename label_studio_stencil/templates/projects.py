"""Templates in Label Studio: project templates, projects, and the labelling interfaces of its gallery."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import Rejected
from label_studio_stencil.labelstudio.models import Edition, Project
from label_studio_stencil.names import find, or_listed, same_or_nearest
from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.redaction import SECRET_FIELDS
from label_studio_stencil.rows.fields import ENTERPRISE_ONLY_FIELDS, FIELDS
from label_studio_stencil.templates.model import Template, values_digest

PROJECT = "project:"
GALLERY = "gallery:"

#: Settings that belong to one project and are not copied.
_NOT_COPIED = frozenset({"pinned_at", "model_version", "is_published", "is_draft", "created_by"}) | SECRET_FIELDS


async def from_server(references: Iterable[str], label_studio: LabelStudio) -> dict[str, Template | Problem]:
    """The project templates of Enterprise, by id or name."""
    on_server = await label_studio.project_templates()
    names = [template.name for template in on_server]
    found: dict[str, Template | Problem] = {}
    for reference in references:
        item = find(reference, on_server, names, kind="template")
        if isinstance(item, Problem):
            found[reference] = item
            continue
        description = item.project_settings.get("description")
        found[reference] = Template(
            reference=reference,
            name=item.name,
            identity=f"template:{item.id}:{item.version}",
            id=item.id,
            description=description if isinstance(description, str) else "",
        )
    return found


async def enterprise_only(references: Iterable[str], label_studio: LabelStudio) -> dict[str, Template | Problem]:
    """The problems of references to project templates on Community; each names the entries of the gallery that are nearest."""
    names = [entry.title for entry in await label_studio.gallery() if entry.type != "enterprise"]
    message = "only Label Studio Enterprise has project templates, and this is Community."
    found: dict[str, Template | Problem] = {}
    for reference in references:
        near = [f"`{GALLERY}{name}`" for name in same_or_nearest(reference, names)]
        hint = (
            f"Did you mean {or_listed(near)}?"
            if near
            else "Name an entry of the gallery (`stencil template list` shows them), a template file (`ner.yaml`) or an "
            "existing project (`project:17`)."
        )
        found[reference] = Problem("enterprise-only-template", message, None, "template", shown(reference), hint)
    return found


async def from_gallery(
    references: Iterable[str], label_studio: LabelStudio, edition: Edition
) -> dict[str, Template | Problem]:
    """The labelling interfaces that ship with Label Studio (`GET /api/templates/`), by name."""
    entries = await label_studio.gallery()
    names = [entry.title for entry in entries]
    found: dict[str, Template | Problem] = {}
    for reference in references:
        item = find(reference.removeprefix(GALLERY).strip(), entries, names, kind="template")
        if isinstance(item, Problem):
            found[reference] = replace(item, value=shown(reference))
            continue
        if item.type == "enterprise" and edition is Edition.COMMUNITY:
            # Community 1.23.2 takes them, and then can't open the project ("Not expecting tag").
            message = f"the interface {item.title!r} works only in Label Studio Enterprise."
            found[reference] = Problem(
                "enterprise-only-template", message, None, "template", shown(reference), "Choose another."
            )
            continue
        fields: dict[str, JSON] = {"label_config": item.config}
        found[reference] = Template(
            reference=reference, name=item.title, identity=f"gallery:{values_digest(fields)}", fields=fields
        )
    return found


async def from_project(reference: str, label_studio: LabelStudio, edition: Edition) -> Template | Problem:
    """The settings and labelling interface of an existing project."""
    wanted = reference.removeprefix(PROJECT).strip()
    project = await (
        _project_with_id(int(wanted), label_studio) if _is_id(wanted) else _project_named(wanted, label_studio)
    )
    if isinstance(project, Problem):
        return project
    fields = lent_settings(project.settings, edition)
    return Template(
        reference=reference,
        name=project.title,
        identity=f"project:{project.id}:{values_digest(fields)}",
        fields=fields,
        description=project.description,
    )


def lent_settings(settings: Mapping[str, JSON], edition: Edition) -> dict[str, JSON]:
    """The settings of a project that others may have, of those that an answer holds."""
    fields = {name: _content(value) for name, value in settings.items() if _copied(name, value, edition)}
    if not fields.get("control_weights"):
        fields.pop("control_weights", None)
    return fields


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


async def _project_with_id(wanted: int, label_studio: LabelStudio) -> Project | Problem:
    try:
        return await label_studio.project(wanted)
    except Rejected as rejected:
        if rejected.status != 404:
            raise
        message, hint = f"the owner of the token sees no project {wanted}.", "A project's address contains its id."
        return Problem("template-unknown", message, None, "template", f"{PROJECT}{wanted}", hint)


async def _project_named(wanted: str, label_studio: LabelStudio) -> Project | Problem:
    candidates: list[Project] = []
    number, more = 1, True
    while more:
        page = await label_studio.list_page(number, title=wanted, fields=("id", "title"))
        candidates += page.projects
        number, more = number + 1, page.has_next
    found = find(wanted, candidates, [project.title for project in candidates], kind="template")
    return found if isinstance(found, Problem) else await label_studio.project(found.id)


def _copied(name: str, value: JSON, edition: Edition) -> bool:
    known = name in FIELDS and name not in _NOT_COPIED and name != "description"
    takes = edition is Edition.ENTERPRISE or name not in ENTERPRISE_ONLY_FIELDS
    return known and takes and value is not None


def _content(value: JSON) -> JSON:
    """A setting without the ids of nested settings, and without nulls, which mean not set."""
    if not isinstance(value, dict):
        return value
    return {key: part for key, part in value.items() if key not in ("id", "project") and part is not None}
