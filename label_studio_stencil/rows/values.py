"""Converts values as spreadsheets write them to values of settings, without loss.

Sheets hold `TRUE`, `yes`, `3.0`, ` 3 ` and `{"a": 1}` as text; JSON lines and data frames hold the values
themselves. Each kind of setting has one function here that accepts both, and raises `PydanticCustomError`
with a stable code and a sentence otherwise. They are the validators of `label_studio_stencil.rows.overrides`, which adds
limits and choices.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import StrEnum
from xml.parsers import expat

from pydantic_core import PydanticCustomError

from label_studio_stencil.json_value import JSON, NotJSONError, json_of
from label_studio_stencil.letters import without_unseen
from label_studio_stencil.names import nearest


class Kind(StrEnum):
    """The kind of a setting's value, in the words of messages and help."""

    BOOLEAN = "true or false"
    INTEGER = "a whole number"
    DECIMAL = "a decimal number"
    CHOICE = "a choice"
    LINE = "text"
    TEXT = "long text"
    XML = "XML"
    COLOUR = "a colour"
    MOMENT = "a date and time"
    OBJECT = "a JSON object"
    ANYTHING = "any JSON"


_TRUE = frozenset({"true", "yes", "y", "t", "on", "1", "1.0"})
_FALSE = frozenset({"false", "no", "n", "f", "off", "0", "0.0"})
#: Possessive, because otherwise a million digits and a letter would be tried in every division.
_NUMBER = re.compile(r"[+-]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?")
_COMMA_DECIMAL = re.compile(r"[+-]?[0-9]+,[0-9]{1,2}")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[ ,.'\u2019\u00a0\u202f][0-9]{3})+")
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_DECLARATION = re.compile(r"\A[\s\ufeff]*<\?xml\s[^>]*\?>\s*")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
#: Largest power of ten of a number; larger ones are out of range. With two decimal places it fits the 28 digits of decimals.
_MOST_DIGITS = 25


def fault(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """A validation error with our code, sentence and hint."""
    # The message is a parameter, because a brace in a cell's value would be read as a placeholder.
    return PydanticCustomError(code, "{message}", {"message": message, "hint": hint})


def boolean(value: object) -> bool:
    """Parse true or false as spreadsheets, JSON and people write it."""
    if isinstance(value, bool):
        return value
    word = without_unseen(str(value)).strip().lower() if isinstance(value, str | int | float) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise fault("not-a-boolean", "takes true or false (also yes/no, 1/0)")


def number(value: object) -> Decimal:
    """Parse a number exactly; a float is read to the 15 digits that spreadsheets keep."""
    if isinstance(value, Decimal) and value.is_finite():
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault("not-a-number", "takes a number")
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise fault("not-a-number", "takes a finite number")
        return Decimal(format(value, ".15g"))
    text = without_unseen(value).strip()
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    raise fault("not-a-number", "takes a number" + _number_hint(text))


def _number_hint(text: str) -> str:
    """Advice for a number with a percent sign, a decimal comma or grouped thousands."""
    if text.endswith("%"):
        return f", without the percent sign, not {text[:20]}"
    if _COMMA_DECIMAL.fullmatch(text):
        return f" with a point for decimals: write {text.replace(',', '.')}"
    if _GROUPED.fullmatch(text):
        digits = re.sub("[^0-9+-]", "", text)
        return f" without thousands separators: write {digits}"
    return ""


def integer(value: object) -> int:
    """Parse a whole number; `3.0` and `1E3` are whole, `3.5` and true are not."""
    found = number(value)
    if found.adjusted() > _MOST_DIGITS:
        raise fault("out-of-range", "takes a smaller number")
    if found != found.to_integral_value():
        raise fault("not-a-number", "takes a whole number")
    return int(found)


def two_places(value: object) -> Decimal:
    """Parse a decimal with two places, as in the API. More places are an error, because they would be lost."""
    found = number(value)
    if found.adjusted() > _MOST_DIGITS:
        raise fault("out-of-range", "takes a smaller number")
    rounded = found.quantize(Decimal("0.01"))
    if rounded != found:
        raise fault("too-precise", "takes at most two decimal places")
    return abs(rounded) if rounded == 0 else rounded


def text(value: object) -> str:
    """Parse text. A number becomes its digits, because spreadsheets turn digits into numbers."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    if isinstance(value, bool):
        # As spreadsheets show it.
        value = str(value).upper()
    if isinstance(value, Decimal) and value.is_finite():
        value = format(value, "f")
    if isinstance(value, int | float) and math.isfinite(value):
        value = str(value)
    if not isinstance(value, str):
        raise fault("not-text", "takes text")
    if _UNSENDABLE.search(value):
        raise fault("control-character", "holds a NUL or an unpaired surrogate, which can't be stored", "Remove it.")
    return value


def choice(allowed: Sequence[str], value: object) -> str:
    """Parse a choice in any case, and spell it as the server does."""
    word = without_unseen(text(value)).strip()
    for one in allowed:
        if one.casefold() == word.casefold():
            return one
    near = nearest(word, allowed, most=1)
    raise fault("not-a-choice", f"takes one of: {', '.join(allowed)}", f"Did you mean {near[0]}?" if near else "")


def colour(value: object) -> str:
    """Parse a colour as `#RRGGBB`, the only form that Label Studio accepts (measured on Community 1.23.2)."""
    word = without_unseen(text(value)).strip()
    if not _COLOUR.fullmatch(word):
        raise fault("not-a-colour", "takes a colour as #RRGGBB, for example #FF8800")
    return word


def moment(value: object) -> datetime:
    """Parse a time, in UTC; a time without a zone counts as UTC, as on the server."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(without_unseen(value).strip())
        except ValueError:
            value = None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise fault("not-a-date", "takes a date and time in ISO 8601, for example 2026-11-24T09:30:00Z")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise fault("not-a-date", "takes a date and time in the years 1 to 9999") from None


def xml(value: object) -> str:
    """Check that XML is well-formed and has no DOCTYPE, which the server rejects (measured on Community 1.23.2).

    An XML declaration is dropped: the text is decoded already, and the server answers 500 to one that names an encoding.
    """
    source = _DECLARATION.sub("", text(value))
    body = source.lstrip()
    before = source[: len(source) - len(body)].count("\n")
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(body.rstrip(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        place = f"XML line {error.lineno + before}, column {error.offset + 1}"
        raise fault("bad-xml", f"takes well-formed XML; at {place}: {reason}") from None
    return source


def _refuse_doctype(*_: object) -> None:
    raise fault("bad-xml", "takes XML without <!DOCTYPE>, which Label Studio refuses", "Remove the declaration.")


def json_object(value: object) -> object:
    """Parse a JSON object, from an object or from text; the schema checks its content."""
    if isinstance(value, str):
        try:
            value = json_of(value)
        except NotJSONError as error:
            raise fault("not-json", f"takes a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise fault("not-an-object", 'takes a JSON object, for example {"name": 1}')
    return sendable(value)


def anything(value: object) -> JSON:
    """Parse any JSON value; text that is not JSON stays text."""
    if not isinstance(value, str):
        return sendable(value)
    try:
        return sendable(json_of(value))
    except NotJSONError as error:
        if value.lstrip()[:1] in ("{", "["):
            raise fault("not-json", f"starts like JSON, but {error}") from None
    return text(value)


def sendable(value: object, depth: int = 0) -> JSON:
    """Check that a value is JSON that can be sent, and return it."""
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth > 50:
        raise fault("not-json", "nests too deeply")
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {text(name): sendable(part, depth + 1) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(part, depth + 1) for part in value]
    raise fault("not-json", f"holds a value that JSON does not have ({type(value).__name__})")
