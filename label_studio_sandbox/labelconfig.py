"""The labelling configuration: what the server refuses, and what it derives from one that it takes.

The checks and their words are those measured on Label Studio Community 1.23.2. A configuration is analysed once and
remembered, since every project of a template has the same one.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from xml.etree import ElementTree
from xml.parsers import expat

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.errors import Invalid, Refusal

_LABELS = {"Label", "Choice", "Relation"}
_OBJECTS = {
    "Audio", "AudioPlus", "HyperText", "Image", "List", "Paragraphs", "PDF", "Table", "Text", "TimeSeries", "Video",
}  # fmt: skip
_CHILD = {
    "BrushLabels": "Label", "Choices": "Choice", "EllipseLabels": "Label", "HyperTextLabels": "Label",
    "KeyPointLabels": "Label", "Labels": "Label", "ParagraphLabels": "Label", "PolygonLabels": "Label",
    "RectangleLabels": "Label", "TimeSeriesLabels": "Label",
}  # fmt: skip
_CONTROLS = {*_CHILD, "DateTime", "Number", "Pairwise", "Ranker", "Rating", "Taxonomy", "TextArea"}
#: Controls that judge a task as a whole, so that many tasks can be judged at once.
_BULK = {"Choices", "DateTime", "Number", "Rating", "Taxonomy", "TextArea"}


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the server derives from a configuration and answers beside it."""

    parsed: Object
    weights: Object
    data_types: Object

    @property
    def has_controls(self) -> bool:
        """Whether anything can be labelled with it."""
        return bool(self.parsed)

    @property
    def bulk(self) -> bool:
        """Whether it suits the labelling of many tasks at once."""
        return all(isinstance(c, dict) and c["type"] in _BULK for c in self.parsed.values())


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
    """What follows from the configuration `text`.

    Raises:
        Invalid: the server would not take it.
    """
    try:
        root = _parse(text)
    except expat.ExpatError as exc:
        raise Invalid(str(exc)) from None
    _check(root)
    parsed = _controls(root)
    return Analysis(
        parsed,
        {name: _weight(control) for name, control in parsed.items() if isinstance(control, dict)},
        {tag.get("value", "")[1:]: tag.tag for tag in root.iter() if tag.get("value", "").startswith("$")},
    )


def precheck(value: JSON) -> None:
    """Nothing, for a configuration that is XML.

    A PATCH has its configuration parsed by another library before the fields are looked at, so that a malformed one
    is answered without `validation_errors` (Community 1.23.2).

    Raises:
        Refusal: the text is malformed.
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
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(name: str, system_id: str | None, public_id: str | None, _internal: bool) -> None:
        raise Invalid(f"DTDForbidden(name={name!r}, system_id={system_id!r}, public_id={public_id!r})")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.Parse(text, True)
    return builder.close()


def _check(root: ElementTree.Element) -> None:
    names: list[str] = []
    for tag in root.iter():
        for attribute in _required(tag):
            if not tag.get(attribute):
                raise Invalid(f"Validation failed on : '{attribute}' is a required property")
        child = _CHILD.get(tag.tag)
        if child and not tag.get("value") and tag.find(f".//{child}") is None:
            raise Invalid(f"Validation failed on : '{child}' is a required property")
        if name := tag.get("name"):
            names.append(name)
    if len(names) != len(set(names)):
        raise Invalid("Label config contains non-unique names")
    for tag in root.iter():
        for target in filter(None, tag.get("toName", "").split(",")):
            if target not in names:
                raise Invalid(f'toName="{target}" not found in names: {sorted(names)}')


def _required(tag: ElementTree.Element) -> tuple[str, ...]:
    if tag.tag in _CONTROLS:
        return ("name", "toName")
    if tag.tag in _OBJECTS:
        # A list of images or pages is given by another attribute, and a text may be named without being shown.
        return ("name",) if tag.get("valueList") else ("name", "value")
    return ()


def _controls(root: ElementTree.Element) -> Object:
    inputs: dict[str, JSON] = {
        tag.attrib["name"]: {
            "type": tag.tag,
            "valueType": tag.get("valueType"),
            "value": tag.get("value", tag.get("valueList", "")).lstrip("$"),
        }
        for tag in root.iter()
        if "name" in tag.attrib and "toName" not in tag.attrib and ("value" in tag.attrib or "valueList" in tag.attrib)
    }
    return {
        tag.attrib["name"]: _control(tag, inputs)
        for tag in root.iter()
        if tag.get("name") and tag.get("toName") and tag.tag != "Filter"
    }


def _control(tag: ElementTree.Element, inputs: dict[str, JSON]) -> Object:
    targets = tag.attrib["toName"].split(",")
    attributes: Object = {name: dict(label.attrib) for name, label in _labels(tag)}
    control: Object = {
        "type": tag.tag,
        "to_name": list(targets),
        "inputs": [inputs[target] for target in targets if target in inputs],
        "labels": list(attributes),
        "labels_attrs": attributes,
    }
    if re.fullmatch(r"\$[A-Za-z_]+", tag.get("value", "")) or tag.get("apiUrl"):
        control["dynamic_labels"] = True
    return control


def _labels(tag: ElementTree.Element) -> Iterator[tuple[str, ElementTree.Element]]:
    for label in tag.iter():
        name = label.get("alias") or label.get("value")
        if label.tag in _LABELS and name:
            yield name, label


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
