"""Masks passwords wherever a row is shown.

A sheet may hold the password of a task source, in its own column or in the JSON object of `overrides`. It is masked in
cells and in error texts that repeat it.
"""

import json
from collections.abc import Iterator, Mapping

from label_studio_stencil.redaction import MASK, holds_secrets, is_secret, may_hold_secret, redact
from label_studio_stencil.report.cells import is_null, unwrapped

#: Deeper values are not searched, and not shown; settings are two levels deep.
_DEEPEST = 50


def masked_cell(column: str, value: object) -> object:
    """The cell with passwords replaced by `MASK`."""
    if is_secret(column):
        return value if _blank(value) else MASK
    if isinstance(value, str):
        return _masked_text(value) if holds_secrets(column) else value
    return _masked(value)


def masked_error(error: str, cells: Mapping[str, object]) -> str:
    """A row's error text without the row's passwords, which a server's answer may repeat."""
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
    # Never the text itself: of a duplicate key, the parser shows only the last value.
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
    """A password as in the cell, and trimmed, as it is sent."""
    if not _blank(value):
        yield str(value)
        yield str(value).strip()
