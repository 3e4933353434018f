"""Finds items by id or name, and suggests similar names if there is no such item."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from label_studio_stencil.letters import without_unseen
from label_studio_stencil.problems import Problem, shown


class Named(Protocol):
    """An item in Label Studio that has a name and usually an id."""

    @property
    def id(self) -> int | None:
        """Label Studio's id."""
        ...


T = TypeVar("T", bound=Named)

_NEAREST = 3


def or_listed(items: Sequence[str]) -> str:
    """`a`, `a or b`, or `a, b or c`."""
    *head, last = items
    return f"{', '.join(head)} or {last}" if head else last


def nearest(name: str, known: Iterable[str], *, most: int = _NEAREST, cutoff: float = 0.6) -> list[str]:
    """The names with the most similar spelling, best first; blanks, case and invisible characters don't count."""
    folded = {_folded(each): each for each in known}
    return [folded[each] for each in difflib.get_close_matches(_folded(name), list(folded), n=most, cutoff=cutoff)]


def same_or_nearest(name: str, known: Sequence[str]) -> list[str]:
    """The one that differs in blanks, case and invisible characters alone; else those that are spelt most like it."""
    return [each for each in known if _folded(each) == _folded(name)][:1] or nearest(name, known)


def find(reference: str, items: Sequence[T], names: Sequence[str], *, kind: str) -> T | Problem:
    """The item that a reference means, or a problem.

    An id wins over a name, an exact name over one that differs in case or spacing.

    Args:
        reference: Id or name in the sheet.
        items: The items in Label Studio.
        names: The items' names, in the same order.
        kind: The word for such an item (`template`, `workspace`), used in the message and the code.
    """
    # No id has more digits, and Python refuses to parse thousands of them.
    number = reference.removesuffix(".0")
    if number.isascii() and number.isdigit() and len(number) < 20:
        # pandas writes ids as `1.0` if a column has gaps.
        by_id = [item for item in items if item.id == int(number)]
        if by_id:
            return by_id[0]
    for same in (str.strip, _folded):
        fitting = [item for item, name in zip(items, names, strict=True) if same(name) == same(reference)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            ids = ", ".join(str(item.id) for item in fitting)
            message = f"{len(fitting)} {kind}s are named {shown(reference)!r} (ids {ids})."
            hint = "Give the id instead."
            return Problem(f"{kind}-ambiguous", message, column=kind, value=shown(reference), hint=hint)
    message = f"no {kind} has this id or name."
    hint = _nearest_of(reference, items, names, kind)
    return Problem(f"{kind}-unknown", message, column=kind, value=shown(reference), hint=hint)


def _nearest_of(reference: str, items: Sequence[Named], names: Sequence[str], kind: str) -> str:
    ids = {name: _with_id(shown(name), item.id) for item, name in zip(items, names, strict=True)}
    near = nearest(reference, ids, cutoff=0.5)
    if near:
        return f"Did you mean {or_listed([ids[name] for name in near])}?"
    if not items:
        return "Label Studio shows this token none like it."
    return f"`stencil {kind} list` shows all {len(items)}."


def _with_id(name: str, number: int | None) -> str:
    return repr(name) if number is None else f"{name!r} (id {number})"


def _folded(name: str) -> str:
    return " ".join(without_unseen(name).casefold().split())
