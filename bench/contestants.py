"""Who creates the projects of a benchmark, each a process of its own.

    python -m bench.contestants NAME URL TOKEN ROWS AT_ONCE SHEET

All make a project of template 1 for each row, and set the same overrides:

- `bare`: an asyncio loop round httpx, which sends what Stencil sends and nothing besides: the limit;
- `sdk`: the loop that a user writes with the official SDK, one by one;
- `mapped`: the Prefect flow that a user writes, one mapped task for each row;
- `stencil`: `stencil create`;
- `flow`: Stencil's flow on Prefect.
"""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

OVERRIDES = {"maximum_annotations": 3, "color": "#1F6FEB", "show_skip_button": False}
#: As long as Stencil's mark.
MARK = "x" * 140


def write_sheet(path: Path, rows: int) -> None:
    """The sheet of that many rows."""
    lines = [",".join(["title", *OVERRIDES]), *(f"Row {number},3,#1F6FEB,no" for number in range(rows))]
    path.write_text("\n".join(lines), encoding="utf-8")


def bare(url: str, token: str, rows: int, at_once: int, _: Path) -> None:
    """Create and PATCH, as fast as httpx can."""
    import httpx

    async def run() -> None:
        limit = asyncio.Semaphore(at_once)
        headers = {"authorization": f"Token {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, limits=httpx.Limits(max_connections=None)) as http:

            async def row(number: int) -> None:
                async with limit:
                    body = {"title": f"Row {number}", "description": MARK, "workspace_id": 1}
                    answer = await http.post("/api/project-templates/1/create-project", json=body)
                    answer.raise_for_status()
                async with limit:
                    changes = {**OVERRIDES, "description": ""}
                    answer = await http.patch(f"/api/projects/{answer.json()['id']}/", json=changes)
                    answer.raise_for_status()

            await asyncio.gather(*(row(number) for number in range(rows)))

    asyncio.run(run())


def sdk(url: str, token: str, rows: int, _: int, __: Path) -> None:
    """One by one, by the official SDK."""
    from label_studio_sdk import LabelStudio

    client = LabelStudio(base_url=url, api_key=token)
    for number in range(rows):
        project = client.project_templates.create_project_from_template(1, title=f"Row {number}", workspace_id=1)
        client.projects.update(project.id, **OVERRIDES)


def mapped(url: str, token: str, rows: int, at_once: int, _: Path) -> None:
    """A flow that maps a task over the rows."""
    import httpx
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    client = httpx.Client(base_url=url, headers={"authorization": f"Token {token}"}, timeout=60)

    @task
    def make(number: int) -> None:
        body = {"title": f"Row {number}", "workspace_id": 1}
        answer = client.post("/api/project-templates/1/create-project", json=body)
        answer.raise_for_status()
        client.patch(f"/api/projects/{answer.json()['id']}/", json=OVERRIDES).raise_for_status()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=at_once))  # type: ignore[arg-type]
    def make_all() -> None:
        make.map(list(range(rows))).wait()

    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    make_all()


def stencil(url: str, token: str, _: int, at_once: int, sheet: Path) -> None:
    """The command on the sheet."""
    from label_studio_stencil.cli import main

    _run(main, ["create", "--json"], url, token, at_once, sheet)


def flow(url: str, token: str, _: int, at_once: int, sheet: Path) -> None:
    """The flow on the sheet."""
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    from scripts.flow import main

    _run(main, [], url, token, at_once, sheet)


def _run(
    main: Callable[[Sequence[str]], int], words: list[str], url: str, token: str, at_once: int, sheet: Path
) -> None:
    os.environ.update(LABEL_STUDIO_URL=url, LABEL_STUDIO_API_KEY=token)
    arguments = [*words, str(sheet), "--template", "1", "--workspace", "1", "--max-concurrency", str(at_once)]
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = main(arguments)
    if code:
        raise SystemExit(code)


CONTESTANTS = {each.__name__: each for each in (bare, sdk, mapped, stencil, flow)}

if __name__ == "__main__":
    name, url, token, rows, at_once, sheet = sys.argv[1:]
    CONTESTANTS[name](url, token, int(rows), int(at_once), Path(sheet))
