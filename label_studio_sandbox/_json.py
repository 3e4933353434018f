"""JSON as the wire carries it: one alias, and the two ways in which a body is read and written.

Reading tries the fast parser first and falls back to the standard library's, because the real server quotes the
standard library's words in its answer to a broken body.
"""

import json
from typing import NoReturn, TypeAlias

import orjson

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"
Object: TypeAlias = dict[str, JSON]


def dumps(value: object) -> bytes:
    """The UTF-8 JSON text of `value`."""
    try:
        return orjson.dumps(value)
    except TypeError:
        # Half a character, or a number of more than 64 bits.
        return json.dumps(value, separators=(",", ":")).encode()


def loads(text: bytes | str) -> JSON:
    """The value of a JSON text.

    Raises:
        ValueError: the text is not JSON; its message is the standard library's.
    """
    try:
        value: JSON = orjson.loads(text)
    except orjson.JSONDecodeError:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=_refuse_constant)
    return value


def load_object(text: bytes | str) -> Object:
    """The object of a JSON text that this package wrote itself."""
    value = loads(text)
    assert isinstance(value, dict)  # noqa: S101 - only objects are written
    return value


def _refuse_constant(name: str) -> NoReturn:
    msg = f"Out of range float values are not JSON compliant: {name!r}"
    raise ValueError(msg)
