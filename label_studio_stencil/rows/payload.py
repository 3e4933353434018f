"""Checks a row's values field by field, and turns them into the payload of a request.

A sheet of 100,000 rows repeats a few values over and over, so results for text are cached.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from label_studio_stencil.json_value import JSON
from label_studio_stencil.names import nearest
from label_studio_stencil.problems import Problem, shown, taken
from label_studio_stencil.redaction import Secret
from label_studio_stencil.rows.fields import FIELDS, READ_ONLY_FIELDS, ROW_FIELDS, FieldFacts
from label_studio_stencil.rows.overrides import Overrides
from label_studio_stencil.rows.values import Kind, anything

#: Longest text whose result is cached, and how many; together they bound the memory.
_REMEMBERED_LENGTH = 10_000
_REMEMBERED = 4096

#: Most faults of one value that are reported; an object of a million unknown keys has a million.
MOST_FAULTS = 100

#: Our codes by pydantic's error types. Errors of our own validators have their code already.
_CODES = {
    "greater_than_equal": "out-of-range",
    "less_than_equal": "out-of-range",
    "too_long": "too-long",
    "string_too_long": "too-long",
    "missing": "missing-key",
    "extra_forbidden": "unknown-key",
}

#: Other names that people use, which similarity of spelling doesn't find.
_ALIASES = {
    "name": "title",
    "project": "title",
    "project_name": "title",
    "project_title": "title",
    "workspace_id": "workspace",
    "workspace_name": "workspace",
    "template_id": "template",
    "template_name": "template",
    "config": "label_config",
    "labeling_config": "label_config",
    "labelling_config": "label_config",
    "instruction": "expert_instruction",
    "instructions": "expert_instruction",
    "published": "is_published",
    "overlap": "maximum_annotations",
}


class Fault(NamedTuple):
    """A fault of one value; `path` leads into an object, such as `.s.overall`."""

    code: str
    message: str
    hint: str = ""
    path: str = ""


class Parsed(NamedTuple):
    """A value in the API's format, or its faults."""

    value: JSON
    faults: tuple[Fault, ...] = ()


_ADAPTERS: dict[str, TypeAdapter[object]] = {
    name: TypeAdapter(cast("type[object]", info.annotation)) for name, info in Overrides.model_fields.items()
}


def parse_overrides(
    values: Mapping[str, object], *, line: int | None, allow_unknown: bool
) -> tuple[dict[str, JSON], list[Problem]]:
    """The payload that sets these values, and all problems with them; the column of a problem is the field.

    Blank text means "not set", except for fields of text, where an explicit `""` empties the field; blank cells of a
    sheet never get here. Null is a problem, because servers answer 500 to some nulls.

    Args:
        values: Value by field name, from a spreadsheet, JSON or Python.
        line: The row's line, for the problems.
        allow_unknown: Pass on fields, and keys of settings objects, that the model does not know.
    """
    payload: dict[str, JSON] = {}
    problems: list[Problem] = []
    for name, value in values.items():
        facts = FIELDS.get(name)
        if facts is None:
            parsed = _stranger(name, value, allow_unknown)
        elif value is None:
            parsed = Parsed(None, (Fault("null-value", _NULL.format(name=name), _NO_NULL),))
        elif isinstance(value, str) and facts.kind not in _TEXTUAL and not value.strip():
            continue
        else:
            parsed = parse(name, value, allow_unknown=allow_unknown)
        if parsed.faults:
            hidden = value is None or (facts is not None and facts.secret)
            # Computed once: an object may have thousands of faults.
            value_shown = None if hidden else shown(value)
            problems += [_problem(name, value_shown, fault, line) for fault in parsed.faults[:MOST_FAULTS]]
        else:
            hidden = facts is not None and facts.secret and isinstance(parsed.value, str)
            payload[name] = Secret(parsed.value) if hidden else parsed.value
    return payload, problems


_TEXTUAL = frozenset({Kind.TEXT, Kind.LINE, Kind.XML})
_NULL = "{name} can't be null"
_NO_NULL = "Leave it out to keep the template's value."


def _problem(name: str, value_shown: str | None, fault: Fault, line: int | None) -> Problem:
    return Problem(
        fault.code,
        f"{fault.message}.",
        line=line,
        column=name,
        value=value_shown,
        hint=fault.hint,
    )


