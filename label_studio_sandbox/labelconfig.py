"""Checks labelling configurations, and derives from them what the server does.

The checks and messages are those of Label Studio Community 1.23.2, and `tests/real/test_agreement.py` compares them. The
server first applies a JSON schema, which knows few tags and only those directly below `View`; then it searches the text for
names. An analysis is cached, because all projects of a template have the same configuration.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from xml.etree import ElementTree
from xml.parsers import expat

from jsonschema import Draft6Validator
from jsonschema.exceptions import best_match

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.errors import Crash, Invalid, Refusal
from label_studio_sandbox.fields import half_character

_LABELS = {"Label", "Choice", "Relation"}
#: Controls that prevent labelling many tasks at once.
_REGIONS = {
    "brush", "brushlabels", "ellipse", "ellipselabels", "hypertextlabels", "keypoint", "keypointlabels", "labels", "magicwand",
    "paragraphlabels", "polygon", "polygonlabels", "rectangle", "rectanglelabels", "timeserieslabels", "videorectangle",
}  # fmt: skip
#: Controls that allow it if they apply to the task as a whole.
_WHOLE = {"choices", "datetime", "number", "rating", "taxonomy", "textarea"}
#: Playback speeds of videos.
_SLOWEST, _FASTEST = 0.05, 10


def _kind(name: str) -> Object:
    return {"$ref": f"#/definitions/{name}"}


def _several_or_one(name: str) -> Object:
    return {"anyOf": [{"type": "array", "items": _kind(name)}, _kind(name)]}


def _needs(how: str, alternatives: list[list[str]], properties: Object) -> Object:
    text: Object = {"$": {"type": "string"}}
    return {
        "type": "object",
        how: [{"required": [*names]} for names in alternatives],
        "properties": text | properties,
    }


_STRING: Object = {"type": "string"}
_VALUE: Object = {"anyOf": [{"type": "string"}, {"type": "boolean"}, {"type": "number"}]}
_NAMES: Object = {"@name": _STRING, "@toName": _STRING}
#: The schema of a configuration that `_as_json` has converted. It applies to the tags directly below `View`, in any order.
_VIEW: Object = {
    "Choices": _kind("several Choices"),
    "Labels": _kind("several Labels"),
    "View": _kind("several View"),
    "Image": _kind("objects"),
    "Text": _kind("objects"),
    "HyperText": _kind("objects"),
    "TextArea": _kind("several TextArea"),
    "Number": {"anyOf": [_kind("control"), {"type": "array", "items": _kind("control")}]},
}
_SCHEMA: Object = {
    "definitions": {
        "label": {"type": "object", "required": ["@value"], "properties": {"@value": _VALUE, "$": _STRING}},
        "labels": _several_or_one("label"),
        "object": _needs("oneOf", [["@name", "@value"], ["@name", "@valueList"]], {"@value": _VALUE}),
        "objects": _several_or_one("object"),
        "control": _needs("oneOf", [["@name", "@toName"]], _NAMES),
        "Choices": _needs(
            "anyOf",
            [["@name", "@toName", inside] for inside in ("Choice", "@value", "View")],
            _NAMES
            | {
                "@value": _VALUE,
                "Choice": {"type": "array", "items": _kind("label")},
                "View": _kind("several View"),
            },
        ),
        "several Choices": _several_or_one("Choices"),
        "Labels": _needs(
            "anyOf",
            [["@name", "@toName", inside] for inside in ("Label", "@value", "View")],
            _NAMES | {"@value": _VALUE, "Label": _kind("labels"), "View": _kind("several View")},
        ),
        "several Labels": _several_or_one("Labels"),
        "TextArea": _needs("anyOf", [["@name", "@toName"]], _NAMES),
        "several TextArea": _several_or_one("TextArea"),
        "View": {"type": "object", "properties": _VIEW | {"Label": _kind("labels"), "Choice": _kind("labels")}},
        "several View": _several_or_one("View"),
    },
    "type": "object",
    "properties": {"View": {"type": "object", "properties": _VIEW}},
}
_VALIDATOR = Draft6Validator(_SCHEMA)


@dataclass(frozen=True, slots=True)
class Analysis:
    """The properties that the server derives from a configuration and returns with it.

    Attributes:
        parsed: The control tags by name.
        weights: Weight of each control tag in agreement.
        data_types: The tags that show a task's data, by the name of the data.
        bulk: Whether it suits the labelling of many tasks at once.
    """

    parsed: Object
    weights: Object
    data_types: Object
    bulk: bool

    @property
    def has_controls(self) -> bool:
        """Whether it has anything to label with."""
        return bool(self.parsed)


@dataclass(frozen=True, slots=True)
class Config:
    """The `label_config` field."""

    def clean(self, value: JSON) -> JSON:
        """The configuration, trimmed."""
        if not isinstance(value, str):
            raise Invalid("can only parse strings")
        text = value.strip()
        analyse(text)
        return text


@lru_cache(maxsize=1024)
def analyse(text: str) -> Analysis:
    """Analyse the configuration `text`.

    Raises:
        Invalid: The server would reject it.
        Crash: The server answers with its 500.
    """
    try:
        root = _parse(text)
    except expat.ExpatError as exc:
        raise Invalid(str(exc)) from None
    _check_schema(root)
    _check_names(root)
    # The server reads the rest with another library, whose error about this it doesn't catch.
    if re.match(r"<\?xml[^>]*\sencoding\s*=", text):
        raise Crash(
            "Unicode strings with encoding declaration are not supported. "
            "Please use bytes input or XML fragments without declaration."
        )
    _check_videos(root)
    parsed = _controls(root)
    return Analysis(
        parsed,
        {name: _weight(control) for name, control in parsed.items() if isinstance(control, dict)},
        _data_types(root),
        _suits_bulk(root),
    )


def precheck(value: JSON) -> None:
    """Check that a configuration is XML.

    A PATCH has its configuration parsed by another library before the fields are looked at, so that a malformed one
    is answered without `validation_errors` (Community 1.23.2).

    Raises:
        Refusal: The text is malformed.
    """
    if not isinstance(value, str) or not value.strip():
        return
    try:
        _parse(value.strip())
    except expat.ExpatError as exc:
        raise Refusal(400, _in_the_other_librarys_words(value.strip(), exc)) from None
    except Invalid:
        return


def _parse(text: str) -> ElementTree.Element:
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True

    def refuse(name: str, system_id: str | None, public_id: str | None, _internal: bool) -> None:
        raise Invalid(f"DTDForbidden(name={name!r}, system_id={system_id!r}, public_id={public_id!r})")

    def start(name: str, attributes: dict[str, str]) -> None:
        builder.start(_qualified(name), {_qualified(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        builder.end(_qualified(name))

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    if surrogate := half_character(text):
        raise Invalid(surrogate)
    parser.Parse(text, True)
    return builder.close()


def _qualified(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def _check_schema(root: ElementTree.Element) -> None:
    config = _wrap_choices({root.tag: _as_json(root)})
    error = best_match(_VALIDATOR.iter_errors(config))
    if error is not None:
        message = error.context[0].message if error.context else error.message
        raise Invalid(f"Validation failed on {'/'.join(map(str, error.path))}: {message.replace('@', '')}")


def _as_json(tag: ElementTree.Element) -> Object:
    """Convert a tag with its attributes, text and children to JSON; tags of one name become a list."""
    # Messages quote this type, as the server's do.
    found: Object = OrderedDict((f"@{name}", _value(text)) for name, text in tag.attrib.items())
    if tag.text and tag.text.strip():
        found["$"] = _value(tag.text)
    children: dict[str, list[JSON]] = {}
    for child in tag:
        children.setdefault(child.tag, []).append(_as_json(child))
    found |= {name: several if len(several) > 1 else several[0] for name, several in children.items()}
    return found


def _value(text: str) -> JSON:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if float("-inf") < number < float("inf"):
            return number
    return text


def _wrap_choices(config: Object) -> Object:
    """The configuration with the only `Choice` of a `Choices` in a list, as far as the server looks for it."""
    choices = config.get("Choices")
    every = [each for each in (choices if isinstance(choices, list) else [choices]) if isinstance(each, dict)]
    if all("Choice" in each for each in every):
        for each in every:
            each["Choice"] = each["Choice"] if isinstance(each["Choice"], list) else [each["Choice"]]
    view = config.get("View")
    for below in view if isinstance(view, list) else [view]:
        if isinstance(below, dict):
            _wrap_choices(below)
    return config


def _check_names(root: ElementTree.Element) -> None:
    # In the text and not in the tags: attributes of other names and quotations in a style count too.
    text = ElementTree.tostring(root, encoding="unicode")
    names = re.findall(r'name="([^"]*)"', text)
    if len(names) != len(set(names)):
        raise Invalid("Label config contains non-unique names")
    for targets in re.findall(r'toName="([^"]*)"', text):
        for target in targets.split(","):
            if target not in names:
                raise Invalid(f'toName="{target}" not found in names: {sorted(names)}')


def _check_videos(root: ElementTree.Element) -> None:
    videos: dict[str, ElementTree.Element] = {}
    for tag in root.iter():
        if tag.tag.lower() == "video" and not _is_control(tag) and _is_object(tag):
            videos[tag.attrib["name"]] = tag
    if wrong := [message for name, tag in videos.items() for message in _wrong_speeds(name, tag)]:
        raise Invalid("\n".join(wrong))


def _wrong_speeds(name: str, tag: ElementTree.Element) -> Iterator[str]:
    speeds: dict[str, float] = {}
    for attribute in ("defaultPlaybackSpeed", "minPlaybackSpeed"):
        given = tag.get(attribute, tag.get(attribute.lower()))
        if given is None or not given.strip():
            continue
        try:
            speeds[attribute] = float(given)
        except ValueError:
            yield f'Video tag "{name}": {attribute} must be a number, got "{given}"'
    for attribute, speed in speeds.items():
        if not _SLOWEST <= speed <= _FASTEST:
            yield f'Video tag "{name}": {attribute} must be between {_SLOWEST} and {_FASTEST}, got {speed}'
    default, least = speeds.get("defaultPlaybackSpeed"), speeds.get("minPlaybackSpeed")
    if default is not None and least is not None and least > default:
        yield f'Video tag "{name}": minPlaybackSpeed ({least}) must not exceed defaultPlaybackSpeed ({default})'


def _is_control(tag: ElementTree.Element) -> bool:
    return bool(tag.get("name") and tag.get("toName") and tag.tag != "Filter")


def _is_object(tag: ElementTree.Element) -> bool:
    return bool(tag.get("name") and (tag.get("value") or tag.get("valueList")))


def _controls(root: ElementTree.Element) -> Object:
    controls: dict[str, Object] = {}
    targets: dict[str, list[str]] = {}
    inputs: dict[str, JSON] = {}
    indexes: list[str] = []
    labels: dict[str, Object] = {}

    def read(tag: ElementTree.Element, above: tuple[str, ...]) -> None:
        if "indexFlag" in tag.attrib:
            indexes.append(tag.attrib["indexFlag"])
        if _is_control(tag):
            targets[tag.attrib["name"]] = tag.attrib["toName"].split(",")
            controls[tag.attrib["name"]] = _control(tag, indexes)
        elif _is_object(tag):
            inputs[tag.attrib["name"]] = _input(tag)
        label = tag.get("alias") or tag.get("value") or tag.get("valueList")
        parent = next((name for name in reversed(above) if name in controls), None)
        if tag.tag in _LABELS and label and parent is not None:
            labels.setdefault(parent, {})[label] = dict(tag.attrib)
        for child in tag:
            read(child, (*above, tag.get("name", "")))

    read(root, ())
    for name, control in controls.items():
        control["inputs"] = [inputs[target] for target in targets[name] if target in inputs]
        control["labels"] = list(labels.get(name, {}))
        control["labels_attrs"] = labels.get(name, {})
    return {**controls}


def _input(tag: ElementTree.Element) -> Object:
    shown = "value" if "value" in tag.attrib else "valueList"
    return {"type": tag.tag, "valueType": tag.get("valueType"), shown: tag.attrib[shown].lstrip("$")}


def _control(tag: ElementTree.Element, indexes: list[str]) -> Object:
    targets = tag.attrib["toName"].split(",")
    control: Object = {"type": tag.tag, "to_name": list(targets)}
    if places := [index for index in indexes if any(index in target for target in targets)]:
        control["regex"] = dict.fromkeys(places, ".*")
    conditions = {"whenTagName": "tag", "whenLabelValue": "label", "whenChoiceValue": "choice"}
    condition = next((attribute for attribute in conditions if tag.get(attribute)), None)
    if condition and tag.get("perRegion") == "true":
        control["conditionals"] = {"type": conditions[condition], "name": tag.attrib[condition]}
    if re.fullmatch(r"\$[A-Za-z_]+", tag.get("value", "")) or tag.get("apiUrl"):
        control["dynamic_labels"] = True
    return control


def _data_types(root: ElementTree.Element) -> Object:
    found: Object = {}
    for tag in root.iterfind(".//*[@value]"):
        value = tag.attrib["value"]
        names = [value[1:]] if len(value) > 1 and value[0] == "$" else re.findall(r"\$(\w+)", value)[:1]
        for name in names:
            if tag.get("name") and found.get(name) != "Video":
                found[name] = tag.tag
    return found


def _suits_bulk(root: ElementTree.Element) -> bool:
    for tag in filter(_is_control, root.iter()):
        kind = tag.tag.lower()
        if kind in _REGIONS:
            return False
        if kind in _WHOLE and "true" in (tag.get("perRegion", "").lower(), tag.get("perItem", "").lower()):
            return False
        if kind in ("choices", "taxonomy") and "value" in tag.attrib:
            return False
        if kind == "taxonomy" and (tag.get("labeling", "").lower() == "true" or "apiUrl" in tag.attrib):
            return False
    return True


def _weight(control: Object) -> Object:
    labels = control["labels"]
    names = [str(name) for name in labels] if isinstance(labels, list) else []
    return {"overall": 1.0, "type": control["type"], "labels": dict.fromkeys(names, 1.0)}


def _in_the_other_librarys_words(text: str, exc: expat.ExpatError) -> str:
    line, column = exc.lineno, exc.offset
    if exc.code != expat.errors.codes[expat.errors.XML_ERROR_TAG_MISMATCH]:
        return f"{expat.ErrorString(exc.code)}, line {line}, column {column + 1}"
    lines = text.splitlines()
    closing = re.match(r"[^\s>]*", lines[line - 1][column:])
    name = closing[0] if closing else ""
    opened, opened_line = _innermost_open(lines[:line], column)
    end = column + len(name) + 2
    return f"Opening and ending tag mismatch: {opened} line {opened_line} and {name}, line {line}, column {end}"


def _innermost_open(lines: list[str], column: int) -> tuple[str, int]:
    stack: list[tuple[str, int]] = []
    for number, line in enumerate(lines, 1):
        part = line if number < len(lines) else line[: max(0, column - 2)]
        for close, name, empty in re.findall(r"<(/?)([\w.-]+)[^<>]*?(/?)>", part):
            if close and stack:
                stack.pop()
            elif not close and not empty:
                stack.append((name, number))
    return stack[-1] if stack else ("", 1)
