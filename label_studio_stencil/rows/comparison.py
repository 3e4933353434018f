"""Finds the settings that a project does not have yet, by the server's notion of equality.

A server trims text, formats decimals and times its own way, adds defaults to settings objects and cleans
HTML. Comparing texts would find differences forever, and send a PATCH for each.
"""

from collections.abc import Callable, Mapping

from pydantic_core import PydanticCustomError

from label_studio_stencil.json_value import JSON
from label_studio_stencil.rows import values as kinds
from label_studio_stencil.rows.fields import FIELDS
from label_studio_stencil.rows.markup import same_markup
from label_studio_stencil.rows.values import Kind


def differing(wanted: Mapping[str, JSON], actual: Mapping[str, JSON], *, whole: bool = False) -> dict[str, JSON]:
    """The part of `wanted` that `actual`, a project as the server answered it, does not have yet.

    A field that is not set has its default. If both is_draft and is_published are wanted, the server resets is_draft to
    false (measured on Community 1.23.2), so false is compared.

    Args:
        wanted: Settings of a row and its template.
        actual: Settings of the project.
        whole: Whether `actual` has every field of the server. Then a missing field counts as having its default, because older
            releases lack fields of newer ones.
    """
    draft_is_reset = wanted.get("is_draft") is True and wanted.get("is_published") is True
    found: dict[str, JSON] = {}
    for name, value in wanted.items():
        expected = False if name == "is_draft" and draft_is_reset else value
        if not (
            _is_default(name, expected, actual, whole=whole) or (name in actual and _held(name, expected, actual[name]))
        ):
            found[name] = value
    return found


def _is_default(name: str, wanted: JSON, actual: Mapping[str, JSON], *, whole: bool) -> bool:
    facts = FIELDS.get(name)
    unset = actual[name] is None if name in actual else whole
    return facts is not None and facts.default is not None and unset and _held(name, wanted, facts.default)


def _held(name: str, wanted: JSON, actual: JSON) -> bool:
    facts = FIELDS.get(name)
    if facts is None:
        return _same(wanted, actual)
    if facts.secret:
        return wanted == actual
    if name == "expert_instruction":
        return _same_html(wanted, actual)
    return _HELD.get(facts.kind, _same)(wanted, actual)


def _same(wanted: JSON, actual: JSON) -> bool:
    # In Python, as in JSON, 2 equals 2.0; but True also equals 1.
    if isinstance(wanted, bool) or isinstance(actual, bool):
        return wanted is actual
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return wanted.keys() == actual.keys() and all(_same(wanted[key], actual[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(actual, list):
        return len(wanted) == len(actual) and all(map(_same, wanted, actual))
    return wanted == actual


def _same_text(wanted: JSON, actual: JSON) -> bool:
    """Text as a server stores it: trimmed; an empty text may come back as null."""
    return _trimmed(wanted) == _trimmed(actual)


def _trimmed(value: JSON) -> JSON:
    return value.strip() if isinstance(value, str) else "" if value is None else value


def _same_html(wanted: JSON, actual: JSON) -> bool:
    """Instructions, which pass an HTML cleaner on the server."""
    if isinstance(wanted, str) and isinstance(actual, str):
        return wanted == actual or same_markup(wanted, actual)
    return _same_text(wanted, actual)


def _same_word(wanted: JSON, actual: JSON) -> bool:
    return str(wanted).strip().casefold() == str(actual).strip().casefold()


def _read_by(reader: Callable[[object], object]) -> Callable[[JSON, JSON], bool]:
    def same(wanted: JSON, actual: JSON) -> bool:
        try:
            return reader(wanted) == reader(actual)
        except PydanticCustomError:
            return wanted == actual

    return same


_same_number = _read_by(kinds.number)
_same_moment = _read_by(kinds.moment)


def _contained(wanted: JSON, actual: JSON) -> bool:
    """Whether an object has everything that is wanted; the server adds its own defaults."""
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return all(key in actual and _contained(part, actual[key]) for key, part in wanted.items())
    if isinstance(wanted, list) and isinstance(actual, list):
        return len(wanted) == len(actual) and all(map(_contained, wanted, actual))
    if isinstance(wanted, str) and isinstance(actual, str):
        return _same_text(wanted, actual) or _same_number(wanted, actual)
    return _same(wanted, actual)


_HELD: Mapping[Kind, Callable[[JSON, JSON], bool]] = {
    Kind.DECIMAL: _same_number,
    Kind.LINE: _same_text,
    Kind.TEXT: _same_text,
    Kind.XML: _same_text,
    Kind.COLOUR: _same_word,
    Kind.MOMENT: _same_moment,
    Kind.OBJECT: _contained,
}
