"""Stencil beside plain loops on the real Label Studio Community: `make bench-real`, or `python -m bench.real`.

Label Studio runs on PostgreSQL, with four workers of gunicorn behind nginx, and on SQLite, as `label-studio start` does it. A
server runs only for the time of its runs. Contestants are processes of their own and take turns, so that whatever else the
machine does hits all alike; their projects are deleted before the next. Medians of the repeats, from the first request to the
last answer:

- `post`: a bare asyncio loop round httpx, one POST a row, with all settings in it;
- `post+patch`: the same with the two requests that Stencil sends: a POST, and a PATCH that writes the description;
- `sdk`: the loop that one writes with the official SDK, one `projects.create` a row, one by one;
- `stencil`: `stencil create`.

Exits 1 where Stencil comes to less than `GOAL` of `post+patch` at the same number at once, on PostgreSQL.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from scripts import label_studio, label_studio_production
from scripts.label_studio import Instance, free_port

EXECUTABLE = Path(".label-studio/venv/bin/label-studio")
GOAL = 0.9
AT_ONCE = (1, 8)
#: As long as Stencil's mark.
MARK = "x" * 140
LABEL_CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="sentiment" toName="text" choice="single">'
    '<Choice value="Positive"/><Choice value="Negative"/><Choice value="Neutral"/></Choices></View>'
)
OVERRIDES = {"maximum_annotations": 3, "color": "#1F6FEB", "show_skip_button": False}


class Run(NamedTuple):
    """What one run took: projects that are there afterwards, requests, and seconds from the first to the last answer."""

    rows: int
    projects: int
    requests: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds


# The contestants, each in a process of its own


def post(url: str, token: str, rows: int, at_once: int, folder: Path) -> None:
    """One POST a row."""
    _loop(url, token, rows, at_once, patches=False)


def post_patch(url: str, token: str, rows: int, at_once: int, folder: Path) -> None:
    """A POST and a PATCH a row."""
    _loop(url, token, rows, at_once, patches=True)


def _loop(url: str, token: str, rows: int, at_once: int, *, patches: bool) -> None:
    async def run() -> None:
        limit = asyncio.Semaphore(at_once)
        # Label Studio's own server delays small answers on a connection that is kept by 44 ms.
        connections = httpx.Limits(max_keepalive_connections=0)
        headers = {"authorization": f"Token {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, limits=connections, timeout=120) as http:

            async def row(number: int) -> None:
                async with limit:
                    body = {"title": f"Row {number}", "label_config": LABEL_CONFIG, **OVERRIDES}
                    body |= {"description": MARK} if patches else {}
                    answer = await http.post("/api/projects/", json=body)
                    answer.raise_for_status()
                if patches:
                    async with limit:
                        path = f"/api/projects/{answer.json()['id']}/"
                        (await http.patch(path, json={"description": ""})).raise_for_status()

            await asyncio.gather(*(row(number) for number in range(rows)))

    asyncio.run(run())


def sdk(url: str, token: str, rows: int, at_once: int, folder: Path) -> None:
    """One by one, by the official SDK."""
    from label_studio_sdk import LabelStudio

    client = LabelStudio(base_url=url, api_key=token)
    for number in range(rows):
        client.projects.create(title=f"Row {number}", label_config=LABEL_CONFIG, **OVERRIDES)


def stencil(url: str, token: str, rows: int, at_once: int, folder: Path) -> None:
    """The command on a sheet."""
    from label_studio_stencil.cli import main

    template, sheet = folder / "template.json", folder / "rows.csv"
    template.write_text(json.dumps({"name": "Sentiment", "label_config": LABEL_CONFIG}))
    names = ",".join(["title", *OVERRIDES])
    sheet.write_text("\n".join([names, *(f"Row {number},3,#1F6FEB,no" for number in range(rows))]))
    os.environ |= {"LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": token}
    words = ["create", str(sheet), "--template", str(template), "--max-concurrency", str(at_once), "--json"]
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        code = main(words)
    if code:
        raise SystemExit(code)


CONTESTANTS: dict[str, Callable[[str, str, int, int, Path], None]] = {
    "post": post,
    "post+patch": post_patch,
    "sdk": sdk,
    "stencil": stencil,
}


@contextlib.contextmanager
def noted() -> Iterator[dict[str, float]]:
    """What all of httpx sends meanwhile: how many requests, and when the first began and the last was answered."""
    found: dict[str, float] = {"requests": 0, "began": 0.0, "ended": 0.0}

    def begin() -> None:
        found["began"] = found["began"] or time.perf_counter()
        found["requests"] += 1

    def end() -> None:
        found["ended"] = time.perf_counter()

    once, at_once = httpx.HTTPTransport.handle_request, httpx.AsyncHTTPTransport.handle_async_request

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        begin()
        answer = once(self, request)
        end()
        return answer

    async def handle_async(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        begin()
        answer = await at_once(self, request)
        end()
        return answer

    httpx.HTTPTransport.handle_request = handle  # type: ignore[method-assign]
    httpx.AsyncHTTPTransport.handle_async_request = handle_async  # type: ignore[method-assign]
    try:
        yield found
    finally:
        httpx.HTTPTransport.handle_request = once  # type: ignore[method-assign]
        httpx.AsyncHTTPTransport.handle_async_request = at_once  # type: ignore[method-assign]


def contend(name: str, url: str, token: str, rows: int, at_once: int, folder: Path) -> None:
    """Be a contestant, and print what was noted as JSON."""
    with noted() as found:
        CONTESTANTS[name](url, token, rows, at_once, folder)
    print(json.dumps(found), flush=True)


# The comparison


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.real", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100, help="projects of a run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("--at-once", type=int, nargs="*", default=list(AT_ONCE), help="requests at once (default: 1 8)")
    parser.add_argument("--on", nargs="*", default=list(SERVERS), choices=list(SERVERS), help="servers (default: both)")
    parser.add_argument("--executable", type=Path, default=EXECUTABLE, help="the label-studio command (%(default)s)")
    parser.add_argument("--contestant", nargs=6, metavar="X", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.contestant:
        name, url, token, rows, at_once, folder = chosen.contestant
        contend(name, url, token, int(rows), int(at_once), Path(folder))
        return 0
    print(f"{chosen.rows} rows with three overrides, {os.cpu_count()} processors, medians of {chosen.repeats}.\n")
    print("server      at once  contestant   rows/s  Stencil  requests  projects")
    print("                                             is x     a row      made")
    missed = []
    for server in chosen.on:
        with tempfile.TemporaryDirectory(prefix="stencil-bench-") as folder, ExitStack() as stack:
            running = stack.enter_context(SERVERS[server](chosen.executable, Path(folder)))
            found = measured(running, chosen, Path(folder))
        show(server, found)
        if server == "postgresql":
            missed += [at_once for (name, at_once) in found if name == "stencil" and _ratio(found, at_once) < GOAL]
    for at_once in missed:
        print(f"missed: {GOAL:g} of post+patch at {at_once} at once, on PostgreSQL")
    return int(bool(missed))


def _sqlite(executable: Path, folder: Path) -> AbstractContextManager[Instance]:
    kept = label_studio.template(executable, executable.parents[2] / "template")
    return label_studio.running(executable, label_studio.copy_of(kept, folder / "data"), free_port())


def _postgresql(executable: Path, folder: Path) -> AbstractContextManager[Instance]:
    return label_studio_production.running(executable, folder / "data", free_port())


SERVERS = {"postgresql": _postgresql, "sqlite": _sqlite}

Found = dict[tuple[str, int], list[Run]]


def measured(server: Instance, chosen: argparse.Namespace, folder: Path) -> Found:
    """The runs of each contestant at each number at once, in turn."""
    # The SDK's loop has one way to go.
    turns = [(name, number) for number in chosen.at_once for name in CONTESTANTS if name != "sdk" or number == 1]
    found: Found = {turn: [] for turn in turns}
    # What a new server does once, at its first requests, is nobody's.
    one_run(server, "post", 8, 4, folder)
    for _ in range(chosen.repeats):
        # The server gets slower as its tables grow, so that nobody is always the last.
        turns = [*turns[1:], *turns[:1]]
        for name, at_once in turns:
            found[name, at_once].append(one_run(server, name, chosen.rows, at_once, folder))
    return found


def one_run(server: Instance, name: str, rows: int, at_once: int, folder: Path) -> Run:
    """A contestant on a server without projects."""
    command = [sys.executable, "-m", "bench.real", "--contestant", name, server.url, server.token]
    done = subprocess.run(
        [*command, str(rows), str(at_once), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} ended with code {done.returncode}")
    noted = json.loads(done.stdout)
    projects = delete_all(server)
    return Run(rows, projects, int(noted["requests"]), noted["ended"] - noted["began"])


def delete_all(server: Instance) -> int:
    """Delete all projects; how many there were."""
    headers = {"authorization": f"Token {server.token}", "connection": "close"}
    deleted = 0
    with httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False) as http:
        while True:
            answer: Any = http.get("/api/projects/", params={"page_size": 100, "include": "id"}).raise_for_status()
            projects = answer.json()["results"]
            if not projects:
                return deleted
            for project in projects:
                http.delete(f"/api/projects/{project['id']}/").raise_for_status()
                deleted += 1


def _rate(runs: Sequence[Run]) -> float:
    return statistics.median(run.rate for run in runs)


def _ratio(found: Found, at_once: int) -> float:
    return _rate(found["stencil", at_once]) / _rate(found["post+patch", at_once])


def show(server: str, found: Found) -> None:
    """The lines of a server."""
    for (name, at_once), runs in found.items():
        ours = _rate(found["stencil", at_once])
        times = f"{ours / _rate(runs):7.2f}" if name != "stencil" else " " * 7
        made = sorted({run.projects for run in runs})
        projects = f"{made[0]}" if len(made) == 1 else f"{made[0]}-{made[-1]}"
        print(
            f"{server:11} {at_once:7}  {name:11} {_rate(runs):7.1f}  {times} "
            f"{runs[0].requests / runs[0].rows:9.2f} {projects:>9}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
