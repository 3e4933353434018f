"""A valid row: what it asks for, checked and typed."""

from dataclasses import dataclass, field

from label_studio_stencil.json_value import JSON
from label_studio_stencil.rows.steps import Steps


@dataclass(frozen=True, slots=True)
class Request:
    """A valid row.

    Attributes:
        line: Number in the file.
        title: Title of the project, normalised to NFC and stripped.
        workspace: Id or name, or empty where there is none.
        template: Id or name, or empty where neither the row nor the batch names one and none is required.
        overrides: Settings as the wire wants them.
        cells: The row as it was read.
        variables: What the row sets in its template: variable to cell.
        whole_title: The title before it was cut; empty where it was not.
        steps: What it asks for beyond settings.
    """

    line: int
    title: str
    workspace: str
    template: str
    overrides: dict[str, JSON]
    cells: dict[str, object]
    variables: dict[str, object] = field(default_factory=dict)
    whole_title: str = ""
    steps: Steps = field(default_factory=Steps)
