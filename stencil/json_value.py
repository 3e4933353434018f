"""The type of any value that JSON can say, one for the whole engine."""

from typing import TypeAlias

from pydantic import JsonValue

JSON: TypeAlias = JsonValue
