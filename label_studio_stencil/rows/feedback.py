"""Rewrites a row for a sheet in another folder, so that `failed.csv` can be run from anywhere."""

from collections.abc import Mapping, Sequence

from label_studio_stencil.json_value import NotJSONError, json_of
from label_studio_stencil.rows.columns import columns_of
from label_studio_stencil.rows.fields import TEXT_FIELDS
from label_studio_stencil.rows.request import Request


def self_contained(request: Request, columns: Sequence[str], *, template: str) -> dict[str, object]:
    """The row's cells, independent of the folder: texts replace `@path`.

    Args:
        request: The row.
        columns: All columns of its sheet.
        template: The row's template, as a reference that works from any folder.
    """
    found = columns_of(columns, line=None, allow_unknown=True)
    cells = dict(request.cells)
    for name, column in found.fields.items():
        if name in TEXT_FIELDS and _refers(cells.get(column)):
            cells[column] = _literal(request.overrides.get(name))
    overrides = found.own.get("overrides", "")
    cells.update({overrides: _without_references(cells[overrides], request)} if cells.get(overrides) else {})
    column = found.own.get("template", "")
    if cells.get(column):
        cells[column] = template
    return cells


def _without_references(cell: object, request: Request) -> object:
    try:
        given = json_of(cell) if isinstance(cell, str) else cell
    except NotJSONError:
        return cell
    if not isinstance(given, Mapping) or not any(_refers(value) for value in given.values()):
        return cell
    return {
        name: _literal(request.overrides.get(name)) if name in TEXT_FIELDS and _refers(value) else value
        for name, value in given.items()
    }


def _refers(value: object) -> bool:
    return isinstance(value, str) and value.strip().startswith("@") and not value.strip().startswith("@@")


def _literal(text: object) -> object:
    return f"@{text}" if isinstance(text, str) and text.startswith("@") else text
