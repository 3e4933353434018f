"""Batches in processes of their own, which may be killed, and what they leave on the sandbox.

`python -m tests.soak.batches SHEET [AT_ONCE]` carries out a sheet without Prefect, and prints the report as JSON.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.responses import Response

from label_studio_sandbox import Call, Proceed, Sandbox
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet

ROOT = Path(__file__).resolve().parents[2]

#: Seconds after which a batch will not end any more. No measure: one waits half a minute for rows that another owns, and half
#: a minute before its last look for what a dead process sent and may land late.
RUN_SECONDS = 600.0

#: Requests of a whole batch of 200 rows: two a row, and the plan; the looks of it come on top.
LAST_REQUEST = 404

#: The batch without Prefect, and the whole flow.
ENGINE = ("tests.soak.batches",)
FLOW = ("scripts.flow", "--max-concurrency", "8")

#: Outcomes of rows whose project is there.
OK = {"created", "resumed", "exists"}

COLORS = ("#617ADA", "#D55C9D", "#F6C549", "#51AAFD")


@dataclass(frozen=True, slots=True)
class Moment:
    """When a process dies.

    Attributes:
        request: As the sandbox gets this one, counted from 1.
        lands: When that request takes effect: below 0 just before the death, 0 just after it, else as the rerun sends its
            `lands`th request.
    """

    request: int
    lands: int

    def __str__(self) -> str:
        """For the messages of a test."""
        when = (
            "before it" if self.lands < 0 else f"as the rerun sends request {self.lands}" if self.lands else "after it"
        )
        return f"death at request {self.request}, which takes effect {when}"


def moments(number: int, seed: int, last: int = LAST_REQUEST) -> list[Moment]:
    """Moments of death, the same for a seed: one in each `number`th part of the requests up to `last`."""
    chance = random.Random(seed)
    found = []
    for each in range(number):
        request = 1 + int(last / number * (each + chance.random()))
        # The rerun plans with four requests, and then sends one at least for each request that was not sent.
        during = chance.randint(1, 4 + (last - request) // 2)
        found.append(Moment(request, chance.choice((-1, 0, during))))
    return found


class Killer:
    """Stands before the sandbox's handlers, and kills a process with SIGKILL at a moment."""

    def __init__(self, moment: Moment) -> None:
        self.process: subprocess.Popen[str] | None = None
        self._moment = moment
        self._landing = asyncio.Event()
        self._seen = self._seen_of_rerun = 0

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer of the handler, whether or not somebody is left to hear it."""
        self._seen += 1
        if self._seen == self._moment.request:
            return await self._die(proceed)
        if self._seen > self._moment.request:
            # What the dead process had sent is still coming in; the first request of every batch is this one.
            self._seen_of_rerun += self._seen_of_rerun > 0 or call.path == "/api/version/"
            if self._seen_of_rerun >= self._moment.lands:
                self._landing.set()
        return await proceed()

    async def _die(self, proceed: Proceed) -> Response:
        assert self.process is not None
        answer = await proceed() if self._moment.lands < 0 else None
        os.kill(self.process.pid, signal.SIGKILL)
        if answer is None:
            if self._moment.lands:
                await self._landing.wait()
            answer = await proceed()
        return answer


def row(number: int) -> dict[str, Any]:
    """A row, each with settings of its own."""
    return {
        "title": f"Project {number:03}",
        "workspace": 1 + number % 5,
        "description": f"Made for row {number}",
        "maximum_annotations": 1 + number % 7,
        "color": COLORS[number % len(COLORS)],
    }


def write_sheet(path: Path, rows: int) -> Path:
    """A CSV of that many rows, all of the template `Sentiment Analysis`."""
    lines = [",".join(str(cell) for cell in (*row(number).values(), "Sentiment Analysis")) for number in range(rows)]
    path.write_text("\n".join([",".join((*row(0), "template")), *lines]) + "\n", encoding="utf-8")
    return path


def start(command: tuple[str, ...], sheet: Path, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """A batch of the sheet, started."""
    return subprocess.Popen(
        [sys.executable, "-m", *command, str(sheet), *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def reported(process: subprocess.Popen[str], seconds: float = RUN_SECONDS) -> dict[str, Any]:
    """The report of a batch that ends well, within that time."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 0, stdout + stderr
    assert "Traceback" not in stderr
    report: dict[str, Any] = json.loads(stdout)
    return report


