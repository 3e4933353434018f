"""Every option of a batch, once: Python callers, the command line and the flow take them from here."""

import difflib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from label_studio_stencil.names import or_listed
from label_studio_stencil.problems import StencilError, shown, taken
from label_studio_stencil.report.outcomes import Outcome

#: Most requests at once in one process.
MOST_AT_ONCE = 64
#: Most and fewest requests per second. Slower ones would make each reading of the project list too old to write by.
FASTEST = 1000
SLOWEST = 0.5
#: Most seconds to wait for the end of an outage of Label Studio.
LONGEST_OUTAGE = 86_400

Mode: TypeAlias = Literal["create", "update"]
LongTitles: TypeAlias = Literal["error", "cut"]
#: Which rows that need attention make the batch a failed one.
FailWhen: TypeAlias = Literal["any", "all", "never"]


def _with_time(output: str) -> str:
    return output.replace("{time}", f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}")


Output: TypeAlias = Annotated[
    str,
    AfterValidator(_with_time),
    Field(
        description="Folder or URL to write `results.csv` and `failed.csv` to, replacing those of an earlier batch; `{time}` "
        "in it stands for the time of the start. Empty writes no files."
    ),
]

O = TypeVar("O", bound="Options")  # noqa: E741 - the customary letter


def _not_too_slow(rate: float) -> float:
    if 0 < rate < SLOWEST:
        raise ValueError(f"takes 0, for the default, or a number of at least {SLOWEST:g}")
    return rate


class Options(BaseModel):
    """Options of a batch."""

    # An id of a template or workspace may be a number. Errors don't show inputs, because a token may be among them.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, hide_input_in_errors=True)

    template: Annotated[
        str,
        Field(
            description="Template for rows that name none, such as `Sentiment Analysis`: a name, an id, `project:...`, "
            "`gallery:...` or a file."
        ),
    ] = ""
    workspace: Annotated[
        str,
        Field(
            description="Workspace for rows that name none, such as `Customer Feedback`: a name or an id. Enterprise only."
        ),
    ] = ""
    dry_run: Annotated[bool, Field(description="Show what would happen to each row, and write nothing.")] = False
    title: Annotated[
        str,
        Field(
            description="Pattern for the titles of rows that have none, with columns of the sheet in braces, such as "
            "`{customer} {year}-{batch:02d}`."
        ),
    ] = ""
    long_titles: Annotated[
        LongTitles,
        Field(
            description="What to do with a title that is too long: `error` rejects it, `cut` shortens it and adds a hash."
        ),
    ] = "error"
    mode: Annotated[
        Mode,
        Field(
            description="What to do with a project that exists: `create` leaves it alone, `update` applies "
            "the row and its template."
        ),
    ] = "create"
    lines: Annotated[
        str, Field(description="Lines of the sheet to process, such as `2-500`; the header is line 1. Empty means all.")
    ] = ""
    max_concurrency: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_AT_ONCE,
            description=f"Requests at the same time, at most {MOST_AT_ONCE}; "
            "0 uses the default (Enterprise 4; Community 1, or 4 for reads).",
        ),
    ] = 0
    requests_per_second: Annotated[
        float,
        Field(
            ge=0,
            le=FASTEST,
            description="Most requests per second, imports included; 0 uses the default (10 on the vendor's cloud; no limit "
            "elsewhere). Imports on the vendor's cloud are always limited to 1 per second.",
        ),
        AfterValidator(_not_too_slow),
    ] = 0
    max_failures: Annotated[
        str,
        Field(
            description="Stop once more rows than this have failed: a number (`10`) or a share (`5%`). Empty means never."
        ),
    ] = ""
    longest_outage: Annotated[
        float,
        Field(
            ge=0,
            le=LONGEST_OUTAGE,
            description="Seconds to wait for a Label Studio that does not answer before the batch stops; 0 means no wait.",
        ),
    ] = 600
    skip_invalid: Annotated[
        bool, Field(description="Create the projects of valid rows even if other rows are invalid.")
    ] = False
    allow_unknown_fields: Annotated[
        bool, Field(description="Send settings that Stencil does not know, instead of rejecting them.")
    ] = False
    allow_lookalikes: Annotated[
        bool,
        Field(
            description="Create a project even if an existing title looks the same: it differs only in case, blanks, invisible "
            "characters or forms of letters."
        ),
    ] = False
    encoding: Annotated[
        str, Field(description="Encoding of a text file, such as `windows-1251`; empty detects it.")
    ] = ""
    worksheet: Annotated[
        str, Field(description="Worksheet of a workbook, by name; empty takes the first visible one.")
    ] = ""


class RunOptions(Options):
    """More options of a run on Prefect."""

    output: Output = ""
    fail_when: Annotated[
        FailWhen,
        Field(description="When the run counts as failed: if `any` row needs attention, if `all` rows do, or `never`."),
    ] = "any"
    credentials: Annotated[
        str,
        Field(
            description="Name of the `Label Studio Credentials` block, such as `label-studio` (in the UI: Blocks); empty uses "
            "the worker's environment. Never enter the token itself: others can read parameters."
        ),
    ] = ""
    project_events: Annotated[
        bool, Field(description="Send an event for each project that is created, for automations (none above 5,000).")
    ] = False
    sandbox: Annotated[bool, Field(description="Run on the embedded sandbox, without a Label Studio.")] = False


class BadOption(StencilError):
    """An option is unknown, or its value is invalid."""


def options_of(model: type[O], given: Mapping[str, Any]) -> O:
    """The given options, with the defaults of the others.

    Raises:
        BadOption: Some are invalid; the message names each.
    """
    try:
        return model(**given)
    except ValidationError as error:
        told = _told(error, list(model.model_fields))
        raise BadOption(
            "; ".join(message for message, _ in told), hint=" ".join(hint for _, hint in told if hint)
        ) from None


def _told(error: ValidationError, known: Sequence[str]) -> list[tuple[str, str]]:
    """A sentence on each option that can't be taken, and a hint."""
    reasons: dict[str, tuple[str, str]] = {}
    for each in error.errors(include_url=False, include_input=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        if each["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"Did you mean {or_listed(close)}?" if close else f"These are: {', '.join(known)}."
            reasons[name] = (f"there is no option {shown(name)!r}.", hint)
        reasons.setdefault(name, (f"{name}: {taken(each)}", ""))
    return list(reasons.values())


def most_failures(text: str, rows: int) -> float:
    """The number of rows that may fail, from `10` or `5%`; empty means no limit.

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
        raise BadOption(
            f"`max_failures={words}` is not a number.", hint="Give a number of rows (10) or a share of them (5%)."
        )
    return rows * number / 100 if share else number


def chosen_lines(text: str) -> range | None:
    """The lines of a sheet to process, from `2-500` or `7`; `None` for an empty text, which means all.

    Raises:
        BadOption: The text is neither.
    """
    words = text.strip()
    if not words:
        return None
    first, dash, last = (part.strip() for part in words.partition("-"))
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in (first, last if dash else first)]
    if not 1 <= numbers[0] <= numbers[1]:
        raise BadOption(
            f"`lines={words}` names no lines.",
            hint="Give the first and the last line of the sheet (2-500), or one line (7).",
        )
    return range(numbers[0], numbers[1] + 1)


def failed(counts: Mapping[Outcome, int], fail_when: FailWhen) -> bool:
    """Whether a batch with so many rows of each outcome counts as failed."""
    ok, not_ok = (any(count for outcome, count in counts.items() if outcome.ok is ok) for ok in (True, False))
    return not_ok and (fail_when == "any" or (fail_when == "all" and not ok))
