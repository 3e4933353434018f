r"""Makes text safe to leave the process: masks secrets, and escapes characters that act on a terminal or log."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

#: Shown in place of a secret.
MASK = "***"
#: Settings whose values are never shown: columns of a sheet, keys of `overrides`, fields of an answer.
SECRET_FIELDS = frozenset({"task_data_password"})

#: User and password of a URL, or its query, which may hold a signature.
_IN_URLS = re.compile(r"(?P<start>://)[^/\s?#]*@|(?P<url>://[^\s?]*)\?[^\s'\")\]]*[^\s'\")\].,;:]")
#: Control characters, which act on a terminal; direction marks and invisible characters; halves of surrogate pairs, which
#: have no UTF-8.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


class Secret(str):
    """A text that is or contains a secret: a `str` whose `repr` doesn't show it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class FromFile(str):
    """A text from a file that a cell names. No message quotes it, or the server about it."""

    __slots__ = ()


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether a column, or a key of `overrides`, holds a password, in any spelling of its name."""
    return name.strip().casefold().replace(" ", "_").replace("-", "_") in SECRET_FIELDS


def holds_secrets(column: str) -> bool:
    """Whether a text in this column may be or contain a password."""
    return is_secret(column) or column.strip().casefold() == "overrides"


def may_hold_secret(text: str) -> bool:
    """Whether a text of JSON may hold a password."""
    # A key may be written with escapes, so a text with one has to be parsed.
    return "password" in text.casefold() or "\\u" in text


def marked(column: str, value: object) -> object:
    """The cell with its secrets wrapped in `Secret`."""
    if isinstance(value, str):
        secret = is_secret(column) or (holds_secrets(column) and may_hold_secret(value))
        return Secret(value) if secret else value
    if isinstance(value, Mapping):
        return {
            key: Secret(part) if is_secret(str(key)) and isinstance(part, str) else part for key, part in value.items()
        }
    return value


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the users, passwords and queries of its URLs, and without these secrets.

    Args:
        text: Text that is about to be shown, logged, stored or raised.
        secrets: Values to mask; blank ones are ignored.
    """
    for secret in sorted({each for each in secrets if each.strip()}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    # Twice, since a URL may have both.
    return _IN_URLS.sub(_masked, _IN_URLS.sub(_masked, text)) if "://" in text else text


def _masked(found: re.Match[str]) -> str:
    return "://" if found["start"] else f"{found['url']}?{MASK}"


def visible(text: str) -> str:
    r"""The text with an escape, such as `\x1b`, for every character that can't be seen."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