def patches(sandbox: Sandbox) -> int:
    """Finishes that were sent."""
    return sum(request.method == "PATCH" for request in sandbox.requests)


async def amid_rows(sandbox: Sandbox, finishes: int, seconds: float = RUN_SECONDS) -> None:
    """Return when so many finishes were sent, which takes at most that time."""
    async with asyncio.timeout(seconds):
        while patches(sandbox) < finishes:  # noqa: ASYNC110 - the sandbox runs in a thread of its own
            await asyncio.sleep(0.05)


def projects(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Every project of the sandbox, as its API shows it."""
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Token {sandbox.token}"}
    # Ten sandboxes share the tests' process, and a busy machine.
    with httpx.Client(base_url=sandbox.url, headers=headers, timeout=60) as client:
        while True:
            page = client.get("/api/projects/", params={"page_size": 100, "page": len(found) // 100 + 1}).json()
            found += page["results"]
            if len(found) >= page["count"]:
                return found


def placeholders(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The projects that are not set up yet."""
    return [project for project in projects(sandbox) if "[stencil " in project["description"]]


def assert_exactly_once(sandbox: Sandbox, report: dict[str, Any], rows: int) -> None:
    """One project for each row, finished, with the settings of row and template, and the report names it."""
    made = projects(sandbox)
    found = {project["title"]: project for project in made}
    assert len(made) == len(found) == rows
    for number in range(rows):
        wanted = {**row(number), "agreement_threshold": "0.80", "show_instruction": True}
        project = found[wanted["title"]]
        assert {key: project[key] for key in wanted} == wanted
        assert 'name="sentiment"' in project["label_config"]
    assert [line["outcome"] for line in report["rows"] if line["outcome"] not in OK] == []
    assert {line["title"]: line["project_id"] for line in report["rows"]} == {
        title: project["id"] for title, project in found.items()
    }


def die_and_rerun(moment: Moment, command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> "Rerun":
    """A batch of 200 rows is killed at a moment and run again; each row has its project exactly once then.

    A create that lands during the rerun may stay beside it as a marked copy, which one more run removes.
    """
    sheet = write_sheet(folder / "sheet.csv", 200)
    killer = Killer(moment)
    with Sandbox(interceptors=[killer]) as sandbox:
        environment = {**environment, "LABEL_STUDIO_URL": sandbox.url, "LABEL_STUDIO_API_KEY": sandbox.token}
        killer.process = start(command, sheet, environment)
        stdout, stderr = killer.process.communicate(timeout=RUN_SECONDS)
        assert killer.process.returncode == -signal.SIGKILL, f"it lived: {stdout}{stderr}"

        began = time.monotonic()
        report = reported(start(command, sheet, environment))
        seconds = time.monotonic() - began
        surplus = [project for project in projects(sandbox) if "[stencil " in project["description"]]
        if surplus:
            assert moment.lands > 0
            assert len(surplus) == 1
            report = reported(start(command, sheet, environment))
        assert_exactly_once(sandbox, report, 200)
        return Rerun(report["counts"], seconds, once_more=bool(surplus))


@dataclass(frozen=True, slots=True)
class Rerun:
    """How the run after a death went.

    Attributes:
        counts: Rows by outcome.
        seconds: How long it took.
        once_more: Whether what landed late needed one more run.
    """

    counts: dict[str, int]
    seconds: float
    once_more: bool


async def _carry_out(path: str, at_once: str = "8") -> None:
    options = Options(max_concurrency=int(at_once))
    checked = check(read_sheet(path), options)
    async with open_label_studio(LabelStudioSettings.from_environment(), options) as label_studio:
        report = await provision(checked, options, label_studio)
    sys.stdout.write(json.dumps(report.to_json()))


if __name__ == "__main__":
    asyncio.run(_carry_out(*sys.argv[1:]))
