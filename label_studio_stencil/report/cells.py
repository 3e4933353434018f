"""Cells of a sheet as text, whatever kind of sheet they came from."""

import json
from collections.abc import Mapping

from label_studio_stencil.sheet.formulas import guard


def cell_text(value: object) -> str:
    """A cell as text for a file: blank if missing, lists and objects as JSON, and guarded against formulas."""
    if isinstance(value, str):
        return guard(value)
    value = unwrapped(value)
    if is_null(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list | tuple):
        return guard(json.dumps(value, ensure_ascii=False, default=_for_json))
    return guard(str(value))


def unwrapped(value: object) -> object:
    """The value without NumPy's types, which Parquet files and DataFrames use for lists and numbers."""
    unwrap = getattr(value, "tolist", None)
    return unwrap() if callable(unwrap) else value


def is_null(value: object) -> bool:
    """Whether a cell has no value: `None`, NaN, or pandas' markers."""
    nan = isinstance(value, float) and value != value
    return value is None or nan or type(value).__name__ in {"NAType", "NaTType"}


def _for_json(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    bare = unwrapped(value)
    return str(value) if bare is value else bare
