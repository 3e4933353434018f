"""What Stencil's flow costs over a bare httpx loop that sends the same requests with the same concurrency.

Both run against a fresh sandbox in a process of its own, in turn, in one run; a Prefect server runs before the clock
starts. Times are from the first request to the last answer. Prints a table, and exits 1 where a goal is missed:

    python -m bench.overhead [--rows 1000] [--concurrency 16] [--latency-ms 20] [--repeats 3]
"""

import argparse
import asyncio
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from scripts.servers import prefect_server, sandbox_server

#: Goals: requests a row, and time over the bare loop's.
MOST_REQUESTS_A_ROW = 2.04
MOST_TIMES_BARE = 1.25

OVERRIDES = {"maximum_annotations": 3, "color": "#1F6FEB", "show_skip_button": False}


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    bare: list[float] = []
    stencil: list[float] = []
    requests = 0
    with (
        tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder,
        prefect_server(Path(folder) / "prefect") as api,
    ):
        os.environ.update(PREFECT_HOME=f"{folder}/prefect", PREFECT_API_URL=api)
        os.environ.update(PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL="CRITICAL")
        for _ in range(chosen.repeats):
            with sandbox_server(chosen.latency_ms) as (url, token):
                bare.append(asyncio.run(bare_loop(url, token, chosen.rows, chosen.concurrency)))
            with sandbox_server(chosen.latency_ms) as (url, token):
                seconds, requests = asyncio.run(the_flow(url, token, chosen.rows, chosen.concurrency, Path(folder)))
                stencil.append(seconds)
    a, b = statistics.median(bare), statistics.median(stencil)
    print(
        f"{chosen.rows} rows with overrides, {chosen.concurrency} requests at once, {chosen.latency_ms:g} ms latency,"
    )
    print(f"median of {chosen.repeats}, first request to last answer:")
    print(f"  bare httpx loop   {a:7.2f} s   {chosen.rows / a:6.0f} rows/s   2.000 requests a row")
    print(
        f"  Stencil's flow    {b:7.2f} s   {chosen.rows / b:6.0f} rows/s   {requests / chosen.rows:.3f} requests a row"
    )
    print(
        f"  ratio             {b / a:7.2f}     (goals: at most {MOST_TIMES_BARE}, and {MOST_REQUESTS_A_ROW} requests a row)"
    )
    return int(b / a > MOST_TIMES_BARE or requests / chosen.rows > MOST_REQUESTS_A_ROW)


async def bare_loop(url: str, token: str, rows: int, concurrency: int) -> float:
    """The limit: create and PATCH, as fast as httpx can; seconds."""
    import httpx

    limit = asyncio.Semaphore(concurrency)
    headers = {"authorization": f"Token {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=httpx.Limits(max_connections=None)) as http:

        async def row(number: int) -> None:
            async with limit:
                body = {"title": f"Row {number}", "description": "x" * 140, "workspace_id": 1}
                answer = await http.post("/api/project-templates/1/create-project", json=body)
                answer.raise_for_status()
            async with limit:
                changes = {**OVERRIDES, "description": ""}
                answer = await http.patch(f"/api/projects/{answer.json()['id']}/", json=changes)
                answer.raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*(row(number) for number in range(rows)))
        return time.perf_counter() - began


async def the_flow(url: str, token: str, rows: int, concurrency: int, folder: Path) -> tuple[float, int]:
    """Stencil's flow on a sheet of the same rows; seconds, and requests sent."""
    from flows.create_projects import create_projects
    from stencil.batch import Batch, batch_listener

    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    sheet = folder / "rows.csv"
    lines = [",".join(["title", *OVERRIDES]), *(f"Row {number},3,#1F6FEB,no" for number in range(rows))]
    sheet.write_text("\n".join(lines), encoding="utf-8")
    os.environ.update(LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY=token)
    batches: list[Batch] = []
    listening = batch_listener.set(batches.append)
    report = await create_projects(sheet=str(sheet), template="1", workspace="1", max_concurrency=concurrency)
    batch_listener.reset(listening)
    assert report.well, report.sentence
    client = batches[0].studio.client
    assert client.first_sent is not None
    assert client.last_answered is not None
    return client.last_answered - client.first_sent, report.requests


if __name__ == "__main__":
    sys.exit(main())
