"""Earlier states of the projects, for lists that lag behind the writes.

Triggers keep the row that each write replaced. To show the past, the newest writes are undone inside a transaction
that is rolled back afterwards, so the same code reads past and present.
"""

import asyncio
import sqlite3
import time

_COLUMNS = "id, title, folded, description, workspace, pinned_at, created_at, tasks, settings"
_OLD = ", ".join(f"OLD.{column}" for column in _COLUMNS.split(", "))
_SCHEMA = f"""
CREATE TEMP TABLE IF NOT EXISTS replaced (n INTEGER PRIMARY KEY, at REAL NOT NULL, was TEXT NOT NULL, {_COLUMNS});
CREATE INDEX IF NOT EXISTS temp.replaced_at ON replaced (at);
CREATE TEMP TRIGGER IF NOT EXISTS made AFTER INSERT ON main.projects BEGIN
    INSERT INTO replaced (at, was, id) VALUES (clock(), 'absent', NEW.id);
END;
CREATE TEMP TRIGGER IF NOT EXISTS changed AFTER UPDATE ON main.projects BEGIN
    INSERT INTO replaced (at, was, {_COLUMNS}) VALUES (clock(), 'there', {_OLD});
END;
CREATE TEMP TRIGGER IF NOT EXISTS deleted AFTER DELETE ON main.projects BEGIN
    INSERT INTO replaced (at, was, {_COLUMNS}) VALUES (clock(), 'there', {_OLD});
END;
"""  # noqa: S608


class Past:
    """The rows that the writes of the last `kept` seconds replaced."""

    def __init__(self, db: sqlite3.Connection, kept: float) -> None:
        self._db, self._kept = db, kept
        db.create_function("clock", 0, _now)
        db.executescript(_SCHEMA)

    def forget(self) -> None:
        """Delete rows that are too old to be shown."""
        self._db.execute("DELETE FROM replaced WHERE at < ?", (_now() - self._kept,))

    def rewind(self, seconds: float) -> None:
        """Set the projects back by so many seconds, until the open transaction is rolled back."""
        moment = _now() - seconds
        sql = f"SELECT was, {_COLUMNS} FROM replaced WHERE at > ? ORDER BY n DESC"  # noqa: S608
        newest_first = self._db.execute(sql, (moment,)).fetchall()
        for was, project_id, *columns in newest_first:
            if was == "absent":
                self._db.execute("DELETE FROM projects WHERE id = ?", (project_id,))
            else:
                marks = ", ".join("?" * (1 + len(columns)))
                sql = f"INSERT OR REPLACE INTO projects ({_COLUMNS}) VALUES ({marks})"  # noqa: S608
                self._db.execute(sql, (project_id, *columns))


def _now() -> float:
    """The time of the running event loop, which tests may control, or else of the machine."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()
