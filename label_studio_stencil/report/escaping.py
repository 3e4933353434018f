"""Makes other people's words harmless in Markdown, in tables of Prefect's pages, and in links.

Escapes are those that both of Prefect's pages show rightly (measured on 3.8.8): its first one decodes no numeric entity, and
shows the label of a link as it stands, so that a label is never a title.
"""

import re
from urllib.parse import quote, urlsplit

#: Characters of a text, and of a URL, that are shown at most.
REASON_LENGTH = 300
_URL_LENGTH = 500

_ESCAPES = {ord(char): f"\\{char}" for char in "\\|`*_[]~$#@"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
}
_AUTOLINK = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
#: What starts a list or an underline at the start of a line.
_LEADING = re.compile(r"^(\d*)([-+=.)])")
#: What a tag, an inline link or the definition of one can't do without.
_SYNTAX = re.compile(r"<|\](?=[(:\[])")
#: Controls, halves of surrogate pairs, and marks that turn the direction of the text that follows.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def cut(text: str, length: int) -> str:
    """The text in one line of at most `length` characters, without those that can't be shown or stored."""
    # A cell may hold a megabyte: what is far behind the cut need not be looked at.
    line = _UNSHOWABLE.sub("\ufffd", " ".join(text[: 20 * length].split()))
    whole = len(line) <= length and len(text) <= 20 * length
    return line if whole else line[: length - 1] + "…"


def escape(text: str, length: int = REASON_LENGTH) -> str:
    """The text, cut to `length` characters, as Markdown that shows exactly it and does nothing else."""
    escaped = cut(text, length).translate(_ESCAPES)
    return _LEADING.sub(r"\1\\\2", _AUTOLINK.sub(r"\\\g<0>", escaped))


def defused(text: str, length: int) -> str:
    """The text, cut to `length` characters, as it looks, but without tags, links and images.

    For places that one page shows as plain text and another as Markdown, such as the cells of Prefect's table
    artifact (measured on 3.8.8): an invisible joiner keeps apart what would make a tag or a link.
    """
    return _SYNTAX.sub("\\g<0>\u2060", cut(text, length))


def web_address(url: str) -> str:
    """The URL with everything unusual percent-encoded; empty where it is not plainly one of http or https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(url) > _URL_LENGTH:
        return ""
    return quote(url, safe=":/?#[]@!$&*+,;=%~", errors="replace")
