"""Texts that programs leave in a cell where a value is missing or could not be computed."""

import re

from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.sheet.limits import MOST_PROBLEMS
from label_studio_stencil.sheet.model import Table

#: What spreadsheet programs show where a formula fails, in the languages in which they show it.
_ERRORS = frozenset(
    (  # noqa: SIM905  # as words they can be read
        "#NULL! #DIV/0! #VALUE! #REF! #NAME? #NUM! #N/A #GETTING_DATA #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! "
        "#UNKNOWN! #BUSY! #EXTERNAL! #PYTHON! #ERROR! "
        "#BEZUG! #WERT! #ZAHL! #NV #ÜBERLAUF! #KALK! "
        "#VALEUR! #NOM? #NOMBRE! #NUL! "
        "#¡NULO! #¡DIV/0! #¡VALOR! #¡REF! #¿NOMBRE? #¡NUM! #¡DESBORDAMIENTO! "
        "#RIF! #VALORE! #NOME? #N/D #NULLO! "
        "#VALOR! #NÚM! #NULO! "
        "#VERW! #WAARDE! #NAAM? #GETAL! #DEEL/0! #N/B #LEEG! "
        "#ADR! #ARG! #NAZWA? #LICZBA! #DZIEL/0! #ZERO! "
        "#REFERENS! #VÄRDEFEL! #NAMN? #OGILTIGT! #DIVISION/0! #SAKNAS! "
        "#ССЫЛКА! #ЗНАЧ! #ИМЯ? #ЧИСЛО! #ДЕЛ/0! #Н/Д #ПУСТО!"
    ).split()
)
#: LibreOffice's errors.
_ERROR = re.compile(r"Err:[0-9]{3}")

#: What databases, pandas, R and programs in JavaScript write where there is no value.
_MISSING = frozenset({"NaN", "nan", "NaT", "<NA>", "None", "null", "NULL", "(null)", "[NULL]", r"\N", "undefined"})
#: R's missing value is a word of people, too: of a title it is not known which.
MISSING_IN_SETTINGS = _MISSING | {"NA"}
MISSING_IN_TITLES = _MISSING
_LONGEST = max(map(len, MISSING_IN_SETTINGS))
#: What such a cell starts with, so that almost every other is passed by at a glance.
MISSING_STARTS = frozenset(word[0] for word in MISSING_IN_SETTINGS) | set(" \t\xa0")


def is_missing(cell: object, words: frozenset[str]) -> bool:
    """Whether a cell is one of these words; blanks round it do not count."""
    return isinstance(cell, str) and (cell in words or (len(cell) < _LONGEST + 8 and cell.strip() in words))


def note_formula_errors(table: Table) -> None:
    """Adds a problem for each cell that shows a formula's error, whatever format it comes from."""
    for row in table.rows if len(table.problems) <= MOST_PROBLEMS else ():
        for name, cell in row.cells.items():
            if isinstance(cell, str) and cell[:1] in _STARTS and _is_error(cell):
                message = "the cell shows a formula's error: fix the formula in the spreadsheet, or empty the cell."
                table.problems.append(Problem("formula-error", message, line=row.line, column=name, value=shown(cell)))


#: So that almost every cell is passed by at a glance.
_STARTS = ("#", "E")


def _is_error(cell: str) -> bool:
    text = cell.strip()
    if text[0] != "#":
        return _ERROR.fullmatch(text) is not None
    # Of a number, a column that is too narrow shows `###`.
    return text in _ERRORS or (len(text) > 2 and not text.strip("#"))
