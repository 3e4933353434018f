"""What a batch of any size costs: a model whose structure is known and whose coefficients are measured.

A row costs a create, a PATCH and its part of a look. Task runs are bounded, since rows are grouped; project events and the rows
of the table artifact end at a size too. So every quantity is a sum of few terms, each a coefficient times one of `drivers`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_stencil.policy import LEAST_GROUPED, MOST_GROUPS
from label_studio_stencil.prefect.artifacts import MOST_ROWS
from label_studio_stencil.prefect.events import MOST_PROJECT_EVENTS

#: Task runs of a batch with `--output` that are none of its rows': read, plan, sweep, write, report. A sheet in parts is read
#: once more; and a part has two in the run that waits for it, its task and Prefect's stand-in for the subflow, beside its own.
FRAME, PARENT_FRAME, PART_FRAME = 5, 1, 7

#: On which drivers a quantity depends. Those that are not named are rows of a table of Prefect's database.
TERMS: Mapping[str, tuple[str, ...]] = {
    "requests": ("batch", "rows"),
    "seconds": ("batch", "rows"),
    "event bytes": ("task runs", "project events", "listed rows", "seconds"),
    "kept bytes": ("batch", "task runs", "listed rows"),
    "database bytes": ("task runs", "project events", "listed rows", "seconds"),
    "results bytes": ("batch", "rows"),
    "memory": ("batch", "rows", "project events"),
    "processor": ("batch", "rows", "task runs", "project events"),
    "server processor": ("batch", "rows", "task runs", "project events"),
}
_OF_TABLES = ("batch", "task runs", "project events", "seconds")

#: Smallest coefficient: a millionth of anything at a million rows is nothing.
_LEAST = 1e-9


def groups(rows: int) -> int:
    """Task runs that a batch has for its rows, as `stencil.batch` cuts them."""
    if rows <= MOST_GROUPS:
        return rows
    return math.ceil(rows / max(LEAST_GROUPED, math.ceil(rows / MOST_GROUPS)))


def drivers(rows: int, *, project_events: bool = True, seconds: float = 0.0) -> dict[str, float]:
    """What the size of a batch, and how long it takes, amount to in the units that its costs depend on."""
    return {
        "batch": 1,
        "rows": rows,
        "task runs": groups(rows) + FRAME,
        "project events": rows if project_events and rows <= MOST_PROJECT_EVENTS else 0,
        "listed rows": min(rows, MOST_ROWS),
        "seconds": seconds,
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """What one batch cost.

    Attributes:
        database: Kind of the database of Prefect's server.
        rows: Of the sheet; all were created.
        project_events: Whether each project was an event, where there are any.
        requests: That the sandbox got, by kind.
        added: Rows that came to Prefect's database, by table.
        sizes: Bytes that came to it, by table.
        quantities: Bytes of the database and of `results.csv`, MB of memory at most, seconds of processor time.
        seconds: From the first request to the last answer.
        connections: To the database at most.
    """

    database: str
    rows: int
    project_events: bool
    requests: Mapping[str, int]
    added: Mapping[str, int]
    sizes: Mapping[str, int]
    quantities: Mapping[str, float]
    seconds: float
    connections: int

    @property
    def drivers(self) -> dict[str, float]:
        """Its size, in the units of the model."""
        return drivers(self.rows, project_events=self.project_events, seconds=self.seconds)

    def value(self, quantity: str) -> float:
        """One of its costs."""
        if quantity == "requests":
            return sum(self.requests.values())
        if quantity == "seconds":
            return self.seconds
        if quantity == "database rows":
            return sum(self.added.values())
        return float(self.added[quantity] if quantity in self.added else self.quantities[quantity])


@dataclass(frozen=True, slots=True)
class Model:
    """Coefficients, by quantity and driver."""

    coefficients: Mapping[str, Mapping[str, float]]

    @classmethod
    def fitted(cls, runs: Sequence[Measured]) -> "Model":
        """The model that is nearest to some runs, in shares of what each came to: small batches count as much as large ones."""
        tables = sorted({table for run in runs for table in run.added})
        names = [*TERMS, *tables]
        return cls({name: _nearest(runs, name, TERMS.get(name, _OF_TABLES)) for name in names})

    def predicted(self, quantity: str, known: Mapping[str, float]) -> float:
        """What a batch of some drivers costs."""
        if quantity == "database rows":
            return sum(self.predicted(name, known) for name in self.coefficients if name not in TERMS)
        return sum(value * known[driver] for driver, value in self.coefficients[quantity].items())

    def error(self, quantity: str, run: Measured) -> float:
        """By which share of the truth the model is off."""
        truth = run.value(quantity)
        return (self.predicted(quantity, run.drivers) - truth) / truth if truth else 0.0


def _nearest(runs: Sequence[Measured], quantity: str, terms: Iterable[str]) -> dict[str, float]:
    """Least squares, with no negative coefficient: nothing gets cheaper by growing."""
    left = list(terms)
    values = np.array([run.value(quantity) for run in runs])
    weights = 1 / np.maximum(values, 1.0)
    while left:
        matrix = np.array([[run.drivers[term] for term in left] for run in runs])
        found, *_ = np.linalg.lstsq(matrix * weights[:, None], values * weights, rcond=None)
        worst = int(np.argmin(found))
        if found[worst] >= 0:
            # What is left of rounding is nothing.
            return {term: float(value) for term, value in zip(left, found, strict=True) if value > _LEAST}
        del left[worst]
    return {}


@dataclass(frozen=True, slots=True)
class Instance:
    """How fast a Label Studio answers, and how it is asked.

    Attributes:
        name: What people call it.
        rate: Requests a second that it takes from a user, whoever sends them; 0 is no limit.
        latency: Seconds from a request to its answer.
        at_once: Requests under way in one process.
        parts: Processes, each with so many requests under way.
    """

    name: str
    rate: float = 0.0
    latency: float = 0.0
    at_once: int = 16
    parts: int = 1

    def requests_per_second(self, processor: float) -> float:
        """Requests that leave each second.

        Args:
            processor: Seconds of processor time that a process takes for a request.
        """
        # While one request is worked on, the others of the process are on their way.
        each = min(1 / processor, self.at_once / (self.latency + processor))
        return min(self.rate or math.inf, each * self.parts)


#: Seconds before the first create: the imports of the command, and the plan.
START = 2.5
#: Seconds of machine time to start a flow run by a worker (measured on Prefect 3.8.8), and to read a row of the sheet.
PART_START, READ_ROW = 2.7, 32e-6
#: Seconds until a worker has taken up a part, and until the run that waits for it has seen its end.
PART_WAIT = 5.0


def seconds(model: Model, rows: int, label_studio: Instance) -> float:
    """How long a batch takes, from the command to its report.

    Args:
        model: Its costs.
        rows: Of the sheet.
        label_studio: Label Studio; its parts have a machine of their own each.
    """
    known = drivers(rows)
    costs = model.coefficients
    processor = costs["processor"]["rows"] / costs["requests"]["rows"]
    requests = model.predicted("requests", known)
    # Each reads the sheet, and knows what exists by a page at least.
    in_parts = PART_WAIT + PART_START + READ_ROW * rows if label_studio.parts > 1 else 0.0
    return START + READ_ROW * rows + in_parts + requests / label_studio.requests_per_second(processor)


def as_measured(model: Model, rows: int) -> dict[str, float]:
    """The drivers of a batch that is as fast as those that were measured."""
    return drivers(rows, seconds=model.predicted("seconds", drivers(rows)))


def survey(rows: int, projects: int) -> int:
    """Requests that it takes to learn what exists, for rows with plain titles: the list by pages of 100, or title by title."""
    pages = max(1, math.ceil(projects / 100))
    return pages if pages - 1 <= rows else 1 + rows


def part_task_runs(rows: int, parts: int) -> int:
    """Task runs of a sheet in parts: each part has its own groups."""
    return PARENT_FRAME + parts * (groups(math.ceil(rows / parts)) + PART_FRAME)
