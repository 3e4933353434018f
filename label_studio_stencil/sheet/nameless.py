"""Cells for which the header has no name, told once a column where the column is to blame, and once a row where the row is."""

from collections.abc import Sequence

from label_studio_stencil.problems import SHOWN_VALUE_LENGTH, Problem, counted, shown

#: What a first column without a name most often is.
_INDEX = "if it numbers the rows, leave it out (pandas: index=False, R: row.names=FALSE); else give it a name"


class Nameless:
    """Collects the cells without a name of one sheet.

    A column that has a place in the header and no name there is one problem, however many rows fill it. Cells beyond the
    header are one problem a row, as where a separator was not quoted; but where every row has as many, the header is what is
    too short.
    """

    def __init__(self, header: Sequence[str], line: int) -> None:
        self._width, self._named, self._line = len(header), sum(map(bool, header)), line
        self._columns: dict[int, list[tuple[int, str]]] = {}
        self._rows: list[tuple[int, int, int, str]] = []

    def add(self, line: int, positions: Sequence[int], first: object) -> None:
        """Note a row with cells at these positions, counted from 0, of which `first` is the first cell."""
        value = shown(str(first)[: SHOWN_VALUE_LENGTH * 4])
        if positions[0] < self._width:
            self._columns.setdefault(positions[0], []).append((line, value))
        else:
            self._rows.append((line, positions[0], len(positions), value))

    @property
    def count(self) -> int:
        """Rows that were noted."""
        return len(self._rows) + sum(map(len, self._columns.values()))

    def problems(self, rows: int) -> list[Problem]:
        """What is wrong, in a sheet of so many rows."""
        found = [self._column(position, cells) for position, cells in sorted(self._columns.items())]
        if (
            len(self._rows) > 1
            and len(self._rows) == rows
            and len({(first, more) for _, first, more, _ in self._rows}) == 1
        ):
            cells, names = self._rows[0][2] + self._width, counted(self._width, "name")
            message = f"every row has {cells} cells, and the header has {names}: does the first column lack one? Then {_INDEX}."
            return [*found, Problem("extra-cell", message, line=self._line)]
        return found + [self._row(*row) for row in self._rows]

    def _column(self, position: int, cells: Sequence[tuple[int, str]]) -> Problem:
        line, value = cells[0]
        rows = "" if len(cells) == 1 else f", and {len(cells):,} rows have a value in it, the first on line {line}"
        advice = _INDEX if position == 0 else "give it one, or empty its cells"
        message = f"column {position + 1} has no name in the header{rows}: {advice}."
        return Problem("extra-cell", message, line=line if len(cells) == 1 else self._line, value=value)

    def _row(self, line: int, first: int, count: int, value: str) -> Problem:
        places = f"a cell in column {first + 1}" + (f" and {count - 1:,} more" if count > 1 else "")
        message = f"the row has {places}, and the header has {counted(self._named, 'name')}: "
        message += "quote cells that hold separators, or name the column."
        return Problem("extra-cell", message, line=line, value=value)
