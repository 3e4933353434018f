"""The wire to a Label Studio server: a typed client, its answers, and its four kinds of error."""

from stencil.labelstudio.address import keep_alive_for
from stencil.labelstudio.client import LabelStudio
from stencil.labelstudio.errors import (
    InvalidAddress,
    LabelStudioError,
    Rejected,
    Throttled,
    Unauthorized,
    Unsure,
)
from stencil.labelstudio.models import (
    LIGHT_FIELDS,
    UNKNOWN_DATE,
    Edition,
    GalleryEntry,
    Imported,
    ImportState,
    Project,
    ProjectPage,
    ProjectTemplate,
    User,
    Version,
    Workspace,
)
from stencil.labelstudio.outage import LongOutage

__all__ = [
    "LIGHT_FIELDS",
    "UNKNOWN_DATE",
    "Edition",
    "GalleryEntry",
    "ImportState",
    "Imported",
    "InvalidAddress",
    "LabelStudio",
    "LabelStudioError",
    "LongOutage",
    "Project",
    "ProjectPage",
    "ProjectTemplate",
    "Rejected",
    "Throttled",
    "Unauthorized",
    "Unsure",
    "User",
    "Version",
    "Workspace",
    "keep_alive_for",
]
