"""Texts that programs write into cells for missing values and failed formulas."""

import re

from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.sheet.limits import MOST_PROBLEMS
from label_studio_stencil.sheet.model import Table

#: Errors of formulas in spreadsheet programs, in all languages.
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

#: Words for missing values of databases, pandas, R and JavaScript.
_MISSING = frozenset({"NaN", "nan", "NaT", "<NA>", "None", "null", "NULL", "(null)", "[NULL]", r"\N", "undefined"})
#: R writes NA, which in a title may be a word.
MISSING_IN_SETTINGS = _MISSING | {"NA"}
MISSING_IN_TITLES = _MISSING
_LONGEST = max(map(len, MISSING_IN_SETTINGS))
#: First characters of such cells: a shortcut for almost all others.
MISSING_STARTS = frozenset(word[0] for word in MISSING_IN_SETTINGS) | set(" \t\xa0")


def is_missing(cell: object, words: frozenset[str]) -> bool:
    """Whether a cell is one of these words, blanks around it not counted."""
    return isinstance(cell, str) and (cell in words or (len(cell) < _LONGEST + 8 and cell.strip() in words))


def note_formula_errors(table: Table) -> None:
    """Add a problem for each cell that shows the error of a formula, in any format."""
    for row in table.rows if len(table.problems) <= MOST_PROBLEMS else ():
        for name, cell in row.cells.items():
            if isinstance(cell, str) and cell[:1] in _STARTS and _is_error(cell):
                hint = "Fix the formula in the spreadsheet, or empty the cell."
                found = Problem("formula-error", "the cell shows a formula's error.", row.line, name, shown(cell), hint)
                table.problems.append(found)


#: First characters of errors: a shortcut for almost all cells.
_STARTS = ("#", "E")


def _is_error(cell: str) -> bool:
    text = cell.strip()
    if text[0] != "#":
        return _ERROR.fullmatch(text) is not None
    # A column that is too narrow shows a number as `###`.
    return text in _ERRORS or (len(text) > 2 and not text.strip("#"))
