"""A valid row, checked and typed."""

from dataclasses import dataclass, field

from label_studio_stencil.json_value import JSON
from label_studio_stencil.rows.steps import Steps


@dataclass(frozen=True, slots=True)
class Request:
    """A valid row.

    Attributes:
        line: Number in the file.
        title: Title of the project, normalised to NFC and stripped.
        workspace: Id or name; empty if there is none.
        template: Reference; empty if neither the row nor the batch names one and none is required.
        overrides: Settings in the API's format.
        cells: The row as it was read.
        variables: Cell by variable of the template.
        whole_title: The title before it was cut; empty if it was not.
        steps: Members, tasks, publication and pin.
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
