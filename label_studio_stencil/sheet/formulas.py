"""Guards text that a spreadsheet would take for a formula, and removes the guard again.

A cell of a CSV file that starts with `=`, `+`, `-` or `@` is a formula to Excel, LibreOffice and Google
Sheets, and a formula can fetch a URL or start a program. Result files hold titles and error texts that other
people wrote. So such a cell is written with an apostrophe in front, and the reader of sheets removes that
apostrophe again.

The rules:

- A cell that starts with apostrophes followed by a formula's start loses one apostrophe when it is read:
  `'=x` is the text `=x`, and the literal text `'=x` is written `''=x`. Every other apostrophe is text: `'tis`
  stays `'tis`.
- A formula's start is `=`, `+`, `-`, `@` or one of their full-width forms, also after blanks; or a leading
  tab or line break.
- Plain numbers (`-1`, `+2.5`, `-1e3`) and file references (`@configs/ner.xml`) are harmless and get no guard.

The reader removes the guard before it trims the cell, and from the names of columns too. The characters are
those of OWASP, "CSV Injection".

A limit: the files are separated by commas. A spreadsheet that splits them at another character makes cells of
parts of a text, and may find formulas in them.
"""

import re

_START = r"(?:[\s\x00-\x1f\u200b\ufeff]*[=+\-@＝＋－＠]|[\t\r\n])"  # noqa: RUF001  # the full-width forms are meant
_FORMULA = re.compile(_START)
_GUARDED = re.compile(rf"'+{_START}")
_NUMBER = r"[+-](?:[0-9]+(?:[.,][0-9]+)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
#: No brackets, quotes, bars, colons or exclamation marks, so no call of a function and no reference to another
#: file.
_FILE = r"@[\w.][\w ./\\-]*"
_HARMLESS = re.compile(rf"{_NUMBER}|{_FILE}")


def guard(text: str) -> str:
    """The text, with an apostrophe in front if a spreadsheet would take it for a formula.

    `unguard(guard(text)) == text` holds for every text.
    """
    # A shortcut: almost every cell starts with a letter or a digit, and a report may have a million.
    if not text or text[0].isalnum():
        return text
    if _GUARDED.match(text) or (_FORMULA.match(text) and not _HARMLESS.fullmatch(text)):
        return f"'{text}"
    return text


def unguard(text: str) -> str:
    """The text that `guard` was given; a text without a guard is returned as it is."""
    return text[1:] if text.startswith("'") and _GUARDED.match(text) else text
