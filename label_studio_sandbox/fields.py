"""The types of fields, and the messages with which the real server rejects a value.

Each type of field converts the value of a request to the value that is stored, as Django REST framework does. The messages are
Django REST framework's too (measured on Label Studio Community 1.23.2 if Community has the field).
"""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Protocol

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.errors import Invalid, Rejected

NULL = "This field may not be null."
REQUIRED = "This field is required."

_TRUE = {"t", "T", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "1"}
_FALSE = {"f", "F", "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", "0", "0.0"}
_NULLS = {"null", "Null", "NULL", ""}
#: Postgres keeps these integers in 32 bits.
INT32 = 2_147_483_647


class Field(Protocol):
    """One settable field."""

    def clean(self, value: JSON) -> JSON:
        """Return the value to store.

        Raises:
            Invalid: The value does not fit.
        """


@dataclass(frozen=True, slots=True)
class Text:
    """A string; lengths count code points after trimming. An allowed blank skips the length check."""

    min_length: int = 0
    max_length: int | None = None
    nullable: bool = False
    blank: bool = True

    def clean(self, value: JSON) -> JSON:
        """The trimmed string."""
        if value is None:
            return _null(self.nullable)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise Invalid("Not a valid string.")
        text = str(value).strip()
        if not text:
            if not self.blank:
                raise Invalid("This field may not be blank.")
            return text
        self._check(text)
        return text

    def _check(self, text: str) -> None:
        if "\x00" in text:
            raise Invalid("Null characters are not allowed.")
        if surrogate := half_character(text):
            raise Invalid(surrogate)
        if self.max_length is not None and len(text) > self.max_length:
            raise Invalid(f"Ensure this field has no more than {self.max_length} characters.")
        if len(text) < self.min_length:
            raise Invalid(f"Ensure this field has at least {self.min_length} characters.")


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean, in any of the spellings that Django REST framework takes."""

    nullable: bool = False

    def clean(self, value: JSON) -> JSON:
        """True, False, or None where that is allowed."""
        if isinstance(value, bool):
            return value
        if value is None or (self.nullable and isinstance(value, str) and value in _NULLS):
            return _null(self.nullable)
        if isinstance(value, str | int | float):
            if str(value) in _TRUE or value == 1:
                return True
            if str(value) in _FALSE:
                return False
        raise Invalid("Must be a valid boolean.")


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number; `"3"` and `2.0` are accepted, as by the real server."""

    minimum: int = -INT32 - 1
    maximum: int = INT32
    nullable: bool = False

    def clean(self, value: JSON) -> JSON:
        """The number."""
        if value is None or (self.nullable and value == ""):
            return _null(self.nullable)
        text = re.sub(r"\.0*\s*$", "", str(value))
        if len(text) > 1000:
            raise Invalid("String value too large.")
        try:
            number = int(text)
        except ValueError:
            raise Invalid("A valid integer is required.") from None
        if number > self.maximum:
            raise Invalid(f"Ensure this value is less than or equal to {self.maximum}.")
        if number < self.minimum:
            raise Invalid(f"Ensure this value is greater than or equal to {self.minimum}.")
        return number


@dataclass(frozen=True, slots=True)
class Digits:
    """A decimal, stored and returned as a string with two places (`"0.80"`)."""

    whole: int
    nullable: bool = True
    places: int = 2

    def clean(self, value: JSON) -> JSON:
        """The number as a string with exactly `places` digits after the point."""
        if value is None or value == "":
            return _null(self.nullable)
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise Invalid("A valid number is required.") from None
        if not number.is_finite():
            raise Invalid("A valid number is required.")
        self._check(number)
        return f"{number.quantize(Decimal(1).scaleb(-self.places)):f}"

    def _check(self, number: Decimal) -> None:
        _, digits, exponent = number.as_tuple()
        point = int(exponent)
        decimals = max(0, -point)
        total = max(len(digits) + max(point, 0), decimals)
        if total > self.whole + self.places:
            raise Invalid(f"Ensure that there are no more than {self.whole + self.places} digits in total.")
        if decimals > self.places:
            raise Invalid(f"Ensure that there are no more than {self.places} decimal places.")
        if total - decimals > self.whole:
            raise Invalid(f"Ensure that there are no more than {self.whole} digits before the decimal point.")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    choices: frozenset[str]
    nullable: bool = False

    def clean(self, value: JSON) -> JSON:
        """The word."""
        if value is None:
            return _null(self.nullable)
        if not isinstance(value, str) or value not in self.choices:
            raise Invalid(f'"{value}" is not a valid choice.')
        return value


