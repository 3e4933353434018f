"""Finds invisible characters: without width, without a break, or changing the direction of text.

Text that was copied from web pages and chats has them. Names that differ only in them look the same, but are different names
to a server. They are dropped in names of columns, references and choices. In a title they are a problem.
"""

import re
import unicodedata

#: Never visible, and needed by no script.
_NEEDLESS = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
)
#: Join or separate letters: Persian, Indic scripts and emoji need them, others do not.
_JOINERS = "\u200c\u200d"
#: Regions in flags.
_TAGS = "\U000e0000-\U000e007f"
#: Select a form of the letter before them.
_SELECTORS = "\u180b-\u180d\u180f\ufe00-\ufe0f"
#: Blanks that look like the ordinary one.
_BLANKS = "\xa0\u2007\u202f"
_UNSEEN = re.compile(f"[{_NEEDLESS}{_JOINERS}{_TAGS}{_BLANKS}]")
#: All characters that can make two titles differ that look the same.
INVISIBLE = re.compile(f"[{_NEEDLESS}{_JOINERS}{_SELECTORS}]")
_FLAG = "\U0001f3f4"


def unseen_in(text: str) -> list[int]:
    """Positions of invisible characters that no script needs, including non-breaking spaces."""
    if text.isascii():
        return []
    return [found.start() for found in _UNSEEN.finditer(text) if not _is_needed(text, found.start())]


def without_unseen(text: str) -> str:
    """The text without invisible characters, and with ordinary blanks."""
    places = unseen_in(text)
    if not places:
        return text
    letters = list(text)
    for place in places:
        letters[place] = " " if letters[place] in _BLANKS else ""
    return "".join(letters)


def name_of(letter: str) -> str:
    """The name of a character for messages: `ZERO WIDTH SPACE (U+200B)`."""
    return f"{unicodedata.name(letter, 'an unseen letter')} (U+{ord(letter):04X})"


def _is_needed(text: str, at: int) -> bool:
    """Whether an invisible character changes the look: a joiner between letters of such a script, or a tag of a flag."""
    before = text[at - 1] if at else ""
    if text[at] in _JOINERS:
        # Letters without case, marks and emoji; Latin, Greek and Cyrillic letters have case.
        return bool(before) and at + 1 < len(text) and unicodedata.category(before) in ("Lo", "Mn", "Mc", "So", "Sk")
    return text[at] >= "\U000e0000" and (before == _FLAG or before >= "\U000e0000")
