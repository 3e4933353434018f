"""Writes a value of a task so that what Label Studio keeps can be compared with what was imported."""

import json
import sys
from collections.abc import Mapping

from label_studio_stencil.json_value import JSON

#: Up to here a float holds whole numbers exactly.
_EXACT = 2**53
_LARGEST = sys.float_info.max


def canonical(value: JSON) -> str:
    """The value as text; values that a database may keep for each other have the same one."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: JSON) -> JSON:
    """The value with numbers in one form: a database may write 1.0 for 1, 100 for 1e2, and all digits of 1e308."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, int) or value.is_integer()
        if abs(value) > _LARGEST:
            return str(value)
        return int(value) if whole and abs(value) <= _EXACT else float(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return value
