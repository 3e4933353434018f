"""The marker in a placeholder's description: how it is written, and how it is read.

A create is not idempotent and its answer can be lost, so each create is sent with a description that says who sent it, for
which row, and what it was meant to become. Whoever finds the project later, in this process or in a rerun, knows from the
project alone that it is a placeholder and whose it is; no state is kept anywhere else.
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
    """What the description of a placeholder says.

    Attributes:
        key: 16 hex digits: which (workspace, title) the project stands for.
        intent: 8 hex digits: what it is to become (template, overrides, final description).
        batch: 8 hex digits, random for each start of a batch.
        send: 8 hex digits, new for every create that is sent, re-sends included.
    """

    key: str
    intent: str
    batch: str
    send: str

    def __str__(self) -> str:
        """The description as it is sent: one ASCII line that a person understands."""
        return f"{_WORDS} [stencil {self.key}-{self.intent}-{self.batch}-{self.send}]"


class Standing(Enum):
    """What a project is to the key of its present workspace and title."""

    COMPLETE = "finished"
    MARKED = "marked"
    TOUCHED = "touched"


def read_mark(description: str) -> Mark | None:
    """The mark that is the whole description, or `None`."""
    match = _MARK.fullmatch(description.strip())
    return Mark(*match.groups()) if match else None


def resembles_mark(description: str) -> bool:
    """Whether a description starts as a mark does, and so must not be a project's final one."""
    return description.strip().startswith(_WORDS)


def standing(project: Project) -> Standing:
    """Whether the project is finished, half made, or half made and changed, filled or archived by somebody since.

    The mark of another key (a project that was renamed or moved since) is plain text: the project is nobody's any more.
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
    """16 hex digits for (workspace, title); no Label Studio in it, since one Label Studio has many names."""
    text = f"{workspace if workspace is not None else ''}\n{normal_title(title)}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def intent_of(template: str, fields: Mapping[str, JSON], description: str) -> str:
    """8 hex digits for what a project is to become.

    Args:
        template: The template's identity and version.
        fields: Settings that are written on top of it.
        description: The final description.
    """
    canonical = json.dumps([template, fields, description], sort_keys=True, separators=(",", ":"))
    # One text for all rows that are alike.
    return sys.intern(hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:8])


def new_id() -> str:
    """8 random hex digits that name a batch or a send."""
    return secrets.token_hex(4)
