"""The model of what a batch costs (`bench.model`): its structure is the house's own, and its coefficients are found again."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.model import Instance, Measured, Model, drivers, groups, seconds, survey
from label_studio_stencil.batch import Batch

SMALL = (100, 300, 1_000, 3_000)
TRUE = {"rows": 2.03, "batch": 5.0}


def run(rows: int, *, project_events: bool = True) -> Measured:
    """A batch that costs exactly what the model has terms for."""
    known = drivers(rows, project_events=project_events)
    quantities = dict.fromkeys(("results bytes", "memory"), 100 + 0.5 * rows)
    quantities |= dict.fromkeys(("processor", "server processor", "database bytes"), 1 + 0.004 * rows)
    quantities |= {"event bytes": 900 * known["task runs"], "kept bytes": 900 * known["task runs"]}
    return Measured(
        database="SQLite",
        rows=rows,
        project_events=project_events,
        requests={"all": round(sum(value * known[driver] for driver, value in TRUE.items()))},
        added={"task_run": int(known["task runs"]), "events": int(3 * known["task runs"] + known["project events"])},
        sizes={},
        quantities=quantities,
        seconds=1.0,
        connections=0,
    )


def foreseeing() -> Model:
    """The model of small batches, of which one has no project events."""
    return Model.fitted([*(run(rows) for rows in SMALL), run(1_000, project_events=False)])


@pytest.mark.parametrize("rows", [0, 1, 100, 101, 149, 4_999, 5_000, 5_001, 12_345, 100_000])
def test_rows_are_grouped_as_a_batch_groups_them(rows: int) -> None:
    request = SimpleNamespace(title="a title", line=2)
    ticket = SimpleNamespace(done=False, target=SimpleNamespace(request=request))
    batch = SimpleNamespace(engine=SimpleNamespace(tickets=[ticket] * rows))

    assert groups(rows) == len(Batch.groups(batch))  # type: ignore[arg-type]


def test_coefficients_of_small_batches_foretell_a_large_one() -> None:
    model = foreseeing()

    for quantity in ("requests", "task_run", "events", "memory", "processor"):
        assert abs(model.error(quantity, run(100_000))) < 0.001


def test_nothing_gets_cheaper_by_growing() -> None:
    small, large = run(100), run(1_000)
    runs = [
        replace(small, quantities={**small.quantities, "memory": 120}),
        replace(large, quantities={**large.quantities, "memory": 110}),
    ]

    model = Model.fitted(runs)

    assert (
        model.predicted("memory", drivers(100))
        == model.predicted("memory", drivers(1_000_000))
        == pytest.approx(115, abs=1)
    )


def test_parts_bring_nothing_where_the_rate_is_limited() -> None:
    model = foreseeing()

    alone, four = (seconds(model, 10_000, Instance("limited", rate=15, parts=parts)) for parts in (1, 4))
    assert alone < four < 1.02 * alone


def test_parts_divide_the_time_where_one_process_is_the_limit() -> None:
    model = foreseeing()

    alone, four = (seconds(model, 1_000_000, Instance("fast", at_once=64, parts=parts)) for parts in (1, 4))
    assert 3.5 < alone / four < 4


@pytest.mark.parametrize(
    ("rows", "projects", "requests"),
    [
        pytest.param(100, 0, 1, id="an empty Label Studio is a page"),
        pytest.param(1_000, 950, 10, id="a short list is read"),
        pytest.param(100, 100_000, 101, id="few titles are looked up in a long one"),
    ],
)
def test_what_exists_is_learnt_by_pages_or_titles_whichever_is_fewer(rows: int, projects: int, requests: int) -> None:
    assert survey(rows, projects) == requests
