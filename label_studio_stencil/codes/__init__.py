"""The catalogue of codes: problems with a sheet, rows that need attention, and projects that a removal keeps.

`stencil explain CODE` shows an entry; `scripts/reference.py` writes them to `docs/reference/codes.md`. To add a code, add its
entry to one of these tuples; `tests/test_codes.py` fails for a code without an entry, and for an entry that nothing raises.
"""

from label_studio_stencil.codes.model import Code
from label_studio_stencil.codes.outcomes import OUTCOMES, REMOVAL
from label_studio_stencil.codes.rows import STEPS, TEMPLATES, TITLES
from label_studio_stencil.codes.settings import SETTINGS
from label_studio_stencil.codes.sheets import SHEETS

#: The entries by their subject, in the order of the reference page.
SUBJECTS: dict[str, tuple[Code, ...]] = {
    "Reading the sheet": SHEETS,
    "Titles": TITLES,
    "Templates, workspaces and variables": TEMPLATES,
    "Steps and files": STEPS,
    "Settings": SETTINGS,
    "Rows that need attention": OUTCOMES,
    "Projects that a removal keeps": REMOVAL,
}

CODES: dict[str, Code] = {entry.code: entry for entries in SUBJECTS.values() for entry in entries}

__all__ = ["CODES", "SUBJECTS", "Code"]
