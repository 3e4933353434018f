"""A sandbox, and commands in this process."""

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli import main
from tests.cli.running import Done, Stencil


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A fresh sandbox that the environment names as Label Studio."""
    with Sandbox(tmp_path / "sandbox.sqlite3", log_requests=True) as sandbox:
        monkeypatch.setenv("LABEL_STUDIO_URL", sandbox.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", sandbox.token)
        yield sandbox


@pytest.fixture
def stencil(sandbox: Sandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stencil]:
    """Run a command in this process."""

    def run(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(str(ended.code))
        done = Done(code, *capsys.readouterr())
        assert "Traceback" not in done.stdout + done.stderr
        return done

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
