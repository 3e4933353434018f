"""Two batches of one sheet at once, each in a process of its own."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from stencil.sandbox import Call, Proceed, Sandbox
from tests.soak.batches import FLOW, assert_exactly_once, reported, start, write_sheet

ROWS = 60
#: Contested rows wait half a minute for the other owner, the sweep half a minute for what may land late.
SECONDS = 250.0


class BothHavePlanned:
    """Stands before the sandbox's handlers, and lets no write through before two batches have read the list of projects."""

    def __init__(self) -> None:
        self._lists = 0
        self._both = asyncio.Event()

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler."""
        if call.method == "GET":
            answer = await proceed()
            self._lists += call.path == "/api/projects/"
            if self._lists == 2:
                self._both.set()
            return answer
        await self._both.wait()
        return await proceed()


@pytest.mark.timeout(300)
def test_two_batches_of_one_sheet_make_one_project_per_row_and_both_name_it(prefect_api: str, tmp_path: Path) -> None:
    sheet = write_sheet(tmp_path / "sheet.csv", ROWS)
    with Sandbox(interceptors=[BothHavePlanned()]) as sandbox:
        environment = environment_of(sandbox, prefect_api)
        processes = [start(FLOW, sheet, environment) for _ in range(2)]
        try:
            reports = [reported(process, SECONDS) for process in processes]
        finally:
            for process in processes:
                process.kill()
        creates = [request for request in sandbox.requests if request.path.endswith("/create-project")]
        # Both went for every row, or nearly so: the contest was real.
        assert len(creates) > ROWS + ROWS // 2
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