def _stranger(name: str, value: object, allow_unknown: bool) -> Parsed:
    """The result for a field that is not settable or not known."""
    if name in ROW_FIELDS:
        return Parsed(None, (Fault("row-field", f"{name} is not an override", "Give it a column of its own."),))
    if name in READ_ONLY_FIELDS:
        return Parsed(None, (Fault("read-only-field", f"{name} is computed by the server", "Remove it."),))
    if not allow_unknown:
        near = meant(name, FIELDS)
        hint = f"Did you mean {near}?" if near else IF_KNOWN_THERE
        return Parsed(None, (Fault("unknown-field", f"{name} is not a setting of a project", hint),))
    if value is None:
        return Parsed(None, (Fault("null-value", _NULL.format(name=name), _NO_NULL),))
    try:
        return Parsed(anything(value))
    except PydanticCustomError as error:
        return Parsed(None, (Fault(error.type, f"{name} {error.message()}"),))


#: Hint for an unknown setting.
IF_KNOWN_THERE = "If your Label Studio has it, use `allow_unknown_fields=True`."
#: Further hint for an unknown column.
CARRIED = "To copy the column to the results, start its name with _."


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that is probably meant; empty if none is near."""
    names = list(known)
    alias = _ALIASES.get(name.casefold())
    near = [alias] if alias in names else nearest(name, names, most=1)
    return near[0] if near else ""


def parse(name: str, value: object, *, allow_unknown: bool = False) -> Parsed:
    """One field's value in the API's format, or its faults.

    Raises:
        KeyError: No field has this name.
    """
    facts = FIELDS[name]
    if not isinstance(value, str) or facts.secret or len(value) > _REMEMBERED_LENGTH:
        return _parsed(facts, value, allow_unknown)
    found = _remembered(name, value, allow_unknown)
    # Rows must not share an object that may be changed.
    return found if not isinstance(found.value, dict | list) else found._replace(value=deepcopy(found.value))


@lru_cache(maxsize=_REMEMBERED)
def _remembered(name: str, value: str, allow_unknown: bool) -> Parsed:
    return _parsed(FIELDS[name], value, allow_unknown)


def _parsed(facts: FieldFacts, value: object, allow_unknown: bool) -> Parsed:
    adapter = _ADAPTERS[facts.name]
    try:
        found = adapter.validate_python(value)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        if allow_unknown and all(each["type"] == "extra_forbidden" for each in errors):
            return _with_strangers(facts, value, errors)
        return Parsed(None, tuple(_fault(facts, each) for each in errors))
    if isinstance(found, str | int):
        return Parsed(found)
    return Parsed(cast("JSON", adapter.dump_python(found, mode="json", exclude_unset=True)))


def _fault(facts: FieldFacts, error: ErrorDetails) -> Fault:
    code = _CODES.get(error["type"], error["type"] if "-" in error["type"] else "bad-object")
    path = "".join(f".{part}" for part in error["loc"])
    place = f"{facts.name}{path}"
    if path:
        hint = f"Check its spelling. {IF_KNOWN_THERE}" if code == "unknown-key" else ""
        return Fault(code, f"{place} {_NESTED.get(error['type']) or _sentence(error)}", hint, path)
    if code in ("out-of-range", "too-long"):
        length = f", not {len(str(error['input']))}" if code == "too-long" else ""
        return Fault(code, f"{place} takes {facts.allowed}{length}")
    return Fault(code, f"{place} {_sentence(error)}", error.get("ctx", {}).get("hint", ""))


#: What messages say about a part of an object that should not be there, or is not.
_NESTED = {
    "extra_forbidden": "is not a known setting",
    "missing": "is missing",
}


def _sentence(error: ErrorDetails) -> str:
    """What the value must be, to follow the field's name."""
    message = taken(error).removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _with_strangers(facts: FieldFacts, value: object, errors: list[ErrorDetails]) -> Parsed:
    """A settings object, checked without its unknown keys, which are then put back."""
    known = deepcopy(cast("dict[str, object]", anything(value)))
    strangers = [(each["loc"], cast("JSON", each["input"])) for each in errors]
    for loc, _ in strangers:
        del _inner(known, loc)[loc[-1]]
    parsed = _parsed(facts, known, allow_unknown=False)
    if not parsed.faults:
        for loc, stranger in strangers:
            _inner(cast("dict[str, object]", parsed.value), loc)[loc[-1]] = stranger
    return parsed


def _inner(whole: dict[str, object], loc: tuple[int | str, ...]) -> dict[int | str, object]:
    found: object = whole
    for part in loc[:-1]:
        found = cast("dict[int | str, object]", found)[part]
    return cast("dict[int | str, object]", found)
