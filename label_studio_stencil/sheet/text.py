"""Reads CSV and TSV, as spreadsheets and editors write them, into rows with line numbers."""

import csv
import itertools
import re
from collections.abc import Iterator, Sequence

from label_studio_stencil.problems import SHOWN_VALUE_LENGTH, Problem, shown
from label_studio_stencil.sheet.formulas import unguard
from label_studio_stencil.sheet.limits import (
    MOST_IN_CELL,
    MOST_IN_LINE,
    MOST_IN_NAME,
    MOST_LINES,
    MOST_PROBLEMS,
    large_cell,
    refuse_too_large,
)
from label_studio_stencil.sheet.model import Row, SheetUnreadable, Table
from label_studio_stencil.sheet.nameless import Nameless

#: Broken quotes after which the rest of a file is not read: each may cost a pass over the rest of the file.
MOST_BROKEN_QUOTES = 20

_SEPARATORS = ",;\t|"

#: In one pass and without a copy: `StringIO` makes one of four bytes a character.
_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]+")


def lines_of(text: str) -> list[str]:
    """The physical lines with their endings; only a line feed, a carriage return or both end a line.

    Raises:
        SheetUnreadable: There are too many, or one is too long.
    """
    if max(text.count("\n"), text.count("\r")) > MOST_LINES:
        raise SheetUnreadable(
            f"The text has more than {MOST_LINES:,} lines, and no more are read.", hint="Split the sheet."
        )
    lines = _LINE.findall(text)
    length = max(map(len, lines), default=0)
    if length > MOST_IN_LINE:
        number = next(number for number, line in enumerate(lines, start=1) if len(line) == length)
        if "\0" in lines[number - 1]:
            raise _no_text()
        raise SheetUnreadable(
            f"Line {number} holds {length:,} characters; at most {MOST_IN_LINE:,} are read.",
            hint="Put long texts into files beside the sheet, and name them in the cells as @file.",
        )
    return lines


def _no_text() -> SheetUnreadable:
    return SheetUnreadable("This is not a text file: it holds NUL characters.")


def read_separated(text: str, separator: str = "") -> Table:
    """The rows of a table of separated values, and problems of malformed rows.

    Args:
        text: The whole file.
        separator: The separator of cells; empty finds `,`, `;`, a tab or `|` in the header.

    Raises:
        SheetUnreadable: The header holds NUL characters, so that this is not text, or it is too large.
    """
    lines = lines_of(text)
    table = Table()
    start, named = _separator_line(lines)
    head = "".join(lines[start : start + _HEADER_LINES])
    if _SPACED.match(head):
        raise SheetUnreadable(
            "Cells are separated by blanks, as R's write.table does.", hint="Use write.csv(x, row.names=FALSE)."
        )
    # A header without the separator of the extension has another one.
    separator = named or (separator if separator in head else "") or sniffed(head)
    table.separator = ";" if separator == ";" else ","
    header: list[str] = []
    nameless = Nameless((), 1)
    known: dict[str, str] = {}
    for line, cells in _records(lines, start, separator, table.problems):
        if cells is None:
            if not header:
                break
            table.rows.append(Row(line, {}))
        elif not any(map(str.strip, cells)):
            continue
        elif not header:
            header = _header(cells)
            table.columns = [name for name in header if name]
            table.header_line = line
            nameless = Nameless(header, line)
        else:
            table.rows.append(_row(line, header, [_kept_once(cell, known) for cell in cells], table.problems, nameless))
        refuse_too_large(len(table.rows), len(table.columns))
        if len(table.problems) + nameless.count > MOST_PROBLEMS:
            break
    if nameless.count:
        table.problems += nameless.problems(len(table.rows))
        table.problems.sort(key=lambda problem: problem.line or 0)
    return table


def _kept_once(cell: str, known: dict[str, str]) -> str:
    """The cell, or the equal text of an earlier one: a hundred thousand rows repeat a few words."""
    if len(cell) > _LONGEST_KNOWN or len(known) >= _MOST_KNOWN:
        return known.get(cell, cell)
    return known.setdefault(cell, cell)


#: Most texts that are shared between cells, and the longest of them.
_MOST_KNOWN, _LONGEST_KNOWN = 10_000, 100

#: A header of R's `write.table`.
_SPACED = re.compile(r'\s*"[^"\n]*"(?: "[^"\n]*")+\s*?\n')
#: Most lines of a header, whose names may hold quoted line breaks.
_HEADER_LINES = 50


#: Excel's first line `sep=;`, also in quotes, with blanks, with a word for a tab, or filled up with separators.
_NAMES_SEPARATOR = re.compile(
    r"\s*\"?\s*sep\s*=\s*(?P<one>\\t|tab\b|\t|[^\s\"])?\s*\"?(?:[,;|\s]|(?P=one))*", re.IGNORECASE
)


