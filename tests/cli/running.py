"""What the tests of the command line share."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from label_studio_sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "projects.csv"
#: Seconds after which what is waited for will not come any more.
SECONDS = 120

DEFAULTS = ("--template", "1", "--workspace", "1")


@dataclass(frozen=True, slots=True)
class Done:
    """What a command came to."""

    code: int
    stdout: str
    stderr: str


Stencil = Callable[..., Done]


def writes(sandbox: Sandbox) -> int:
    # A labelling interface is put to Label Studio as a question, by POST.
    asked = "/api/projects/validate/"
    return sum(request.method != "GET" and request.path != asked for request in sandbox.requests)


def started(*arguments: str, program: str = "") -> subprocess.Popen[str]:
    """A command, in a group of its own as a terminal's is."""
    command = [sys.executable, *(["-c", program] if program else ["-m", "label_studio_stencil"])]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
