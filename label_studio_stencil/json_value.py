"""JSON values: their type, and a strict parser that rejects duplicate names and NaN."""

import json
import re
from collections import Counter
from typing import TypeAlias

from pydantic import JsonValue

JSON: TypeAlias = JsonValue


class NotJSONError(ValueError):
    """A text is not JSON; the text says why."""


def json_at(source: str, start: int) -> tuple[JSON, int]:
    """The JSON value that starts at a position, and its end.

    Raises:
        NotJSONError: As `json_of` does.
    """
    try:
        return _DECODER.raw_decode(source, start)
    except json.JSONDecodeError as error:
        raise NotJSONError(_said(error)) from None
    except RecursionError:
        raise NotJSONError("it nests too deeply") from None
    except ValueError as error:
        raise NotJSONError(str(error)) from None


def json_of(source: str) -> JSON:
    """Parse a JSON text.

    Raises:
        NotJSONError: It is malformed, nests too deeply, has a duplicate name in an object, or holds NaN or
            Infinity.
    """
    try:
        found: JSON = _DECODER.decode(source)
    except json.JSONDecodeError as error:
        raise NotJSONError(_hint(source, error.pos) or _said(error)) from None
    except RecursionError:
        raise NotJSONError("it nests too deeply") from None
    except ValueError as error:
        raise NotJSONError(str(error)) from None
    return found


def _said(error: json.JSONDecodeError) -> str:
    return f"{error.msg[:1].lower()}{error.msg[1:]} at character {error.pos + 1}"


def _hint(source: str, at: int) -> str:
    """What a text is that is almost JSON, up to a position."""
    start = source[:_LOOKED_AT]
    if source[at : at + 1] in tuple("“”„«»"):
        return 'it has typographic quotes: write "'
    if re.match(r"\s*[{\[]", start) and re.search(r"'\s*[:,\]}]|\b(?:None|True|False)\b", start):
        return "it looks like Python: json.dumps writes JSON"
    return ""


#: Characters of a text that are examined to find why it is not JSON.
_LOOKED_AT = 10_000


def _unique(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise NotJSONError(f"the name {twice[:40]!r} is there twice")
    return found


def _refuse_constant(word: str) -> JSON:
    raise NotJSONError(f"{word} is not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
