"""A batch cut into shards: ranges of a sheet's rows, each carried out by a process of its own, perhaps on another machine.

What is decided and merged is here; `tasks/shards.py` has Prefect run them. The promise does not rest on any of it: a shard is a
batch over its rows, and two that got the same ones would make each project once all the same.
"""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields

from pydantic import BaseModel, ConfigDict, Field

from stencil.options import BadOption
from stencil.problems import StencilError
from stencil.report import Outcome

#: Requests at once of one process, at most.
MOST_AT_ONCE = 64
#: Shards of a batch, at most.
MOST_SHARDS = 64
#: `auto` gives each shard so many requests at once, and so many rows, at least: a shard takes some seconds to start.
AUTO_AT_ONCE, AUTO_ROWS = 16, 1000

_AUTO = "auto"


class SheetChanged(StencilError):
    """The sheet is not the one that the batch began with."""


class Shard(BaseModel):
    """What a run is told that carries out a part of a batch.

    Attributes:
        first_line: First line of the sheet that is its own.
        last_line: Last one.
        left_out: Lines between them that the batch found invalid by what the studio says: first and last of each run of them.
        digest: SHA-256 of the sheet, in hexadecimal, as the batch read it.
        intent: A hash of what its rows are to become; files beside the sheet and templates count in it.
        studio: Address of the studio that the batch works on.
        run: Id of the flow run that waits for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_line: int = Field(ge=1)
    last_line: int = Field(ge=1)
    left_out: tuple[tuple[int, int], ...] = ()
    digest: str
    intent: str
    studio: str
    run: str

    @property
    def name(self) -> str:
        """`lines 2-500`."""
        return f"lines {self.first_line}-{self.last_line}"

    def __contains__(self, line: object) -> bool:
        """Whether a line of the sheet is its own."""
        return isinstance(line, int) and self.first_line <= line <= self.last_line

    @property
    def lines_left_out(self) -> frozenset[int]:
        """Each of them."""
        return frozenset(line for first, last in self.left_out for line in range(first, last + 1))

    def check(self, digest: str) -> None:
        """Return where the sheet is still the same.

        Raises:
            SheetChanged: It is not.
        """
        if digest != self.digest:
            raise SheetChanged(
                "the sheet was changed after the batch began, or another file is at its path on this machine: "
                "nothing was done for these rows. Run the batch again."
            )

    def check_intent(self, intent: str) -> None:
        """Return where its rows are to become the same here as in the batch.

        Raises:
            SheetChanged: They are not.
        """
        if intent != self.intent:
            raise SheetChanged(
                "the rows come to something else here than in the batch: a template changed meanwhile, or files beside the "
                "sheet are not the same on this machine. Nothing was done for these rows. Run the batch again."
            )

    def check_studio(self, url: str) -> None:
        """Return where this is the studio that the batch works on.

        Raises:
            StencilError: It is another one.
        """
        if url != self.studio:
            raise StencilError(
                f"the batch works on {self.studio}, and the environment of this worker names {url}: name a block in "
                "`credentials`, or give all workers the same environment."
            )


def asked_shards(text: str) -> int | None:
    """How many shards are asked for: a number, 1 where nothing is; `None` for `auto`.

    Raises:
        BadOption: The text is neither.
    """
    words = text.strip().lower()
    if words == _AUTO:
        return None
    if words and not (words.isascii() and words.isdigit() and 1 <= int(words) <= MOST_SHARDS):
        raise BadOption(f"shards is {text!r}: give a number from 1 to {MOST_SHARDS}, or auto")
    return int(words or 1)


def check_at_once(max_concurrency: int, shards: int | None) -> None:
    """Return where so many requests at once can be split among so many shards.

    Raises:
        BadOption: They can't.
    """
    most = MOST_AT_ONCE * (shards or MOST_SHARDS)
    if max_concurrency > most:
        raise BadOption(
            f"max_concurrency is {max_concurrency}, and one process takes at most {MOST_AT_ONCE}: "
            f"{max_concurrency} want shards={math.ceil(max_concurrency / MOST_AT_ONCE)} or more"
        )
    if shards and shards > 1 and 0 < max_concurrency < shards:
        raise BadOption(
            f"shards is {shards}, and max_concurrency is {max_concurrency}, which they share: "
            "take fewer shards, or more requests at once"
        )


def auto_shards(rows: int, at_once: int, rate: float, workers: int) -> int:
    """How many shards `auto` is: one where they bring nothing.

    Args:
        rows: Rows that have something to do.
        at_once: Requests at once of the whole batch.
        rate: Requests a second that the whole batch may send; 0 is no limit. A limit is shared, so that shards bring nothing.
        workers: Workers that are there to run them.
    """
    if rate > 0:
        return 1
    return max(1, min(workers, at_once // AUTO_AT_ONCE, rows // AUTO_ROWS, MOST_SHARDS))


def runs_of(lines: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """First and last of each run of lines that follow one another."""
    found: list[tuple[int, int]] = []
    for line in sorted(lines):
        first = found.pop()[0] if found and found[-1][1] == line - 1 else line
        found.append((first, line))
    return tuple(found)


def ranges(lines: Sequence[int], number: int) -> list[tuple[int, int]]:
    """First and last line of each part of these lines, cut into parts that differ by one row at most; none is empty."""
    number = min(number, len(lines))
    cuts = [len(lines) * part // number for part in range(number + 1)] if number else []
    return [(lines[start], lines[end - 1]) for start, end in itertools.pairwise(cuts)]


def part_of(total: int, number: int, index: int) -> int:
    """Requests at once of one of so many shards that share them: 1 at least, and at most what a process takes."""
    return min(MOST_AT_ONCE, max(1, total // number + (index < total % number)))


@dataclass(frozen=True, slots=True)
class ShardRow:
    """What became of a row, as one process tells another.

    Attributes:
        line: Its line.
        outcome: Its outcome; `unprocessed` where it has none yet.
        project_id: Its project.
        attempts: Attempts made.
        seconds: How long they took.
        error_code: Slug of what is wrong.
        error: What is wrong, without passwords.
        steps: What became of its steps.
    """

    line: int
    outcome: str
    project_id: int | None
    attempts: int
    seconds: float
    error_code: str
    error: str
    steps: str


_COLUMNS = tuple(each.name for each in fields(ShardRow))


def to_columns(rows: Iterable[ShardRow]) -> dict[str, list[object]]:
    """Rows as a table by columns, which is half as long as one by rows."""
    values = list(zip(*map(astuple, rows), strict=True)) or [()] * len(_COLUMNS)
    return {name: list(column) for name, column in zip(_COLUMNS, values, strict=True)}


def from_columns(table: Mapping[str, Sequence[object]]) -> Iterator[ShardRow]:
    """The rows of such a table."""
    return (ShardRow(*values) for values in zip(*(table[name] for name in _COLUMNS), strict=True))


@dataclass(slots=True)
class Elsewhere:
    """What other processes are doing of a batch.

    Attributes:
        counts: Rows by outcome in shards that are still under way.
        requests: Requests that shards have sent.
        notes: Sentences about the batch.
    """

    counts: Counter[Outcome] = field(default_factory=Counter)
    requests: int = 0
    notes: list[str] = field(default_factory=list)
