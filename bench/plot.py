"""The picture of `docs/sizing.md`: what a batch amounts to, and how long it takes, by rows.

Needs matplotlib (the extra `bench`), which nothing else does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from bench.model import Instance, Measured, Model, as_measured, seconds

#: Quantities and their names; what is drawn as a line is the model, and dots are what was measured.
COUNTS = (
    ("requests", "requests to Label Studio"),
    ("database rows", "rows in Prefect's database"),
    ("events", "of them events"),
    ("task_run", "of them task runs"),
)
LABEL_STUDIOS = (
    Instance("Community, one at a time", latency=0.042, at_once=1),
    Instance("15 requests a second, one process or many", rate=15),
    Instance("50 ms, 4 at once", latency=0.05, at_once=4),
    Instance("50 ms, 16 at once", latency=0.05, at_once=16),
    Instance("no wait, one process", at_once=64),
    Instance("no wait, 4 parts on 4 machines", at_once=64, parts=4),
)
MARKS = ((60, "a minute"), (3_600, "an hour"), (86_400, "a day"))
COLOURS = ("#1F6FEB", "#C2410C", "#15803D", "#7C3AED", "#374151", "#DB2777")
LEAST, MOST = 10, 1_000_000


def draw(path: Path, model: Model, runs: Sequence[Measured]) -> None:
    """Write the picture, as SVG: the same bytes for the same numbers."""
    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.fonttype": "none", "svg.hashsalt": "stencil", "font.family": "sans-serif", "font.size": 9}
    )
    from matplotlib import pyplot

    figure, (counts, times) = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    rows = np.unique(np.geomspace(LEAST, MOST, 400).astype(int))
    for axes in (counts, times):
        axes.set(xscale="log", yscale="log", xlim=(LEAST, MOST), xlabel="rows")
    _draw_counts(counts, rows, model, runs)
    _draw_times(times, rows, model)
    for axes in (counts, times):
        axes.grid(visible=True, color="#E5E7EB", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(frameon=False, fontsize=8, loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _draw_counts(axes: Any, rows: "np.ndarray[Any, Any]", model: Model, runs: Sequence[Measured]) -> None:
    seen = [run for run in runs if run.project_events and run.database == runs[0].database]
    for (quantity, name), colour in zip(COUNTS, COLOURS, strict=False):
        modelled = [model.predicted(quantity, as_measured(model, int(each))) for each in rows]
        axes.plot(rows, modelled, color=colour, linewidth=1.6, label=name)
        axes.plot([run.rows for run in seen], [run.value(quantity) for run in seen], "o", color=colour, markersize=4)
    axes.set_title("What a batch amounts to (dots: measured)", loc="left", fontsize=10)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _draw_times(axes: Any, rows: "np.ndarray[Any, Any]", model: Model) -> None:
    for label_studio, colour in zip(LABEL_STUDIOS, COLOURS, strict=True):
        dashed = "--" if label_studio.parts > 1 else "-"
        taken = [seconds(model, int(each), label_studio) for each in rows]
        axes.plot(rows, taken, dashed, color=colour, linewidth=1.6, label=label_studio.name)
    axes.set_title("How long it takes (modelled)", loc="left", fontsize=10)
    axes.set_yticks([value for value, _ in MARKS], [name for _, name in MARKS])
    axes.minorticks_off()
