"""The project settings that a row may set on top of its template: their types, limits and comparison."""

from stencil.overrides.comparing import differing, masked
from stencil.overrides.fields import (
    ENTERPRISE_ONLY_FIELDS,
    FIELDS,
    READ_ONLY_FIELDS,
    ROW_FIELDS,
    SECRET_FIELDS,
    TEXT_FIELDS,
    FieldFacts,
)
from stencil.overrides.kinds import Kind, NotJSONError, json_at, json_of
from stencil.overrides.model import Overrides
from stencil.overrides.parsing import parse_overrides, suggestion

__all__ = [
    "ENTERPRISE_ONLY_FIELDS",
    "FIELDS",
    "READ_ONLY_FIELDS",
    "ROW_FIELDS",
    "SECRET_FIELDS",
    "TEXT_FIELDS",
    "FieldFacts",
    "Kind",
    "NotJSONError",
    "Overrides",
    "differing",
    "json_at",
    "json_of",
    "masked",
    "parse_overrides",
    "suggestion",
]
