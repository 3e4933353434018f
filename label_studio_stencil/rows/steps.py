"""The steps that a row asks for, as its cells say them."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from label_studio_stencil.files import NOBODY, Asker
from label_studio_stencil.json_value import JSON
from label_studio_stencil.problems import shown
from label_studio_stencil.rows.predictions import NOTHING, Labelled

#: Largest file of tasks, in bytes: what Label Studio's documentation allows.
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
    """A cell asks for a step that is not possible; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A person who is to be a member of a project.

    Attributes:
        email: As Label Studio knows it, in lower case.
        role: The vendor's code of a role in the project; empty leaves the person's own.
    """

    email: str
    role: str = ""


@dataclass(frozen=True, slots=True)
class TaskFile:
    """Tasks that are to be imported.

    Attributes:
        where: Path or URL.
        count: How many there are.
        digest: Of the content, 16 hex digits.
        asker: What the row that names it may open.
        keys: What the data of all tasks have.
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
    """What a row asks for beyond settings.

    Attributes:
        members: Who is to be a member.
        tasks: What is to be imported.
        publish: Whether the project is to be published, once the rest is done.
        pin: Whether it is to be pinned, at the top of everybody's list.
    """

    members: tuple[Member, ...] = ()
    tasks: TaskFile | None = None
    publish: bool = False
    pin: bool = False

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.members or self.tasks or self.publish or self.pin)

    @property
    def identity(self) -> list[JSON]:
        """What they come to, for the intent of a row; which tasks, the project's line says, so that a file may be mended."""
        people: list[JSON] = [f"{member.email}:{member.role}" for member in self.members]
        return [people, self.tasks is not None, self.publish, self.pin]


def members_in(cell: str) -> tuple[Member, ...]:
    """The members that a cell names: `a@example.com; b@example.com: reviewer`.

    Raises:
        BadStep: One of them is no e-mail address, or has a role that there is not.
    """
    found: dict[str, Member] = {}
    for part in re.split(r"[;,\n]", cell):
        address, _, role = (piece.strip() for piece in part.partition(":"))
        if not address and not role:
            continue
        if not _EMAIL.fullmatch(address):
            raise BadStep(f"{shown(address)!r} is no e-mail address; write a@example.com, or a@example.com: reviewer")
        code = role.upper() if role.upper() in _CODES else ROLES.get(role.lower(), "")
        if role and not code:
            raise BadStep(
                f"{shown(role)!r} is no role; there are {', '.join(name for name in ROLES if name != 'admin')}"
            )
        found[address.lower()] = Member(address.lower(), code)
    return tuple(found.values())


def tasks_in(content: bytes, name: str) -> list[JSON]:
    """The tasks of a file of JSON: a list, one object, or objects line by line.

    Raises:
        BadStep: It holds no tasks, or something else.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadStep(f"{name} is not UTF-8 text") from None
    try:
        found = _listed(text)
    except json.JSONDecodeError as error:
        raise BadStep(
            f"{name} can't be read as tasks: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        # Their words may quote a number, and name nothing that helps.
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
    """16 hex digits of a file's content."""
    return hashlib.sha256(content).hexdigest()[:16]
