"""The line that a project's description ends in while its steps are not done."""

import re

_WORDS = "Stencil has yet to add members or tasks; a rerun of its sheet goes on."
_LINE = re.compile(r"(?:\A|\n\n)" + re.escape(_WORDS) + r" \[stencil steps ([0-9a-f]{16})-([0-9a-f]{8})\]\s*\Z")


def with_pending(description: str, key: str, intent: str) -> str:
    """The description with the line at its end.

    Args:
        description: The final one.
        key: 16 hex digits: workspace and title, so that the line of a project that was renamed is plain text.
        intent: 8 hex digits: what the project is to become, its steps included.
    """
    line = f"{_WORDS} [stencil steps {key}-{intent}]"
    return f"{description.rstrip()}\n\n{line}" if description.strip() else line


def pending_of(description: str, key: str) -> tuple[str, str] | None:
    """The final description and the intent, where steps of this key are not done; else nothing."""
    match = _LINE.search(description)
    if match is None or match[1] != key:
        return None
    return description[: match.start()], match[2]
