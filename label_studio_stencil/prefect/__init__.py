"""Stencil on Prefect: flows to serve, deploy or call, tasks for flows of your own, and a block for credentials.

    from label_studio_stencil.prefect import create_projects

    create_projects.serve(name="nightly", cron="0 2 * * *", parameters={"sheet": "https://example.com/projects.csv"})

This is the only part of the library that imports Prefect. Prefect itself imports the package at each start, for the block, so
everything else is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from label_studio_stencil.options import Options as Options
    from label_studio_stencil.prefect.credentials import LabelStudioCredentials as LabelStudioCredentials
    from label_studio_stencil.prefect.flows import create_projects as create_projects
    from label_studio_stencil.prefect.inbox import watch_inbox as watch_inbox
    from label_studio_stencil.prefect.instance import open_instance as open_instance
    from label_studio_stencil.prefect.parts import create_in_parts as create_in_parts
    from label_studio_stencil.prefect.sheet_ready import on_event as on_event
    from label_studio_stencil.prefect.tasks import RowsNeedAttention as RowsNeedAttention
    from label_studio_stencil.prefect.tasks import carry_out_steps as carry_out_steps
    from label_studio_stencil.prefect.tasks import create_group as create_group
    from label_studio_stencil.prefect.tasks import create_project as create_project
    from label_studio_stencil.prefect.tasks import load_sheet as load_sheet
    from label_studio_stencil.prefect.tasks import plan_batch as plan_batch
    from label_studio_stencil.prefect.tasks import publish_report as publish_report
    from label_studio_stencil.prefect.tasks import save_results as save_results
    from label_studio_stencil.prefect.tasks import sweep as sweep

_MODULES = {
    "..options": ("Options",),
    ".credentials": ("LabelStudioCredentials",),
    ".flows": ("create_projects",),
    ".inbox": ("watch_inbox",),
    ".instance": ("open_instance",),
    ".parts": ("create_in_parts",),
    ".sheet_ready": ("on_event",),
    ".tasks": (
        "RowsNeedAttention",
        "carry_out_steps",
        "create_group",
        "create_project",
        "load_sheet",
        "plan_batch",
        "publish_report",
        "save_results",
        "sweep",
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "LabelStudioCredentials",
    "Options",
    "RowsNeedAttention",
    "carry_out_steps",
    "create_group",
    "create_in_parts",
    "create_project",
    "create_projects",
    "load_sheet",
    "on_event",
    "open_instance",
    "plan_batch",
    "publish_report",
    "save_results",
    "sweep",
    "watch_inbox",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    return __all__
