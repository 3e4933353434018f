"""Checks titles, and makes titles from a pattern over the columns of a sheet."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from string import Formatter

from pydantic_core import PydanticCustomError

from label_studio_stencil.letters import INVISIBLE, name_of, unseen_in
from label_studio_stencil.problems import StencilError, counted, shown
from label_studio_stencil.rows.columns import CONTROL, VARIABLE
from label_studio_stencil.rows.values import integer, number
from label_studio_stencil.sheet.limits import normalised
from label_studio_stencil.sheet.tables import is_blank

#: Length of a title in code points, after trimming (measured on Community 1.23.2).
SHORTEST_TITLE, LONGEST_TITLE = 3, 50

#: Hex digits of the hash at the end of a title that was cut.
_DIGITS = 8
_SPEC = re.compile(r"(?:.?[<>=^])?[ +-]?0?\d{0,2}[,_]?(?:\.\d{1,2})?[bdefgnosxEFGX%]?")


def folded(title: str) -> str:
    """The title folded for comparison: case, kinds of blanks, forms of letters and invisible characters don't count."""
    if title.isascii():
        return " ".join(title.lower().split())
    title = INVISIBLE.sub("", title)
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", title).casefold()).split())


class BadPattern(StencilError):
    """A title pattern is malformed."""


class TitleUnmade(ValueError):
    """The pattern can't make a title from a row; the text says why."""


def fault_of_title(title: str) -> tuple[str, str, str] | None:
    """The code, the sentence and the hint of a title's problem; `None` if it has none."""
    if CONTROL.search(title):
        return "title-control-character", "the title holds a line break or another control character.", "Remove it."
    unseen = unseen_in(title)
    if unseen:
        name, place = name_of(title[unseen[0]]), unseen[0] + 1
        message = f"the title holds an invisible character, {name}, at position {place}."
        return "title-unseen-letter", message, "Remove it."
    if "\ufffd" in title:
        return (
            "title-control-character",
            "the title holds \ufffd in place of a lost letter.",
            "Write the letter, or export the sheet again as UTF-8.",
        )
    if len(title) < SHORTEST_TITLE:
        message = f"the title has {counted(len(title), 'character')}, and at least {SHORTEST_TITLE} are needed."
        return "title-too-short", message, "Write a longer title."
    if len(title) > LONGEST_TITLE:
        message = f"the title has {len(title)} characters, and at most {LONGEST_TITLE} are allowed."
        return "title-too-long", message, 'Shorten it, or use `long_titles="cut"`.'
    return None


def cut(title: str) -> str:
    """Shorten a title that is too long: its beginning, and a hash that distinguishes it from others with the same beginning."""
    if len(title) <= LONGEST_TITLE:
        return title
    digits = hashlib.sha256(title.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{title[: LONGEST_TITLE - _DIGITS - 1].rstrip()} {digits}"


class TitlePattern:
    """A pattern such as `{customer} {year}-{batch:02d}`.

    The names in it are columns of the sheet; `{customer}` also means `_customer` and `var.customer`. A colon is followed by a
    Python format, of a number if it ends in `d`, `f` or the like, else of a text.

    Raises:
        BadPattern: It is malformed.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._parts = list(Formatter().parse(pattern))
        except ValueError as error:
            raise BadPattern(f"title {shown(pattern)!r}: {error}; to write a brace itself, write it twice.") from None
        for _, name, spec, conversion in self._parts:
            if name is not None and not name.strip():
                raise BadPattern(f"title {shown(pattern)!r}: {{}} names no column; write {{column}}.")
            if conversion or (spec and not _SPEC.fullmatch(spec)):
                end = f"!{conversion}" if conversion else f":{shown(spec)}"
                raise BadPattern(
                    f"title {shown(pattern)!r}: {{{name}{end}}} has an unknown format; a known one is :02d."
                )
        self.names = tuple(dict.fromkeys(name.strip() for _, name, _, _ in self._parts if name is not None))

    def columns(self, columns: Iterable[str]) -> dict[str, str]:
        """Column of the sheet by name in the pattern; names without a column are left out."""
        known: dict[str, str] = {}
        for column in columns:
            plain = column.strip().casefold()
            for name in (plain, plain.removeprefix("_"), plain.removeprefix(VARIABLE)):
                known.setdefault(name, column)
        return {name: known[name.casefold()] for name in self.names if name.casefold() in known}

    def title(self, cells: Mapping[str, object], columns: Mapping[str, str]) -> str:
        """The title of a row, of any length.

        Args:
            cells: The row.
            columns: From `columns`.

        Raises:
            TitleUnmade: A cell is blank, or not a number if the pattern needs one.
        """
        made = []
        for text, name, spec, _ in self._parts:
            made.append(text)
            if name is not None:
                made.append(_formatted(name.strip(), cells.get(columns[name.strip()]), spec or ""))
        return normalised(" ".join("".join(made).split()))


def _formatted(name: str, cell: object, spec: str) -> str:
    if is_blank(cell):
        raise TitleUnmade(f"the title needs {name}, but that cell is blank")
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    try:
        if spec[-1:] and spec[-1] in "bdnoxX":
            return format(integer(cell), spec)
        if spec[-1:] and spec[-1] in "efgEFG%":
            return format(float(number(cell)), spec)
        return format(str(cell).strip(), spec)
    except PydanticCustomError as error:
        raise TitleUnmade(f"the title needs {name} as a number: it {error.message()}, not {shown(cell)!r}") from None
    except (ValueError, OverflowError) as error:
        raise TitleUnmade(f"{name} can't be formatted as {spec!r}: {error}") from None
