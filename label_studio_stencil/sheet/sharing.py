"""What many rows of a sheet hold alike, kept once: a sheet may have a hundred thousand rows."""

from collections.abc import Hashable
from typing import TypeVar

T = TypeVar("T")

#: Values that are remembered, so that a sheet in which none is there twice costs little.
_MOST = 10_000
#: Longest text that is looked up.
LONGEST = 100


class Shared:
    """Values that are never changed, each kept once."""

    def __init__(self) -> None:
        self._known: dict[Hashable, object] = {}

    def text(self, text: str) -> str:
        """This text, or the one that is kept of it."""
        return text if len(text) > LONGEST else self.value(text, text)

    def value(self, key: Hashable, value: T) -> T:
        """This value, or the one that is kept under this key."""
        if len(self._known) < _MOST:
            return self._known.setdefault(key, value)  # type: ignore[return-value] # a key stands for one type
        return self._known.get(key, value)  # type: ignore[return-value]
