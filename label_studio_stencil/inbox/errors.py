"""Errors of a whole inbox."""

from label_studio_stencil.problems import StencilError
from label_studio_stencil.redaction import redact


class InboxUnusable(StencilError):
    """The inbox can't be listed, read or written."""

    def __init__(self, inbox: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"The inbox {redact(inbox)}: {redact(reason)}", hint=hint)


class InboxTaken(StencilError):
    """Another run is at this inbox."""
