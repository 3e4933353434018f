"""Makes other people's words harmless in Markdown, in tables of Prefect's pages, and in links.

It uses only escapes that both of Prefect's UIs show correctly (measured on 3.8.8): the first UI doesn't decode numeric entities
and shows the label of a link literally, so a title is never a label.
"""

import re
from urllib.parse import quote, urlsplit

from label_studio_stencil.problems import shortened

#: Characters of a text, and of a URL, that are shown at most.
REASON_LENGTH = 300
_URL_LENGTH = 500

_ESCAPES = {ord(char): f"\\{char}" for char in "\\|`*_[]~$#@"} | {
    ord("&"): "&amp;",
    ord("<"): "&lt;",
    ord(">"): "&gt;",
}
_AUTOLINK = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
#: Characters that start a list or an underline at the start of a line.
_LEADING = re.compile(r"^(\d*)([-+=.)])")
#: Characters that a tag, a link or the definition of a link needs.
_SYNTAX = re.compile(r"<|\](?=[(:\[])")
#: Controls, halves of surrogate pairs, and marks that turn the direction of the text that follows.
_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def cut(text: str, length: int) -> str:
    """The text as one line of at most `length` characters, without characters that can't be shown or stored."""
    # A cell may hold a megabyte, so text far behind the cut is not processed.
    line = _UNSHOWABLE.sub("\ufffd", " ".join(text[: 20 * length].split()))
    whole = len(line) <= length and len(text) <= 20 * length
    return line if whole else shortened(f"{line[:length]} …", length)


def escape(text: str, length: int = REASON_LENGTH) -> str:
    """The text, cut to `length` characters, as Markdown that shows exactly this text."""
    escaped = cut(text, length).translate(_ESCAPES)
    return _LEADING.sub(r"\1\\\2", _AUTOLINK.sub(r"\\\g<0>", escaped))


def defused(text: str, length: int) -> str:
    """The text, cut to `length` characters, so that it forms no tag, link or image.

    For places that one UI shows as plain text and the other as Markdown, such as cells of Prefect's table
    artifacts (measured on 3.8.8): an invisible joiner separates characters that would make a tag or a link.
    """
    return _SYNTAX.sub("\\g<0>\u2060", cut(text, length))


def fenced(text: str) -> str:
    """The text as a code block of Markdown, which nothing in it can end."""
    lines = _UNSHOWABLE.sub(lambda found: found[0] if found[0] in "\n\t" else "\ufffd", text.replace("\r\n", "\n"))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines.rstrip(chr(10))}\n{fence}"


def web_address(url: str) -> str:
    """The URL with unusual characters percent-encoded; empty if it is not an http or https URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc or len(url) > _URL_LENGTH:
        return ""
    return quote(url, safe=":/?#[]@!$&*+,;=%~", errors="replace")
