"""Two batches of one sheet at once, each in a process of its own."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from label_studio_sandbox import Call, Proceed, Sandbox
from tests.soak.batches import FLOW, assert_exactly_once, reported, start, write_sheet

#: Few enough to be created at once, so that every row is contested.
ROWS = 50


class Lockstep:
    """Stands before the sandbox's handlers, and keeps two batches in step.

    No create is let through before both have read the list of projects to plan by, and no PATCH before both have looked at what
    was created.
    """

    def __init__(self) -> None:
        self._lists = 0
        self._planned, self._looked = asyncio.Event(), asyncio.Event()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler."""
        if call.method == "POST":
            await self._planned.wait()
        if call.method == "PATCH":
            await self._looked.wait()
        answer = await proceed()
        if call.method == "GET" and call.path == "/api/projects/":
            self._lists += 1
            for event, lists in ((self._planned, 2), (self._looked, 4)):
                if self._lists >= lists:
                    event.set()
        return answer


@pytest.mark.slow
def test_two_batches_of_one_sheet_make_one_project_per_row_and_both_name_it(prefect_api: str, tmp_path: Path) -> None:
    sheet = write_sheet(tmp_path / "sheet.csv", ROWS)
    with Sandbox(interceptors=[Lockstep()]) as sandbox:
        environment = environment_of(sandbox, prefect_api)
        with ExitStack() as stack:
            processes = [stack.enter_context(start(FLOW, sheet, environment)) for _ in range(2)]
            for process in processes:
                stack.callback(process.kill)
            reports = [reported(process) for process in processes]
        creates = [request for request in sandbox.requests if request.path.endswith("/create-project")]
        assert len(creates) >= 2 * ROWS, "they did not meet"
        for report in reports:
            assert_exactly_once(sandbox, report, ROWS)
        assert ids(reports[0]) == ids(reports[1])


def environment_of(sandbox: Sandbox, prefect_api: str) -> dict[str, str]:
    return {
        **os.environ,
        "PREFECT_API_URL": prefect_api,
        "LABEL_STUDIO_URL": sandbox.url,
        "LABEL_STUDIO_API_KEY": sandbox.token,
    }


def ids(report: dict[str, Any]) -> dict[str, int]:
    return {row["title"]: row["project_id"] for row in report["rows"]}
