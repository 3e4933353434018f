"""Tasks for flows of your own."""

from label_studio_stencil.prefect.report import publish_report, save_results
from label_studio_stencil.prefect.sheet import load_sheet
from label_studio_stencil.prefect.tasks import carry_out_steps, plan_batch, provision_group, sweep

__all__ = ["carry_out_steps", "load_sheet", "plan_batch", "provision_group", "publish_report", "save_results", "sweep"]
