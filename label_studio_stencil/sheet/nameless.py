"""Reports cells without a column name: once for each column without a name, or once for each row with too many cells."""

from collections.abc import Sequence

from label_studio_stencil.problems import SHOWN_VALUE_LENGTH, Problem, counted, shown

#: Advice for a first column without a name, which usually numbers the rows.
_INDEX = "If it numbers the rows, leave it out (pandas: index=False, R: row.names=FALSE); else give it a name."


class Nameless:
    """Collects the cells of a sheet that have no column name.

    A column with an empty name in the header is one problem, however many rows fill it. Cells beyond the header are one
    problem for each row, because usually a separator was not quoted. But if every row has the same number of them, the
    header is too short.
    """

    def __init__(self, header: Sequence[str], line: int) -> None:
        self._width, self._named, self._line = len(header), sum(map(bool, header)), line
        self._columns: dict[int, list[tuple[int, str]]] = {}
        self._rows: list[tuple[int, int, int, str]] = []

    def add(self, line: int, positions: Sequence[int], first: object) -> None:
        """Note a row with such cells: their positions from 0, and the value of the first."""
        value = shown(str(first)[: SHOWN_VALUE_LENGTH * 4])
        if positions[0] < self._width:
            self._columns.setdefault(positions[0], []).append((line, value))
        else:
            self._rows.append((line, positions[0], len(positions), value))

    @property
    def count(self) -> int:
        """Number of rows with such cells."""
        return len(self._rows) + sum(map(len, self._columns.values()))

    def problems(self, rows: int) -> list[Problem]:
        """The problems of a sheet with so many rows."""
        found = [self._column(position, cells) for position, cells in sorted(self._columns.items())]
        if (
            len(self._rows) > 1
            and len(self._rows) == rows
            and len({(first, more) for _, first, more, _ in self._rows}) == 1
        ):
            cells, names = self._rows[0][2] + self._width, counted(self._width, "name")
            message = f"every row has {cells} cells, and the header has {names}."
            hint = f"Does the first column lack one? {_INDEX}"
            return [*found, Problem("extra-cell", message, line=self._line, hint=hint)]
        return found + [self._row(*row) for row in self._rows]

    def _column(self, position: int, cells: Sequence[tuple[int, str]]) -> Problem:
        line, value = cells[0]
        rows = "" if len(cells) == 1 else f", and {len(cells):,} rows have a value in it, the first on line {line}"
        message = f"column {position + 1} has no name in the header{rows}."
        hint = _INDEX if position == 0 else "Give it one, or empty its cells."
        return Problem("extra-cell", message, line=line if len(cells) == 1 else self._line, value=value, hint=hint)

    def _row(self, line: int, first: int, count: int, value: str) -> Problem:
        places = f"a cell in column {first + 1}" + (f" and {count - 1:,} more" if count > 1 else "")
        message = f"the row has {places}, and the header has {counted(self._named, 'name')}."
        hint = "Quote cells that hold separators, or name the column."
        return Problem("extra-cell", message, line=line, value=value, hint=hint)
