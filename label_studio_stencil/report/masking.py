"""Passwords, kept out of everything that shows a row.

A sheet may hold the password of a task source, in a column of its own or in the JSON object of `overrides`.
It is shown nowhere: neither as a cell, nor where an error text repeats it.
"""

import json
from collections.abc import Iterator, Mapping

from label_studio_stencil.redaction import MASK, holds_secrets, is_secret, may_hold_secret, redact
from label_studio_stencil.report.cells import is_null, unwrapped

#: Settings are two levels deep; what is buried deeper than this is not looked through, and not shown.
_DEEPEST = 50


def masked_cell(column: str, value: object) -> object:
    """The cell as it may be shown: passwords in it replaced by `MASK`, everything else as it was read."""
    if is_secret(column):
        return value if _blank(value) else MASK
    if isinstance(value, str):
        return _masked_text(value) if holds_secrets(column) else value
    return _masked(value)


def masked_error(error: str, cells: Mapping[str, object]) -> str:
    """A row's error text without the row's own passwords, which a server's answer may repeat."""
    return redact(error, _secrets(cells)) if error else ""


def _blank(value: object) -> bool:
    return is_null(value) or not str(value).strip()


def _masked(value: object, depth: int = 0) -> object:
    value = unwrapped(value)
    if depth > _DEEPEST:
        return MASK
    if isinstance(value, Mapping):
        return {key: MASK if is_secret(str(key)) else _masked(inner, depth + 1) for key, inner in value.items()}
    return [_masked(inner, depth + 1) for inner in value] if isinstance(value, list | tuple) else value


def _masked_text(text: str) -> str:
    if not may_hold_secret(text):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return MASK
    # Never the text itself: of a key that is there twice, only the last one is seen.
    return json.dumps(_masked(value), ensure_ascii=False)


def _secrets(cells: Mapping[str, object]) -> Iterator[str]:
    for column, value in cells.items():
        if is_secret(column):
            yield from _texts(value)
        elif holds_secrets(column):
            yield from _inner_secrets(_parsed(value))


def _parsed(value: object) -> object:
    if not isinstance(value, str) or not may_hold_secret(value):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _inner_secrets(value: object, depth: int = 0) -> Iterator[str]:
    value = unwrapped(value)
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner) if is_secret(str(key)) else _inner_secrets(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _inner_secrets(inner, depth + 1)


def _texts(value: object) -> Iterator[str]:
    """A password as it stands in the cell and, trimmed, as it was sent."""
    if not _blank(value):
        yield str(value)
        yield str(value).strip()
