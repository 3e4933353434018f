"""The marker in a placeholder's description: how it is written, and how it is read.

A create is not idempotent and its answer can be lost, so each create is sent with a description that says who sent it, for
which row, and what the project was to become. Any later look, in this process or in a rerun, can tell from the project alone
that it is a placeholder and whose it is. No state is kept anywhere else.
"""

import hashlib
import json
import re
import secrets
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.models import Project

_WORDS = "Being set up by Stencil. Please leave it alone: a rerun finishes or removes it."
_TAIL = r"\[stencil ([0-9a-f]{16})-([0-9a-f]{8})-([0-9a-f]{8})-([0-9a-f]{8})\]"
_MARK = re.compile(re.escape(_WORDS) + " " + _TAIL)
_ANYWHERE = re.compile(_TAIL)


@dataclass(frozen=True, slots=True)
class Mark:
    """The marker of a placeholder, parsed.

    Attributes:
        key: 16 hex digits for the project's workspace and title.
        intent: 8 hex digits for its template, overrides and final description.
        batch: 8 hex digits, random for each start of a batch.
        send: 8 hex digits, new for every create that is sent, re-sends included.
    """

    key: str
    intent: str
    batch: str
    send: str

    def __str__(self) -> str:
        """The marker as a description: one ASCII line that people understand."""
        return f"{_WORDS} [stencil {self.key}-{self.intent}-{self.batch}-{self.send}]"


class Standing(Enum):
    """The state of a project, as its description shows it."""

    COMPLETE = "finished"
    MARKED = "marked"
    TOUCHED = "touched"


def read_mark(description: str) -> Mark | None:
    """The marker, if the whole description is one, or `None`."""
    match = _MARK.fullmatch(description.strip())
    return Mark(*match.groups()) if match else None


def resembles_mark(description: str) -> bool:
    """Whether a description starts like a marker, and so can't be a project's final description."""
    return description.strip().startswith(_WORDS)


def standing(project: Project) -> Standing:
    """Whether the project is complete, a placeholder, or a placeholder that somebody has changed, filled or archived.

    A marker of another key counts as plain text: the project was renamed or moved, and belongs to no batch any more.
    """
    key = key_of(project.workspace, project.title)
    mark = read_mark(project.description)
    if mark is not None and mark.key == key:
        return Standing.TOUCHED if project.tasks or project.archived else Standing.MARKED
    claimed = any(match[1] == key for match in _ANYWHERE.finditer(project.description))
    return Standing.TOUCHED if claimed else Standing.COMPLETE


def normal_title(title: str) -> str:
    """The title as the server compares it: NFC, without surrounding blanks."""
    return unicodedata.normalize("NFC", title).strip()


def key_of(workspace: int | None, title: str) -> str:
    """16 hex digits for workspace and title. The address of Label Studio is no part, since one server may have several."""
    text = f"{workspace if workspace is not None else ''}\n{normal_title(title)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def intent_of(template: str, fields: Mapping[str, JSON], description: str) -> str:
    """8 hex digits for the project that is to be made.

    Args:
        template: The template's identity and version.
        fields: Settings that are written on top of it.
        description: The final description.
    """
    canonical = json.dumps([template, fields, description], sort_keys=True, separators=(",", ":"))
    # Rows that are alike share the text.
    return sys.intern(hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:8])


def new_id() -> str:
    """8 random hex digits that name a batch or a send."""
    return secrets.token_hex(4)
