"""The artifact of a sheet that was refused."""

import asyncio
from typing import Any

import pytest

from label_studio_stencil.prefect import report as report_module
from label_studio_stencil.prefect.report import publish_problems
from label_studio_stencil.problems import InvalidSheet, Problem


def test_how_a_refused_sheet_was_read_stands_above_its_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[dict[str, Any]] = []

    async def publish(table: list[dict[str, Any]], **_: object) -> None:
        published.extend(table)

    monkeypatch.setattr(report_module, "acreate_table_artifact", publish)
    note = "The text was read as Windows-1252."
    asyncio.run(publish_problems(InvalidSheet("s.csv", [Problem("title-missing", "fill it.", line=2)], [note])))
    assert [(row["line"], row["code"], row["what to do"]) for row in published] == [
        (None, "note", note),
        (2, "title-missing", "fill it."),
    ]
