"""What is in the database of a Prefect server: rows of each table, and bytes, asked of the database itself."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from scripts.postgres import plain_url

#: Those of events, which Prefect's server clears away after some days.
EVENTS = ("events", "event_resources")
#: The tables that grow with each batch.
TABLES = (
    "flow_run",
    "flow_run_state",
    "task_run",
    "task_run_state",
    "log",
    "artifact",
    "artifact_collection",
    *EVENTS,
)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds.

    Attributes:
        rows: By table.
        size: Of the whole database, in bytes.
        sizes: By table, its indices included, in bytes.
    """

    rows: Mapping[str, int]
    size: int
    sizes: Mapping[str, int]


async def contents(database: str | Path) -> Contents:
    """What a database holds now.

    Args:
        database: URL of a PostgreSQL database, or SQLite's file.
    """
    return _of_sqlite(database) if isinstance(database, Path) else await _of_postgresql(database)


def _of_sqlite(path: Path) -> Contents:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        rows = {table: database.execute(_count(table)).fetchone()[0] for table in TABLES}
        pages, free, page = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        # A table and its indices are named apart; not every SQLite is built with dbstat, but those that Pythons come with are.
        sizes = dict(
            database.execute(
                "SELECT tbl_name, sum(pgsize) FROM sqlite_master JOIN dbstat USING (name) GROUP BY tbl_name"
            ).fetchall()
        )
        return Contents(rows, (pages - free) * page, {table: sizes[table] for table in TABLES})


async def _of_postgresql(url: str) -> Contents:
    database = await asyncpg.connect(plain_url(url))
    try:
        rows = {table: await database.fetchval(_count(table)) for table in TABLES}
        sizes = {
            table: await database.fetchval("SELECT pg_total_relation_size($1::regclass)", table) for table in TABLES
        }
        size = await database.fetchval("SELECT pg_database_size(current_database())")
        return Contents(rows, size, sizes)
    finally:
        await database.close()


async def connections(url: str) -> int:
    """Connections to a PostgreSQL database, but for the one that asks."""
    database = await asyncpg.connect(plain_url(url))
    try:
        others = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
        return int(await database.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {others}"))
    finally:
        await database.close()


def _count(table: str) -> str:
    return f'SELECT count(*) FROM "{table}"'
