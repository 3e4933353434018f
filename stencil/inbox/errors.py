"""What keeps an inbox as a whole from being worked on."""

import re

from stencil.problems import StencilError


class InboxUnusable(StencilError):
    """The inbox can't be listed, read or written."""

    def __init__(self, inbox: str, reason: str) -> None:
        super().__init__(f"The inbox {without_password(inbox)}: {without_password(reason)}")


class InboxTaken(StencilError):
    """Another run is at this inbox."""


def without_password(text: str) -> str:
    """The text, its URLs without the user and password that they may carry."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
