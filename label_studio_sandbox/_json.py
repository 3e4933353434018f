"""Reads and writes JSON bodies.

Reading tries the fast parser first and falls back to the standard library's, because the real server quotes the
standard library's message in its answer to a broken body.
"""

import json
from typing import NoReturn, TypeAlias

import orjson

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Object: TypeAlias = dict[str, JSON]


def dumps(value: object) -> bytes:
    """Return `value` as UTF-8 JSON."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # It has a lone surrogate, or a number of more than 64 bits.
        return json.dumps(value, separators=(",", ":")).encode()


def loads(text: bytes | str) -> JSON:
    """Parse a JSON text.

    Raises:
        ValueError: The text is not JSON; the message is the standard library's.
    """
    try:
        value: JSON = orjson.loads(text)
    except orjson.JSONDecodeError:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=_refuse_constant)
    return value


def load_object(text: bytes | str) -> Object:
    """Parse a JSON object that this package wrote itself."""
    value = loads(text)
    assert isinstance(value, dict)  # noqa: S101 - only objects are written
    return value


def _refuse_constant(name: str) -> NoReturn:
    msg = f"Out of range float values are not JSON compliant: {name!r}"
    raise ValueError(msg)
