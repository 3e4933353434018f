"""Tasks for flows of your own."""

from label_studio_stencil.prefect.tasks import (
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
