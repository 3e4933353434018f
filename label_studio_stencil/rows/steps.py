"""Parses the cells that ask for steps: members, tasks, publish, pin."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from label_studio_stencil.files import NOBODY, Asker
from label_studio_stencil.json_value import JSON
from label_studio_stencil.problems import shown
from label_studio_stencil.rows.predictions import NOTHING, Labelled
from label_studio_stencil.sheet.encodings import text_of

#: Largest file of tasks in bytes, by Label Studio's documentation.
MOST_IN_TASK_FILE = 200_000_000

#: Roles in a project, by the vendor's code and by name.
ROLES = {
    "owner": "OW",
    "administrator": "AD",
    "admin": "AD",
    "manager": "MA",
    "reviewer": "RE",
    "annotator": "AN",
}
_CODES = frozenset({"OW", "AD", "MA", "RE", "AN", "DI", "NO"})
_EMAIL = re.compile(r"[^@\s:;,]+@[^@\s:;,]+")


class BadStep(ValueError):
    """A cell asks for a step that is not possible; the text says why.

    Attributes:
        hint: What to do about it: a sentence; empty where the text says it.
    """

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a project.

    Attributes:
        email: E-mail address in Label Studio, in lower case.
        role: The vendor's code of a role in the project; empty keeps the person's own role.
    """

    email: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A file of tasks to import.

    Attributes:
        where: Path or URL.
        count: Number of tasks.
        digest: 16 hex digits for the content.
        asker: What the row that names it may open.
        keys: Fields that the data of all tasks have.
        labelled: Predictions and annotations within them.
    """

    where: str
    count: int
    digest: str
    asker: Asker = NOBODY
    keys: frozenset[str] = frozenset()
    labelled: Labelled = NOTHING


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a row.

    Attributes:
        members: Members to add.
        tasks: Tasks to import.
        publish: Whether to publish the project after the other steps.
        pin: Whether to pin the project to the top of everybody's list.
    """

    members: tuple[Member, ...] = ()
    tasks: TaskFile | None = None
    publish: bool = False
    pin: bool = False

    def __bool__(self) -> bool:
        """Whether the row has any step."""
        return bool(self.members or self.tasks or self.publish or self.pin)

    @property
    def identity(self) -> list[JSON]:
        """Their part in the intent of a row. The digest of the tasks is not in it, so that a file may be corrected."""
        people: list[JSON] = [f"{member.email}:{member.role}" for member in self.members]
        return [people, self.tasks is not None, self.publish, self.pin]


def members_in(cell: str) -> tuple[Member, ...]:
    """The members that a cell names: `a@example.com; b@example.com: reviewer`.

    Raises:
        BadStep: One of them is not an e-mail address, or has an unknown role.
    """
    found: dict[str, Member] = {}
    for part in re.split(r"[;,\n]", cell):
        address, _, role = (piece.strip() for piece in part.partition(":"))
        if not address and not role:
            continue
        if not _EMAIL.fullmatch(address):
            raise BadStep(
                f"{shown(address)!r} is not an e-mail address", hint="Write a@example.com, or a@example.com: reviewer."
            )
        code = role.upper() if role.upper() in _CODES else ROLES.get(role.lower(), "")
        if role and not code:
            raise BadStep(
                f"{shown(role)!r} is not a role; the roles are {', '.join(name for name in ROLES if name != 'admin')}"
            )
        found[address.lower()] = Member(address.lower(), code)
    return tuple(found.values())


def tasks_in(content: bytes, name: str) -> list[JSON]:
    """The tasks of a JSON file: a list, one object, or an object on each line.

    Raises:
        BadStep: The file holds no tasks, or something else.
    """
    try:
        text = text_of(content)
    except UnicodeDecodeError:
        raise BadStep(f"{name} is not UTF-8 text") from None
    try:
        found = _listed(text)
    except json.JSONDecodeError as error:
        raise BadStep(
            f"{name} can't be read as tasks: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        # The parser's message may quote a number, and doesn't help.
        raise BadStep(f"{name} can't be read as tasks: {type(error).__name__}") from None
    if not found:
        raise BadStep(f"{name} holds no tasks")
    for number, task in enumerate(found, start=1):
        if not isinstance(task, Mapping) or not task:
            raise BadStep(f"{name}: task {number} is not an object with data")
    return found


def _listed(text: str) -> list[JSON]:
    try:
        found: JSON = json.loads(text)
    except ValueError:
        if text.lstrip()[:1] != "{":
            raise
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def content_digest(content: bytes) -> str:
    """16 hex digits for the content of a file."""
    return hashlib.sha256(content).hexdigest()[:16]
