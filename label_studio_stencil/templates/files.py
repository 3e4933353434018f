"""Template files: templates in YAML or JSON, on disk or at a URL, which may extend one another.

Besides project settings a file has `name`, `title`, `variables`, `extends` (another file, from its own folder) and
`label_config_file` (the labelling interface beside it).
"""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from label_studio_stencil.files import PERSON, Asker, Unusable, read
from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.rows.payload import IF_KNOWN_THERE, parse_overrides
from label_studio_stencil.rows.references import MOST_IN_TEXT
from label_studio_stencil.sheet.encodings import text_of
from label_studio_stencil.templates.model import Template, values_digest
from label_studio_stencil.templates.rendering import (
    FIELDS,
    Unrenderable,
    foreign_kept,
    has_placeholders,
    names_in,
)
from label_studio_stencil.templates.saved import template_text
from label_studio_stencil.templates.variables import BadVariable, Variable, variable
from label_studio_stencil.templates.yaml_text import read_yaml

FILE = "file:"

#: Largest template file, in bytes. The labelling interface beside it may be as large as any text that a cell names.
_MOST_IN_FILE = 1_000_000
_MOST_EXTENDED = 10
_SUFFIXES = (".yaml", ".yml", ".json")


class BadFile(ValueError):
    """A template file can't be used. Has the code of the problem; the text says why."""

    def __init__(self, reason: str, *, code: str = "template-invalid") -> None:
        self.code = code
        super().__init__(reason)


def is_file(reference: str) -> bool:
    """Whether a reference is a path or URL of a template file."""
    return reference.startswith(FILE) or _path_of(reference).lower().endswith(_SUFFIXES)


def from_here(reference: str) -> str:
    """Resolve a reference from the command line: a file in the current folder gets its whole path.

    Other relative paths start at the sheet's folder, as those in cells do.
    """
    where = reference.strip().removeprefix(FILE).strip()
    if not is_file(reference.strip()) or "://" in where or not Path(where).is_file():
        return reference
    return f"{FILE}{Path(where).resolve()}"


def from_anywhere(reference: str, folder: Path | None) -> str:
    """The reference for a sheet in another folder: a template file with its whole path."""
    if not is_file(reference) or folder is None:
        return reference
    where = _located(reference, folder)
    return where if "://" in where else f"{FILE}{Path(where).resolve()}"


def read_template(reference: str, folder: Path | None, asker: Asker = PERSON) -> Template | Problem:
    """The template in a file, for both editions, or its problem.

    Args:
        reference: `ner.yaml`, `file:ner.yaml` or a URL.
        folder: Where relative paths start; `None` means the current folder.
        asker: Who names it. Files that it names must lie in its folder, and are opened with the rights of a row.
    """
    try:
        return _template(reference, _located(reference, folder), asker)
    except BadFile as error:
        if error.code == "template-unknown":
            return Problem(
                error.code, f"the template file can't be read: {error}.", column="template", value=shown(reference)
            )
        return Problem(error.code, f"the template file is invalid: {error}", column="template", value=shown(reference))


def _fault(problem: Problem) -> str:
    # The file can't pass on what Stencil does not know.
    return problem.message if problem.hint == IF_KNOWN_THERE else problem.text


def _path_of(reference: str) -> str:
    return urlsplit(reference).path if "://" in reference else reference


def _located(reference: str, folder: Path | None) -> str:
    where = reference.removeprefix(FILE).strip()
    if "://" in where or folder is None:
        return where
    return str(folder / where)


def _template(reference: str, where: str, asker: Asker) -> Template:
    faults: list[str] = []
    content = _extended(where, asker, faults, depth=0)
    name = str(content.pop("name", None) or Path(_path_of(where)).stem)
    title = content.pop("title", None)
    variables = _variables(content.pop("variables", None), faults)
    texts = {
        field: text for field in FIELDS if isinstance(text := content.get(field, ""), str) and has_placeholders(text)
    }
    if interface := _interface(texts.pop("label_config", ""), variables):
        texts["label_config"] = interface
    given = {key: value for key, value in content.items() if key not in texts}
    fields, problems = parse_overrides(given, line=None, allow_unknown=False)
    faults += [_fault(problem) for problem in problems]
    # A blank text is no value for a setting that is not text.
    faults += [_EMPTY.format(name=key) for key in given.keys() - fields.keys() - {each.column for each in problems}]
    if title is not None and has_placeholders(str(title)):
        texts["title"] = str(title)
    _check_placeholders(texts, variables, faults)
    if faults:
        raise BadFile("; ".join(fault.rstrip(".") for fault in dict.fromkeys(faults)) + ".")
    description = fields.pop("description", "")
    return Template(
        reference=reference,
        name=name,
        identity=f"file:{values_digest({**fields, **texts})}",
        fields=fields,
        description=str(description),
        title="" if title is None or "title" in texts else str(title),
        variables=variables,
        texts=texts,
    )


