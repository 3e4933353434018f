"""Reads and writes the YAML of template files: version 1.2, in which `no`, `12:30` and `2026-01-02` are texts.

Text that YAML would drop silently is an error: a value behind an unquoted `#`, and a duplicate name.
"""

import re

import yaml

from label_studio_stencil.problems import shown

#: How deeply lists and mappings may nest.
_DEEPEST = 50

_NULL = (re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""])
_BOOLEAN = (re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))
_INTEGER = (re.compile("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789"))
_FLOAT = (
    re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
    list("-+.0123456789"),
)
_CORE = {"null": _NULL, "bool": _BOOLEAN, "int": _INTEGER, "float": _FLOAT}


class _Loader(yaml.SafeLoader):
    """Reads only the types of YAML 1.2."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  # PyYAML copies it


class Readable(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and quotes texts that any version of YAML would read as another type."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML takes these for line breaks.
    style = '"' if re.search("[\x85\u2028\u2029]", text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Readable.add_representer(str, _block)
for _name, (_pattern, _first) in _CORE.items():
    _whole = re.compile(f"(?:{_pattern.pattern})$")
    for _reader in (_Loader, Readable):
        _reader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _whole, _first)


def _integer(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    base = {"0o": 8, "0x": 16}.get(node.value[:2], 10)
    return int(node.value[2:] if base != 10 else node.value, base)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


class Found:
    """The content of a text, and faults of single values.

    Attributes:
        value: Lists, mappings and scalars.
        faults: Sentences, each about one value.
    """

    def __init__(self, value: object, faults: list[str]) -> None:
        self.value = value
        self.faults = faults


def read_yaml(text: str) -> Found:
    """Parse a text. Aliases are errors, because they make a small file large.

    Raises:
        yaml.YAMLError: It is not YAML, nested deeply, or has aliases.
    """
    loader = _Loader(text)
    try:
        _refuse_deep(text)
        node = loader.get_single_node()
        faults = [] if node is None else _faults(text, node, "")
        return Found(None if node is None else loader.construct_document(node), faults)
    except (ValueError, RecursionError) as error:
        raise yaml.YAMLError(f"it holds a value that can't be: {error}") from error
    finally:
        loader.dispose()


def _refuse_deep(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases (*name); write out what they stand for")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {_DEEPEST} levels deep")


def _faults(text: str, node: yaml.Node, name: str) -> list[str]:
    """The values that YAML would drop, in a node and below it."""
    if isinstance(node, yaml.MappingNode):
        found, seen = [], set()
        for key, value in node.value:
            place = shown(f"{name}.{key.value}" if name else key.value)
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                found.append(f"{place} is there twice, the second time on line {key.start_mark.line + 1}")
            seen.add(str(key.value))
            found += _faults(text, value, place)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [fault for item in node.value for fault in _faults(text, item, name)]
    if (
        not isinstance(node, yaml.ScalarNode)
        or node.style is not None
        or node.tag.endswith((":int", ":float", ":bool"))
    ):
        return []
    rest = text[node.end_mark.index :].partition("\n")[0]
    if not re.match(r"\s*#\S" if not node.value else r"\s+#[^\s#]", rest):
        return []
    line = node.end_mark.line + 1
    what = "is empty" if not node.value else "ends early"
    return [f"{name} {what} on line {line}, since YAML takes what follows # for a comment: put the value in quotes"]
