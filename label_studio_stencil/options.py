"""How a batch is to be run: what the command line's flags and the flow's parameters say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.problems import StencilError
from label_studio_stencil.report.outcomes import Outcome

#: Requests at once of one process, at most.
MOST_AT_ONCE = 64

#: Seconds that an outage of Label Studio may be waited for at most.
LONGEST_OUTAGE = 86_400


class Mode(StrEnum):
    """What happens to a project that exists already: `create` leaves it alone, `update` brings it to the row's overrides."""

    CREATE = "create"
    UPDATE = "update"


class FailWhen(StrEnum):
    """Which rows that need attention make the batch a failed one."""

    ANY = "any"
    ALL = "all"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Options:
    """How a batch is to be run.

    Attributes:
        template: Template of the rows that name none.
        workspace: Workspace of the rows that name none.
        title: Pattern for the titles of rows that have none, such as `{customer} {year}-{batch:02d}`.
        long_titles: What happens to a title that is too long: `error`, or `cut` to its beginning and a hash.
        mode: What happens to projects that exist.
        lines: Lines of the sheet that are carried out (`2-500`); empty is all.
        dry_run: Whether to stop after the plan.
        max_concurrency: Requests under way at once; 0 is the edition's default (4; Community 1).
        requests_per_second: 0 is no limit; below 0 the host's default (10 on the vendor's cloud, none elsewhere).
        max_failures: Rows that may fail before the batch stops, as a number (`10`) or a share (`5%`); empty is no limit.
        skip_invalid: Whether the valid rows of a sheet are carried out beside invalid ones.
        allow_unknown_fields: Whether fields that the model does not know are passed on.
        allow_lookalikes: Whether a project is made though one exists whose title only looks the same.
        longest_outage: Seconds for which Label Studio may be away before the batch stops; 0 does not wait for it.
        asker: Who says all this, and may name a template file.
        encoding: Encoding of a sheet of text; empty goes by its content.
        worksheet: Worksheet of a workbook, by name; empty takes the first that is visible.
    """

    template: str = ""
    workspace: str = ""
    title: str = ""
    long_titles: str = "error"
    mode: Mode = Mode.CREATE
    lines: str = ""
    dry_run: bool = False
    max_concurrency: int = 0
    requests_per_second: float = -1.0
    max_failures: str = ""
    skip_invalid: bool = False
    allow_unknown_fields: bool = False
    allow_lookalikes: bool = False
    longest_outage: float = 600.0
    asker: Asker = PERSON
    encoding: str = ""
    worksheet: str = ""


class BadOption(StencilError):
    """An option has a value that it can't have."""


def most_failures(text: str, rows: int) -> float:
    """The number of rows that may fail: `10`, or a share of the rows such as `5%`; empty is no limit.

    Raises:
        BadOption: The text is neither.
    """
    words = text.strip()
    if not words:
        return math.inf
    share = words.endswith("%")
    try:
        number = float(words.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not (0 <= number < math.inf) or (share and number > 100) or (not share and number != int(number)):
        raise BadOption(f"max_failures is {text!r}: give a number of rows (10) or a share of them (5%)")
    return rows * number / 100 if share else number


def chosen_lines(text: str) -> range | None:
    """The lines of a sheet that are carried out: `2-500` or `7`; `None` where the text is empty, which is all.

    Raises:
        BadOption: The text is neither.
    """
    words = text.strip()
    if not words:
        return None
    first, dash, last = (part.strip() for part in words.partition("-"))
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in (first, last if dash else first)]
    if not 1 <= numbers[0] <= numbers[1]:
        raise BadOption(f"lines is {text!r}: give the first and the last line of the sheet (2-500), or one line (7)")
    return range(numbers[0], numbers[1] + 1)


def failed(counts: Mapping[Outcome, int], fail_when: FailWhen) -> bool:
    """Whether a batch with so many rows of each outcome counts as failed."""
    ok, not_ok = (any(count for outcome, count in counts.items() if outcome.ok is ok) for ok in (True, False))
    return not_ok and (fail_when is FailWhen.ANY or (fail_when is FailWhen.ALL and not ok))