def _interface(text: str, variables: Mapping[str, Variable]) -> str:
    """A labelling interface if it uses the file's variables, else empty: Label Studio has placeholders of its own."""
    if not variables and "{%" not in text:
        return ""
    try:
        return foreign_kept(text, variables)
    except Unrenderable:
        # Reported with the other faults of the file.
        return text


_EMPTY = "{name} is empty: leave it out, or give it a value"


def _extended(where: str, asker: Asker, faults: list[str], depth: int) -> dict[str, object]:
    """The content of a file over those that it extends. Its own settings win, and variables are merged.

    Wrong values are added to `faults`.
    """
    if depth > _MOST_EXTENDED:
        raise BadFile(f"`extends` goes more than {_MOST_EXTENDED} files deep, or in a circle")
    content = _mapping(where, asker, faults)
    if asker.places is None:
        asker = asker.rows(where)
    interface = content.pop("label_config_file", None)
    if interface is not None:
        if "label_config" in content:
            raise BadFile("it has both label_config and label_config_file: keep one of them")
        content["label_config"] = _text(_beside(where, interface), asker, MOST_IN_TEXT)
    base = content.pop("extends", None)
    if base is None:
        return content
    below = _extended(_beside(where, base), asker, faults, depth + 1)
    variables = {**_declared(below.get("variables")), **_declared(content.get("variables"))}
    # A name is not inherited.
    below.pop("name", None)
    return {**below, **content, **({"variables": variables} if variables else {})}


def _declared(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadFile("`variables` must be a mapping of names")
    return {str(name): declared for name, declared in value.items()}


def _variables(declared: object, faults: list[str]) -> dict[str, Variable]:
    found = {}
    for name, each in _declared(declared).items():
        try:
            found[name] = variable(name, each)
        except BadVariable as error:
            faults.append(str(error))
            found[name] = Variable(name)
    return found


def _check_placeholders(texts: Mapping[str, str], variables: Mapping[str, Variable], faults: list[str]) -> None:
    used: set[str] = set()
    for field, text in texts.items():
        try:
            names = names_in(text)
        except Unrenderable as error:
            faults.append(
                f"{field}: {str(error).rstrip('.')}. Put literal braces between {{% raw %}} and {{% endraw %}}"
            )
            used |= variables.keys()
            continue
        undeclared = sorted(names - variables.keys())
        known = f"; declared are {', '.join(variables)}" if variables else ""
        faults += [f"{field} uses {name}, which `variables` does not declare{known}" for name in undeclared]
        used |= names
    faults += [
        f"`variables` declares {name}, which no text uses: remove it" for name in sorted(variables.keys() - used)
    ]


def _beside(where: str, other: object) -> str:
    """The text of a file that a template file names; it must lie in the template file's folder."""
    name = str(other).strip().removeprefix(FILE)
    parts = name.replace("\\", "/").split("/")
    if not name or "://" in name or name.startswith(("/", "~")) or ".." in parts or ":" in parts[0]:
        raise BadFile(f"{shown(name)!r}: a template file names others in its own folder or below it")
    if "://" in where:
        start, _, path = where.partition("://")
        return f"{start}://{posixpath.join(posixpath.dirname(path.partition('?')[0]), name)}"
    return str(Path(where).parent / name)


def _mapping(where: str, asker: Asker, faults: list[str]) -> dict[str, object]:
    text = _text(where, asker, MOST_IN_TEXT if _path_of(where).lower().endswith(".json") else _MOST_IN_FILE)
    if text.lstrip()[:1] in ("{", "["):
        try:
            text = template_text(text)
        except ValueError as error:
            raise BadFile(str(error)) from None
    try:
        found = read_yaml(text)
    except yaml.YAMLError as error:
        # The place only, not the line: the file may be somebody else's, named by mistake or on purpose.
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise BadFile(f"{place}{_unquoted(str(getattr(error, 'problem', None) or error))}") from None
    if not isinstance(found.value, dict):
        raise BadFile("it must be a mapping with `name`, `label_config` and settings")
    faults += found.faults
    content = {str(key): value for key, value in found.value.items()}
    told = {fault.partition(" ")[0] for fault in found.faults}
    faults += [_EMPTY.format(name=key) for key, value in content.items() if value is None and key not in told]
    return {key: value for key, value in content.items() if value is not None}


def _unquoted(reason: str) -> str:
    """The message of YAML's parser without quotes from the file; its own terms are in angle brackets."""
    said = re.sub(r"""(['"])(?!<)(?:(?!\1).){2,}\1""", "...", reason)
    return said + next((f": {advice}" for words, advice in _YAML_ADVICE.items() if words in said), "")


_YAML_ADVICE = {
    "mapping values are not allowed here": "put a value that holds a colon and a space in quotes",
    "cannot start any token": "indent with spaces, not with tabs, and put a value that starts with @, ` or % in quotes",
}


def _text(where: str, asker: Asker, most: int) -> str:
    try:
        return text_of(read(where, asker, most=most))
    except Unusable as error:
        raise BadFile(str(error).rstrip("."), code="template-unknown") from None
    except UnicodeDecodeError:
        raise BadFile("it is not UTF-8 text", code="template-unknown") from None
