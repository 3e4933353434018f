"""Tasks for flows of your own; docs/prefect-tasks.md shows two such flows.

| task | what it does |
|---|---|
| `create_project` | creates one project from plain arguments, and returns its `RowReport`; all that most flows need |
| `load_sheet` | reads a sheet and checks its rows |
| `plan_batch` | decides what every row is going to do |
| `create_group` | creates the projects of a group of rows (`batch.groups()`) |
| `sweep` | checks once more the rows to which anything unusual happened |
| `carry_out_steps` | does what rows ask for beyond settings: members, tasks, publication, pins |
| `save_results` | writes `results.csv` and `failed.csv` |
| `publish_report` | shows the summary and the rows as artifacts |
"""

from label_studio_stencil.prefect import (
    carry_out_steps,
    create_group,
    create_project,
    load_sheet,
    plan_batch,
    publish_report,
    save_results,
    sweep,
)

__all__ = [
    "carry_out_steps",
    "create_group",
    "create_project",
    "load_sheet",
    "plan_batch",
    "publish_report",
    "save_results",
    "sweep",
]
