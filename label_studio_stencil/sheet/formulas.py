"""What a spreadsheet would take for a formula, made harmless, and taken back unchanged.

A cell of a CSV file that starts with `=`, `+`, `-` or `@` is a formula to Excel, LibreOffice and Google
Sheets, and a formula can fetch a URL or start a program. The files that people open carry titles and error
texts that other people wrote, so such a cell is written with an apostrophe before it, and the reader of
sheets takes exactly that apostrophe off again.

The rule, as the sheet format states it:

- A cell that starts with apostrophes followed by a formula's start loses one apostrophe when it is read:
  `'=x` is the text `=x`, and the literal text `'=x` is written `''=x`. Every other apostrophe is text: `'tis`
  stays `'tis`.
- A formula's start is `=`, `+`, `-`, `@` or one of their full-width forms, also after blanks; or a leading
  tab or line break.
- Plain numbers (`-1`, `+2.5`, `-1e3`) and file references (`@configs/ner.xml`) are written as they are: they
  can do no harm.

The reader takes the guard off before it trims the cell, and off the names of columns as well. Source of the
list of characters: OWASP, "CSV Injection".

A limit: the files are separated by commas, and a spreadsheet that is told to split them at another character
finds cells where there are none, and so formulas inside of a text.
"""

import re

_START = r"(?:[\s\x00-\x1f\u200b\ufeff]*[=+\-@＝＋－＠]|[\t\r\n])"  # noqa: RUF001  # the full-width forms are meant
_FORMULA = re.compile(_START)
_GUARDED = re.compile(rf"'+{_START}")
_NUMBER = r"[+-](?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
#: No brackets, quotes, bars, colons or exclamation marks: nothing that calls a function or names a foreign
#: cell.
_FILE = r"@[\w.][\w ./\\-]*"
_HARMLESS = re.compile(rf"{_NUMBER}|{_FILE}")


def guard(text: str) -> str:
    """The text as a spreadsheet may show it: behind an apostrophe where it would be taken for a formula.

    `unguard(guard(text)) == text` holds for every text.
    """
    # Almost every cell starts with a letter or a digit, and a report has a million of them.
    if not text or text[0].isalnum():
        return text
    if _GUARDED.match(text) or (_FORMULA.match(text) and not _HARMLESS.fullmatch(text)):
        return f"'{text}"
    return text


def unguard(text: str) -> str:
    """The text that `guard` was given; a text without a guard is returned as it is."""
    return text[1:] if text.startswith("'") and _GUARDED.match(text) else text
