"""Extracts why Label Studio rejected tasks, without quoting the tasks.

Its messages end in the task, and quote the value that does not fit. So only known parts that come from the labelling
configuration are passed on (measured on Label Studio Community 1.23.2).
"""

import re

_AT_ITEM = r"(?:\[?ErrorDetail\(string=)?['\"\[]{0,2}Errors? {1,2}(?:[\w ]{0,40})?at item (\d{1,9}): "
_MISSING = re.compile(_AT_ITEM + r'\\?"([^"\\]{1,100})\\?" key is expected in task data')
_WRONG_TYPE = re.compile(
    _AT_ITEM
    + r"data\[\\?'([^'\\]{1,100})\\?'\]=.*? is of type \\?'(\w{1,40})\\?', but the object tag (\w{1,40}) expects",
    re.DOTALL,
)
_OTHER = re.compile(_AT_ITEM)

#: Replaces a reason that may quote tasks.
WITHHELD = "Label Studio's message is withheld, because it may quote what was sent"


def reason_of(words: str) -> str:
    """The part of Label Studio's reason that may be shown: the index of the task, and the key of its data."""
    missing = _MISSING.match(words)
    if missing:
        return f'task {int(missing[1]) + 1} lacks "{missing[2]}", which the labelling configuration shows'
    wrong = _WRONG_TYPE.match(words)
    if wrong:
        return f'task {int(wrong[1]) + 1}: "{wrong[2]}" is of type {wrong[3]}, which <{wrong[4]}> does not show'
    other = _OTHER.match(words)
    if other:
        return f"task {int(other[1]) + 1} was not accepted ({WITHHELD})"
    return WITHHELD
