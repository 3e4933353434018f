"""Template references and what they resolve to, per edition.

Three kinds: a project template on the studio (Enterprise; by id or name), the settings of an existing project
(`project:17`, `project:Gold standard`), and a YAML file (`file:ner.yaml`, or a path that ends in `.yaml` or `.yml`).
Each is read once a batch, however many rows name it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from stencil.json_value import JSON
from stencil.labelstudio import Edition, LabelStudio, Project, Rejected
from stencil.names import find
from stencil.overrides import ENTERPRISE_ONLY_FIELDS, FIELDS, SECRET_FIELDS, parse_overrides
from stencil.problems import Problem, shown

#: Settings of a project that are its own and not a template's: where it stands, and what its server decided for it.
_NOT_COPIED = frozenset({"pinned_at", "model_version", "is_published", "is_draft", "created_by"}) | SECRET_FIELDS

_MOST_IN_FILE = 1_000_000
_DEEPEST = 50
_FILE_SUFFIXES = (".yaml", ".yml")
_PROJECT = "project:"
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class Template:
    """What projects are made from, resolved.

    Attributes:
        reference: As the sheet has it.
        name: For people.
        identity: Kind, id and version in one string: it changes when what the template makes changes.
        id: Id of the project template that the studio instantiates, or `None` where the settings are in `fields`.
        fields: Settings that Stencil itself writes, for kinds that the studio can't instantiate.
        description: The description that a project gets where its row sets none.
    """

    reference: str
    name: str
    identity: str
    id: int | None = None
    fields: Mapping[str, JSON] = field(default_factory=dict)
    description: str = ""


async def resolve_templates(
    references: Iterable[str], studio: LabelStudio, edition: Edition, *, folder: Path | None
) -> dict[str, Template | Problem]:
    """Each reference with its template, or with the problem it has.

    Args:
        references: Distinct references of a sheet.
        studio: Where to look them up.
        edition: Which kinds there can be.
        folder: Where relative paths of template files start; `None` means the current folder.

    Raises:
        LabelStudioError: The studio did not answer.
    """
    found: dict[str, Template | Problem] = {}
    named: list[str] = []
    for reference in references:
        if reference.startswith(_PROJECT):
            found[reference] = await _from_project(reference, studio, edition)
        elif is_file(reference):
            found[reference] = _from_file(reference, edition, folder)
        else:
            named.append(reference)
    if named and edition is Edition.COMMUNITY:
        found |= {reference: _enterprise_only(reference) for reference in named}
    elif named:
        found |= await _from_server(named, studio)
    return found


def is_file(reference: str) -> bool:
    """Whether a reference names a template file."""
    return reference.startswith(_FILE) or reference.lower().endswith(_FILE_SUFFIXES)


def from_anywhere(reference: str, folder: Path | None) -> str:
    """The reference as a sheet in another folder has to write it: a template file with its whole path."""
    if not is_file(reference) or folder is None:
        return reference
    path = reference.removeprefix(_FILE).strip()
    return f"{_FILE}{(folder / path).resolve()}"


async def _from_server(references: Iterable[str], studio: LabelStudio) -> dict[str, Template | Problem]:
    on_server = await studio.project_templates()
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


def _enterprise_only(reference: str) -> Problem:
    message = (
        "project templates exist in Label Studio Enterprise alone, and this studio is Community: name a template file "
        "(`ner.yaml`) or an existing project (`project:17`)."
    )
    return Problem("enterprise-only-template", message, column="template", value=shown(reference))


async def _from_project(reference: str, studio: LabelStudio, edition: Edition) -> Template | Problem:
    wanted = reference.removeprefix(_PROJECT).strip()
    project = await (_project_with_id(int(wanted), studio) if _is_id(wanted) else _project_named(wanted, studio))
    if isinstance(project, Problem):
        return project
    fields = {name: _content(value) for name, value in project.settings.items() if _copied(name, value, edition)}
    if not fields.get("control_weights"):
        fields.pop("control_weights", None)
    return Template(
        reference=reference,
        name=project.title,
        identity=f"project:{project.id}:{_hash(fields)}",
        fields=fields,
        description=project.description,
    )


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit()


async def _project_with_id(wanted: int, studio: LabelStudio) -> Project | Problem:
    try:
        return await studio.project(wanted)
    except Rejected as rejected:
        if rejected.status != 404:
            raise
        message = f"the studio shows this token no project {wanted}; its id stands in the project's address."
        return Problem("template-unknown", message, column="template", value=f"{_PROJECT}{wanted}")


async def _project_named(wanted: str, studio: LabelStudio) -> Project | Problem:
    candidates: list[Project] = []
    number, more = 1, True
    while more:
        page = await studio.list_page(number, title=wanted, fields=("id", "title"))
        candidates += page.projects
        number, more = number + 1, page.has_next
    found = find(wanted, candidates, [project.title for project in candidates], kind="template")
    return found if isinstance(found, Problem) else await studio.project(found.id)


def _copied(name: str, value: JSON, edition: Edition) -> bool:
    known = name in FIELDS and name not in _NOT_COPIED and name != "description"
    takes = edition is Edition.ENTERPRISE or name not in ENTERPRISE_ONLY_FIELDS
    return known and takes and value is not None


def _content(value: JSON) -> JSON:
    """A setting without what ties it to its project: nested settings have ids of their own, and nulls that mean not set."""
    if not isinstance(value, dict):
        return value
    return {key: part for key, part in value.items() if key not in ("id", "project") and part is not None}


def _from_file(reference: str, edition: Edition, folder: Path | None) -> Template | Problem:
    path = Path(reference.removeprefix(_FILE).strip())
    path = path if path.is_absolute() or folder is None else folder / path
    try:
        content = _yaml(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"the template file can't be read: {reason}."
        return Problem("template-unknown", message, column="template", value=shown(reference))
    except yaml.YAMLError as error:
        # The place, and not the line itself: the file may be somebody else's, named by mistake or on purpose.
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        return _bad_file(reference, f"{place}{getattr(error, 'problem', None) or error}")
    if not isinstance(content, dict):
        return _bad_file(reference, "it must be a mapping with `name`, `label_config` and settings")
    name = content.pop("name", path.stem)
    settings = {str(key): value for key, value in content.items() if value is not None}
    fields, problems = parse_overrides(settings, line=None, allow_unknown=False)
    if not problems and edition is Edition.COMMUNITY:
        problems = [community_problem(field) for field in fields if field in ENTERPRISE_ONLY_FIELDS]
    if problems:
        return _bad_file(reference, "; ".join(f"{problem.column}: {problem.message}" for problem in problems))
    description = fields.pop("description", "")
    return Template(
        reference=reference,
        name=str(name),
        identity=f"file:{_hash(fields)}",
        fields=fields,
        description=str(description),
    )


def _yaml(path: Path) -> object:
    """What a template file says; aliases, which make a small file large, are refused.

    Raises:
        OSError: It can't be read.
        UnicodeDecodeError: It is not UTF-8.
        yaml.YAMLError: It is not YAML, larger than 1 MB, nested deeply, or has aliases.
    """
    with path.open("rb") as file:
        content = file.read(_MOST_IN_FILE + 1)
    if len(content) > _MOST_IN_FILE:
        raise yaml.YAMLError(f"it is larger than {_MOST_IN_FILE // 1_000_000} MB")
    text = content.decode("utf-8-sig")
    try:
        _refuse_bombs(text)
        return yaml.safe_load(text)
    except ValueError as error:
        raise yaml.YAMLError(f"it holds a value that can't be: {error}") from error


def _refuse_bombs(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name); write out what they stand for")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} levels deep")


def community_problem(field: str, *, line: int | None = None) -> Problem:
    """The problem of a field that Community would drop without a word (measured on 1.23.2)."""
    message = f"{field} exists in Label Studio Enterprise alone; Community would drop it without a word. Leave it out."
    return Problem("enterprise-only-field", message, line=line, column=field)


def _bad_file(reference: str, why: str) -> Problem:
    return Problem("template-invalid", f"the template file is not right: {why}", column="template", value=reference)


def _hash(fields: Mapping[str, JSON]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
