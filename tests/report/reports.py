"""Reports to test with."""

from collections.abc import Mapping
from datetime import UTC, datetime

from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import Report


def row(line: int, outcome: Outcome = Outcome.CREATED, **fields: object) -> RowReport:
    """A row whose cells are its title, unless told otherwise."""
    title = str(fields.pop("title", f"Project {line}"))
    cells = fields.pop("cells", {"title": title})
    assert isinstance(cells, Mapping)
    return RowReport(line, title, "Vision", outcome, cells=cells, **fields)  # type: ignore[arg-type]


def report(*rows: RowReport, **fields: object) -> Report:
    """A batch of these rows; the columns are those of its first row."""
    known: dict[str, object] = {
        "sheet": "projects.csv",
        "columns": tuple(rows[0].cells) if rows else ("title",),
        "label_studio": "http://localhost:8080",
        "edition": "enterprise",
        "sandbox": False,
        "batch": "deadbeef",
        "started": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "seconds": 2.0,
        "requests": 2 * len(rows),
    }
    return Report(rows=rows, **(known | fields))  # type: ignore[arg-type]
