"""Shows what an update would change, field by field."""

import json
from itertools import takewhile

from label_studio_stencil.json_value import JSON
from label_studio_stencil.plans.pending import pending_of
from label_studio_stencil.plans.plan import Action, Planned
from label_studio_stencil.redaction import FromFile, redact
from label_studio_stencil.report.masking import masked_cell
from label_studio_stencil.report.outcomes import Change

#: Characters of a value that are shown; an interface has thousands.
SHOWN_LENGTH = 60
#: Characters before the first difference that are shown of a long value.
_BEFORE = 15


def changes_of(planned: Planned) -> tuple[Change, ...]:
    """The fields that an update would change, with old and new value; none if the row is not an update.

    Passwords are masked, and texts from files that cells name are shown by their length only.
    """
    if planned.action is not Action.UPDATE:
        return ()
    project, key = planned.projects[0], planned.target.key
    found = []
    for name, new in planned.changes.items():
        old = project.description if name == "description" else project.settings.get(name)
        if name == "description":
            # Without the line about steps, which is gone at the end.
            old, new = _without_line(old, key), _without_line(new, key)
            if old == new:
                continue
        if isinstance(new, FromFile):
            found.append(Change(name, _cut(_text(name, old)), f"the text of the file ({len(new):,} characters)"))
        else:
            found.append(Change(name, *_compared(_text(name, old), _text(name, new))))
    tasks = planned.target.request.steps.tasks
    if tasks is not None and not project.tasks:
        found.append(Change("tasks", "0", str(tasks.count)))
    return tuple(found)


def _without_line(description: JSON, key: str) -> JSON:
    pending = pending_of(str(description), key)
    return pending.description if pending else description


def _text(name: str, value: JSON) -> str:
    value = masked_cell(name, value)  # type: ignore[assignment] # of JSON comes JSON
    if value in ("", None):
        return "(empty)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return redact(" ".join(text.split()))


def _compared(old: str, new: str) -> tuple[str, str]:
    """Both texts; long ones from where they differ."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False)))
    start = max(0, same - _BEFORE)
    return _cut(old, start), _cut(new, start)


def _cut(text: str, start: int = 0) -> str:
    if len(text) <= SHOWN_LENGTH:
        return text
    part = text[start : start + SHOWN_LENGTH]
    before, after = "…" if start else "", "…" if start + SHOWN_LENGTH < len(text) else ""
    return f"{before}{part}{after} ({len(text):,} characters)"
