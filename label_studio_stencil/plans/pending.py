"""The line at the end of a project's description while its steps are not done."""

import re
from typing import NamedTuple

_WORDS = "Stencil has yet to add members or tasks; a rerun of its sheet goes on."
_LINE = re.compile(
    r"(?:\A|\n\n)"
    + re.escape(_WORDS)
    + r" \[stencil steps ([0-9a-f]{16})-([0-9a-f]{8})(?:-([0-9a-f]{8})-([0-9a-f]{8}))?"
    + r"(?: tasks ([0-9a-f]{8}) (?:import (\d{1,18})|(sent)|(refused)))?\]\s*\Z"
)


class Claim(NamedTuple):
    """The batch that continues steps of another batch.

    Attributes:
        batch: 8 hex digits.
        since: Seconds since 1970, by Label Studio's clock.
    """

    batch: str
    since: int


class Sent(NamedTuple):
    """Tasks that were sent or are about to be. This is written before they leave, so that no batch sends them twice.

    Attributes:
        digest: 8 hex digits of their file.
        number: Id of the import; `None` if it is not known.
        refused: Whether Label Studio refused the request, so that tasks may be sent again.
    """

    digest: str
    number: int | None = None
    refused: bool = False

    def __str__(self) -> str:
        """As text for the line."""
        if self.refused:
            return f"tasks {self.digest} refused"
        return f"tasks {self.digest} " + ("sent" if self.number is None else f"import {self.number}")


class Pending(NamedTuple):
    """A description with the line, parsed.

    Attributes:
        description: The final description, without the line.
        intent: 8 hex digits for the project that is to be made, its steps included.
        claim: The batch that continues the steps; `None` while the batch that made the project does them.
        sent: The tasks that were sent; `None` if none were.
    """

    description: str
    intent: str
    claim: Claim | None = None
    sent: Sent | None = None


def with_pending(description: str, key: str, intent: str, claim: Claim | None = None, sent: Sent | None = None) -> str:
    """The description with the line at its end.

    Args:
        description: The final description, without the line.
        key: 16 hex digits for workspace and title. If the project is renamed, the line counts as plain text.
        intent: As in `Pending`.
        claim: As in `Pending`.
        sent: As in `Pending`.
    """
    claimed = f"-{claim.batch}-{claim.since:08x}" if claim else ""
    tasks = f" {sent}" if sent else ""
    line = f"{_WORDS} [stencil steps {key}-{intent}{claimed}{tasks}]"
    return f"{description.rstrip()}\n\n{line}" if description.strip() else line


def pending_of(description: str, key: str) -> Pending | None:
    """The line, if steps of this key are not done, or `None`."""
    match = _LINE.search(description)
    if match is None or match[1] != key:
        return None
    claim = Claim(match[3], int(match[4], 16)) if match[3] else None
    sent = Sent(match[5], int(match[6]) if match[6] else None, refused=bool(match[8])) if match[5] else None
    return Pending(description[: match.start()], match[2], claim, sent)
