"""The sandbox's database: projects, templates, workspaces, imports and tokens in one SQLite file.

There is one connection, which one thread uses at a time, so statements need no lock. The write-ahead log
without syncing keeps every committed write if the process is killed, but not if the machine loses power.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from label_studio_sandbox._json import JSON, Object, dumps, load_object, loads
from label_studio_sandbox.past import Past

_SCHEMA = """
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT, folded TEXT NOT NULL, description TEXT, workspace INTEGER, pinned_at TEXT,
    created_at TEXT NOT NULL, tasks INTEGER NOT NULL DEFAULT 0, settings TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS projects_newest ON projects (pinned_at, id);
CREATE INDEX IF NOT EXISTS projects_title ON projects (folded);
CREATE INDEX IF NOT EXISTS projects_workspace ON projects (workspace, id);
CREATE TABLE IF NOT EXISTS templates (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS workspaces (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tokens (jti TEXT PRIMARY KEY, token TEXT NOT NULL, revoked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS imports (id INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY AUTOINCREMENT, import INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS tasks_import ON tasks (import);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_COLUMNS = "p.id, p.title, p.description, p.workspace, p.pinned_at, p.created_at, p.tasks, p.settings, w.title"
_IMPORTED = (
    "FROM tasks t JOIN imports i ON i.id = t.import "
    "WHERE json_extract(i.body, '$.project') = ? AND json_extract(i.body, '$.status') = 'completed'"
)
_FROM = "FROM projects p LEFT JOIN workspaces w ON w.id = p.workspace"


@dataclass(slots=True)
class Project:
    """A stored project; `settings` holds the values that differ from the defaults."""

    title: str | None = ""
    description: str | None = ""
    workspace: int | None = None
    pinned_at: str | None = None
    created_at: str = ""
    tasks: int = 0
    settings: Object = field(default_factory=dict)
    id: int = 0
    workspace_title: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A query of projects: SQL conditions with their values, and an `ORDER BY`."""

    conditions: Sequence[str] = ()
    values: Sequence[str | int] = ()
    order: str = "p.pinned_at DESC, p.id DESC"

    def where(self) -> str:
        """The `WHERE` clause, or nothing."""
        return f"WHERE {' AND '.join(self.conditions)}" if self.conditions else ""


class Store:
    """The SQLite file of a sandbox, or a database in memory if `path` is None.

    Raises:
        sqlite3.Error: the file cannot be opened, or is not a database.
    """

    def __init__(self, path: Path | None = None) -> None:
        # Another thread than the server's opened the file; they never use it at the same time.
        self._db = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False, cached_statements=512
        )
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=OFF")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise
        self._db.create_function("fold", 1, fold, deterministic=True)
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'projects'").fetchone()
        self._last_project_id: int = last[0] if last else 0
        self._past: Past | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the writes of a block together at its end, or roll them back if it raises."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def keep_past(self, seconds: float) -> None:
        """Keep earlier states of projects for some seconds, for `rewound`."""
        self._past = self._past or Past(self._db, seconds)

    @contextmanager
    def rewound(self, seconds: float) -> Iterator[None]:
        """Show the projects in a block as they were some seconds ago, as far as their past is kept."""
        if self._past is None:
            yield
            return
        self._past.forget()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._past.rewind(seconds)
            yield
        finally:
            self._db.execute("ROLLBACK")

    # projects

    def reserve_project_id(self) -> int:
        """The next project id. Ids rise in the order in which they are assigned, not in that of the commits."""
        self._last_project_id += 1
        return self._last_project_id

    def add_project(self, project: Project) -> None:
        """Store a project under its id."""
        self._db.execute(
            "INSERT INTO projects (title, folded, description, workspace, pinned_at, created_at, tasks, settings, id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            _values(project),
        )

    def save_project(self, project: Project) -> None:
        """Write every column of a project."""
        self._db.execute(
            "UPDATE projects SET title = ?, folded = ?, description = ?, workspace = ?, pinned_at = ?,"
            " created_at = ?, tasks = ?, settings = ? WHERE id = ?",
            _values(project),
        )

    def project(self, project_id: int) -> Project | None:
        """The project of that id."""
        row = self._db.execute(f"SELECT {_COLUMNS} {_FROM} WHERE p.id = ?", (project_id,)).fetchone()
        return _project(row) if row else None

    def delete_project(self, project_id: int) -> bool:
        """Delete a project. Returns whether it existed."""
        return self._db.execute("DELETE FROM projects WHERE id = ?", (project_id,)).rowcount > 0

    def count_projects(self, query: Query) -> int:
        """Count the projects that match a query."""
        # No join unless the workspace's columns are needed, because every look counts a page.
        source = _FROM if "w." in query.where() else "FROM projects p"
        sql = f"SELECT count(*) {source} {query.where()}"
        return int(self._db.execute(sql, query.values).fetchone()[0])

    def projects(self, query: Query, *, limit: int = -1, offset: int = 0) -> list[Project]:
        """The projects that match a query, in its order."""
        sql = f"SELECT {_COLUMNS} {_FROM} {query.where()} ORDER BY {query.order} LIMIT ? OFFSET ?"
        return [_project(row) for row in self._db.execute(sql, (*query.values, limit, offset))]

    # templates, workspaces and imports

    def add(self, table: str, body: Object) -> int:
        """Add a row to `templates`, `workspaces` or `imports`, and return its id."""
        if table == "workspaces":
            values: tuple[object, ...] = (str(body["title"]), dumps(body).decode())
            sql = "INSERT INTO workspaces (title, body) VALUES (?, ?)"
        else:
            values, sql = (dumps(body).decode(),), f"INSERT INTO {table} (body) VALUES (?)"  # noqa: S608
        return self._db.execute(sql, values).lastrowid or 0

    def save(self, table: str, row_id: int, body: Object) -> None:
        """Replace the body of a row."""
        if table == "workspaces":
            self._db.execute("UPDATE workspaces SET title = ? WHERE id = ?", (str(body["title"]), row_id))
        self._db.execute(f"UPDATE {table} SET body = ? WHERE id = ?", (dumps(body).decode(), row_id))  # noqa: S608

    def get(self, table: str, row_id: int) -> Object | None:
        """The body of the row, with its id."""
        row = self._db.execute(f"SELECT body FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
        return {"id": row_id} | load_object(row[0]) if row else None

    def all(self, table: str) -> list[Object]:
        """The bodies of all rows, in the order of their ids."""
        rows = self._db.execute(f"SELECT id, body FROM {table} ORDER BY id")  # noqa: S608
        return [{"id": row_id} | load_object(body) for row_id, body in rows]

    def delete(self, table: str, row_id: int) -> bool:
        """Delete a row. Returns whether it existed. A workspace's projects are left without one."""
        if table == "workspaces":
            self._db.execute("UPDATE projects SET workspace = NULL WHERE workspace = ?", (row_id,))
        return self._db.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,)).rowcount > 0  # noqa: S608

    # tasks

    def add_tasks(self, import_id: int, tasks: Iterable[JSON]) -> None:
        """Keep the tasks of an import; they belong to the project once it is completed."""
        rows = ((import_id, dumps(task).decode()) for task in tasks)
        self._db.executemany("INSERT INTO tasks (import, body) VALUES (?, ?)", rows)

    def count_tasks(self, project_id: int) -> int:
        """Number of tasks that were imported into a project."""
        return int(self._db.execute(f"SELECT count(*) {_IMPORTED}", (project_id,)).fetchone()[0])

    def tasks(self, project_id: int, *, limit: int, offset: int) -> list[tuple[int, JSON]]:
        """The tasks that were imported into a project, by id, as they were imported."""
        sql = f"SELECT t.id, t.body {_IMPORTED} ORDER BY t.id LIMIT ? OFFSET ?"
        return [(number, loads(body)) for number, body in self._db.execute(sql, (project_id, limit, offset))]

    def project_counts(self) -> dict[int, int]:
        """Number of projects in each workspace, by its id."""
        sql = "SELECT workspace, count(*) FROM projects WHERE workspace IS NOT NULL GROUP BY workspace"
        return dict(self._db.execute(sql).fetchall())

    # tokens and facts

    def add_token(self, jti: str, token: str) -> None:
        """Store a personal access token."""
        self._db.execute("INSERT INTO tokens (jti, token) VALUES (?, ?)", (jti, token))

    def tokens(self) -> list[str]:
        """The personal access tokens that are not revoked."""
        return [row[0] for row in self._db.execute("SELECT token FROM tokens WHERE revoked = 0")]

    def token_state(self, jti: str) -> bool | None:
        """True for a valid token, False for a revoked one, None for an unknown one."""
        row = self._db.execute("SELECT revoked FROM tokens WHERE jti = ?", (jti,)).fetchone()
        return None if row is None else not row[0]

    def revoke_token(self, jti: str) -> None:
        """Revoke a token."""
        self._db.execute("UPDATE tokens SET revoked = 1 WHERE jti = ?", (jti,))

    def fact(self, name: str) -> str | None:
        """A lasting fact about this file."""
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def remember(self, name: str, value: str) -> None:
        """Store a fact."""
        self._db.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))


def fold(text: str | None) -> str:
    """The text as searches compare it: without case, for every alphabet as in Postgres."""
    return (text or "").upper()


def _values(project: Project) -> tuple[object, ...]:
    return (
        project.title,
        fold(project.title),
        project.description,
        project.workspace,
        project.pinned_at,
        project.created_at,
        project.tasks,
        dumps(project.settings).decode(),
        project.id,
    )


def _project(row: Sequence[str]) -> Project:
    project_id, title, description, workspace, pinned_at, created_at, tasks, settings, workspace_title = row
    return Project(
        title,
        description,
        workspace,  # type: ignore[arg-type] # SQLite's rows have no types
        pinned_at,
        created_at,
        tasks,  # type: ignore[arg-type]
        load_object(settings),
        project_id,  # type: ignore[arg-type]
        workspace_title,
    )