@dataclass(frozen=True, slots=True)
class Choices:
    """A list of words out of several."""

    choices: frozenset[str]

    def clean(self, value: JSON) -> JSON:
        """The list."""
        if not isinstance(value, list):
            raise Invalid(f'Expected a list of items but got type "{type(value).__name__}".')
        one = Choice(self.choices)
        return [one.clean(item) for item in value]


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of strings."""

    def clean(self, value: JSON) -> JSON:
        """The list."""
        if not isinstance(value, list):
            raise Invalid(f'Expected a list of items but got type "{type(value).__name__}".')
        return [Text().clean(item) for item in value]


@dataclass(frozen=True, slots=True)
class Moment:
    """A date and time, returned in UTC with a `Z`."""

    nullable: bool = True

    def clean(self, value: JSON) -> JSON:
        """The moment in ISO 8601."""
        if value is None:
            return _null(self.nullable)
        try:
            moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else None
        except ValueError:
            moment = None
        if moment is None:
            raise Invalid(
                "Datetime has wrong format. Use one of these formats instead: "
                "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
            )
        return stamp(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour as `#RRGGBB`.

    The server checks the hash and the length. A null makes it fail (Community 1.23.2); the caller, which knows the whole
    request, turns that into its 500.
    """

    def clean(self, value: JSON) -> JSON:
        """The colour."""
        text = Text(max_length=16).clean(value)
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", str(text)):
            raise Invalid('Color must be in "#RRGGBB" format')
        return text


@dataclass(frozen=True, slots=True)
class Free:
    """Any JSON at all."""

    nullable: bool = True

    def clean(self, value: JSON) -> JSON:
        """The value as it came."""
        return _null(self.nullable) if value is None else value


@dataclass(frozen=True, slots=True)
class Schema:
    """Fields by name; unknown keys are silently dropped, as by the real server."""

    fields: Mapping[str, Field]
    required: frozenset[str] = field(default_factory=frozenset)

    def clean(self, data: JSON, *, partial: bool = False) -> Object:
        """Return the values to store, for the fields that `data` names.

        Raises:
            Rejected: Some values don't fit; it has the messages of all of them.
        """
        values, errors = self.sift(expect_object(data), partial=partial)
        if errors:
            raise Rejected(errors)
        return values

    def sift(self, data: Object, *, partial: bool = False) -> tuple[Object, Object]:
        """Return the values that fit, and the messages about those that don't."""
        values: Object = {}
        errors: Object = {}
        for name, kind in self.fields.items():
            if name in data:
                try:
                    values[name] = kind.clean(data[name])
                except Invalid as exc:
                    errors[name] = exc.messages
            elif name in self.required and not partial:
                errors[name] = [REQUIRED]
        return values, errors


@dataclass(frozen=True, slots=True)
class Nested:
    """An object with a schema of its own."""

    schema: Schema
    nullable: bool = False

    def clean(self, value: JSON) -> JSON:
        """The values of the object's known keys."""
        if value is None:
            return _null(self.nullable)
        if not isinstance(value, dict):
            raise Invalid({"non_field_errors": [_not_a_dictionary(value)]})
        values, errors = self.schema.sift(value)
        if errors:
            raise Invalid(errors)
        return values


def half_character(text: str) -> str:
    """Return the server's message about a lone surrogate in a text, or an empty string."""
    found = re.search("[\ud800-\udfff]", text)
    return f"Surrogate characters are not allowed: U+{ord(found[0]):X}." if found else ""


def expect_object(data: JSON) -> Object:
    """Return the body if it is an object.

    Raises:
        Rejected: It is a list, a string or a number.
    """
    if isinstance(data, dict):
        return data
    message = "No data provided" if data is None else _not_a_dictionary(data)
    raise Rejected({"non_field_errors": [message]})


def stamp(moment: dt.datetime) -> str:
    """Format a moment as the server does: UTC, microseconds, `Z`."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def now(skew: float = 0) -> str:
    """Format the current moment as a server does whose clock is ahead by `skew` seconds."""
    return stamp(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=skew))


def _null(allowed: bool) -> JSON:
    if not allowed:
        raise Invalid(NULL)
    return None


def _not_a_dictionary(value: JSON) -> str:
    return f"Invalid data. Expected a dictionary, but got {type(value).__name__}."