def _separator_line(lines: Sequence[str]) -> tuple[int, str]:
    """The separator in Excel's first line, which is not the header."""
    first = lines[0] if lines else ""
    found = _NAMES_SEPARATOR.fullmatch(first) if len(first) < MOST_IN_NAME else None
    if found is None:
        return 0, ""
    named = found["one"] or ("\t" if "\t" in first else "")
    return 1, "\t" if named.lower() in ("\\t", "tab") else named


def sniffed(text: str) -> str:
    """The most frequent separator of the header outside of quotes; a comma if there is none."""
    unquoted = re.sub(r'(?:^|(?<=[,;\t|\r\n]))"(?:[^"]|"")*+"', "", text)
    header = next((line for line in unquoted.splitlines() if line.strip(" ")), "")
    return max(_SEPARATORS, key=header.count)


def _header(cells: Sequence[str]) -> list[str]:
    if any("\0" in name for name in cells):
        raise _no_text()
    return [unguard(name).strip() for name in cells]


def _records(
    lines: Sequence[str], start: int, separator: str, problems: list[Problem]
) -> Iterator[tuple[int, list[str] | None]]:
    """Each record with its first line; `None` for a record that can't be read, whose problem is added.

    After a broken quote, reading continues on the next physical line, because one forgotten quote would otherwise swallow
    all rows after it. If it doesn't continue, the problem is one of the sheet, since the rows that were not read are unknown.
    """
    if csv.field_size_limit() < MOST_IN_LINE:
        # The limit of the csv module applies to the whole process, and is 131,072 characters.
        csv.field_size_limit(MOST_IN_LINE)
    broken = 0
    while start < len(lines):
        reader = csv.reader(itertools.islice(lines, start, None), delimiter=separator, strict=True)
        begin = start
        try:
            for cells in reader:
                yield begin + 1, cells
                begin = start + reader.line_num
        except csv.Error as error:
            opening = _opening(lines, begin, separator)
            if str(error).startswith("field larger"):
                problems.append(_endless_cell(opening + 1, lines[opening]))
                return
            broken += 1
            last = broken == MOST_BROKEN_QUOTES
            closed_at = start + reader.line_num - 1
            problems.append(_broken_quote(begin + 1, opening + 1, closed_at + 1, lines[opening], last=last))
            if last:
                return
            yield begin + 1, None
            start = opening + 1
        else:
            return


def _opening(lines: Sequence[str], begin: int, separator: str) -> int:
    """Index of the physical line on which the broken quoted cell of a record begins."""
    text = "".join(lines[begin:])
    mark = re.escape(separator)
    whole_cell = re.compile(rf'(?:"(?:[^"]|"")*+"|[^"\r\n{mark}][^\r\n{mark}]*+|){mark}')
    position = 0
    while found := whole_cell.match(text, position):
        position = found.end()
    return begin + max(len(lines_of(text[:position])) - 1, 0)


def _broken_quote(record: int, opening: int, failure: int, content: str, *, last: bool) -> Problem:
    if opening == failure:
        code = "bad-quote"
        message, hint = "the quoted cell continues after its closing quote", 'Write a quote inside it as "".'
    else:
        code = "unclosed-quote"
        message, hint = f"the quote that opens on line {opening} is not closed", 'Add the closing ".'
    if last:
        message += f"; the lines after line {opening} were not read, as too many quotes are broken"
    line = None if last else record
    return Problem(code, f"{message}.", line=line, value=shown(content[: SHOWN_VALUE_LENGTH * 4]), hint=hint)


def _endless_cell(opening: int, content: str) -> Problem:
    message = (
        f"the quoted cell that opens on line {opening} holds more than {MOST_IN_LINE:,} characters, and what follows"
    )
    message += " was not read."
    value = shown(content[: SHOWN_VALUE_LENGTH * 4])
    return Problem("cell-too-large", message, value=value, hint="Is its closing quote missing?")


def _row(line: int, header: Sequence[str], cells: list[str], problems: list[Problem], nameless: Nameless) -> Row:
    row: dict[str, object] = {name: unguard(cell) for name, cell in zip(header, cells, strict=False) if name}
    if len(cells) < len(header):
        row |= dict.fromkeys([name for name in header[len(cells) :] if name], "")
    extra = []
    for position, cell in enumerate(cells):
        name = header[position] if position < len(header) else ""
        if not name:
            extra += [position] if cell.strip() else []
        elif len(cell) > MOST_IN_CELL:
            problems.append(large_cell(len(cell), line, name))
        elif "\0" in cell:
            message, hint = "the cell holds a NUL character.", "Remove it, or save the sheet as UTF-8."
            problems.append(Problem("nul-character", message, line=line, column=name, value=shown(cell), hint=hint))
    if extra:
        nameless.add(line, extra, cells[extra[0]])
    return Row(line, row)
