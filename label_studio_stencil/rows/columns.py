"""The meanings of a sheet's columns, and problems with them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.rows.fields import FIELDS, READ_ONLY_FIELDS
from label_studio_stencil.rows.payload import CARRIED, IF_KNOWN_THERE, meant
from label_studio_stencil.sheet.limits import MOST_IN_NAME

#: The row's own columns; all others set fields or are carried through.
OWN_COLUMNS = ("title", "workspace", "template", "overrides", "vars", "members", "tasks", "publish", "pin")

#: Prefix of columns that set a variable of the template.
VARIABLE = "var."

#: Characters that no name and no title may have: controls, line separators, and halves of surrogate pairs.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: Columns that a report adds; a sheet that has them is most likely a results.csv.
_REPORT_COLUMNS = frozenset(
    {"line", "outcome", "project_id", "project_url", "attempts", "seconds", "error_code", "error", "steps"}
)


#: Names that pandas and R give to a column of row numbers.
_INDEX = re.compile(r"Unnamed: \d+|\.\.\.\d+|level_\d+|index")


@dataclass
class Columns:
    """The columns of a sheet by their meaning, with names as the sheet writes them.

    Attributes:
        own: Column by the row's own field: `title`, `workspace`, `template`, `overrides`, ...
        fields: Column by project setting.
        variables: Column by variable.
        problems: Problems with the columns; if there are any, no row is used.
        elsewhere: Whether rows may get their titles from a pattern or from their template.
    """

    own: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    elsewhere: bool = False

    @property
    def known(self) -> bool:
        """Whether any column has a meaning, so that this is a sheet."""
        return bool(self.own or self.fields or self.variables)


def columns_of(
    names: Iterable[str], *, line: int | None, allow_unknown: bool, titles_elsewhere: bool = False
) -> Columns:
    """Find the meaning of columns. Case, spaces and hyphens in their names don't matter.

    Args:
        names: As the sheet writes them.
        line: Line of the header, for the problems.
        allow_unknown: Whether a column with an unknown name sets a field of that name.
        titles_elsewhere: Whether rows may get their titles from a pattern or their template.
    """
    found = Columns(elsewhere=titles_elsewhere)
    seen: dict[str, str] = {}
    for name in names:
        meaning = _meaning(name)
        if meaning in seen:
            same = "appears twice" if seen[meaning] == name else f"means the same as {shown(seen[meaning])!r}"
            message = f"the column {same}."
            found.problems.append(
                Problem("duplicate-column", message, line=line, column=shown(name), hint="Keep one of them.")
            )
            continue
        seen[meaning] = name
        if meaning in OWN_COLUMNS:
            found.own[meaning] = name
        elif meaning in FIELDS:
            found.fields[meaning] = name
        elif meaning.startswith(VARIABLE):
            found.variables[meaning.removeprefix(VARIABLE)] = name
        elif not meaning.startswith("_"):
            _place_stranger(found, name, meaning, line, allow_unknown)
    return found


def _meaning(name: str) -> str:
    """The normalised name of a column; a column that is carried through keeps its name."""
    name = name.strip()
    if name.startswith("_"):
        return name
    if name.casefold().startswith(VARIABLE):
        return VARIABLE + name[len(VARIABLE) :].strip()
    known = re.sub(r"[\s\-_]+", "_", name.casefold())
    return known if known in OWN_COLUMNS or known in FIELDS or known in READ_ONLY_FIELDS else name


def _place_stranger(found: Columns, name: str, meaning: str, line: int | None, allow_unknown: bool) -> None:
    code = "unknown-column"
    if not name or _INDEX.fullmatch(name):
        message, hint = "the column has no name.", _OF_A_FRAME
    elif len(name) > MOST_IN_NAME or CONTROL.search(" ".join(name.split())):
        message, hint = "the name is too long, or holds a control character.", "Rename the column."
    elif meaning in READ_ONLY_FIELDS:
        code = "read-only-field"
        message, hint = "Label Studio computes this field, so it can't be set.", "Remove the column."
    elif name.casefold() in _REPORT_COLUMNS:
        message, hint = "this is a column of a report.", "Run failed.csv instead, or remove the column."
    elif allow_unknown:
        found.fields[meaning] = name
        return
    else:
        message = "this is neither one of Stencil's columns nor a project setting."
        near = meant(re.sub(r"[\s\-]+", "_", name), (*OWN_COLUMNS, *FIELDS))
        hint = f"Did you mean {near}?" if near else f"{IF_KNOWN_THERE} {CARRIED}"
    found.problems.append(Problem(code, message, line=line, column=shown(name), hint=hint))


_OF_A_FRAME = "Is this the index of a DataFrame? Leave it out (index=False), or give it a name."
