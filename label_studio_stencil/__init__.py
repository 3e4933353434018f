"""Stencil creates Label Studio projects in bulk from templates: exactly one project for each row of a sheet.

    report = await create("projects.csv", template="Sentiment Analysis", workspace="Research")

What `__all__` names is public and documented in docs/api.md; everything else may change.
"""

from typing import TYPE_CHECKING, Any

from label_studio_stencil.version import __version__

if TYPE_CHECKING:
    from label_studio_stencil.api import (
        BadConnectionSetting,
        BadOption,
        BatchFailed,
        CheckReport,
        InvalidAddress,
        InvalidSheet,
        LabelStudioError,
        MissingSettings,
        Outcome,
        OutputUnwritable,
        Problem,
        Report,
        RowReport,
        SheetUnreadable,
        StencilError,
        Unauthorized,
        check,
        create,
        plan,
    )

__all__ = [
    "BadConnectionSetting",
    "BadOption",
    "BatchFailed",
    "CheckReport",
    "InvalidAddress",
    "InvalidSheet",
    "LabelStudioError",
    "MissingSettings",
    "Outcome",
    "OutputUnwritable",
    "Problem",
    "Report",
    "RowReport",
    "SheetUnreadable",
    "StencilError",
    "Unauthorized",
    "__version__",
    "check",
    "create",
    "plan",
]


def __getattr__(name: str) -> Any:
    # When it is first used: importing the package takes no time, and importing one of its modules imports no other.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from label_studio_stencil import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
