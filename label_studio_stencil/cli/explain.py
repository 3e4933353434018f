"""`stencil explain`: what a code means and what to do about it."""

import argparse
from dataclasses import asdict

from label_studio_stencil.cli.display import Display
from label_studio_stencil.codes import CODES, SUBJECTS
from label_studio_stencil.names import nearest
from label_studio_stencil.problems import StencilError, shown
from label_studio_stencil.report.outcomes import Outcome


def explain(chosen: argparse.Namespace, display: Display) -> int:
    """Print the entry of a code, or a line for each code."""
    code = chosen.code.strip().strip("[]").lower()
    if not code:
        _list(display)
        return 0
    if code not in CODES:
        near = nearest(code, [*CODES, *Outcome], most=1)
        hint = f"Did you mean {near[0]}?" if near else "`stencil explain` lists all codes."
        if code in list(Outcome):
            hint = "This is an outcome. Its row also has a code, in brackets or in the column error_code: explain that."
        raise StencilError(f"There is no code {shown(code)!r}.", hint=hint)
    if display.machine:
        display.json(asdict(CODES[code]))
    display.say(str(CODES[code]))
    return 0


def _list(display: Display) -> None:
    if display.machine:
        display.json({"codes": [asdict(entry) for entry in CODES.values()]})
        return
    for subject, entries in SUBJECTS.items():
        display.say(f"{subject}:")
        display.table(("code", "meaning"), [(entry.code, entry.title) for entry in entries])
