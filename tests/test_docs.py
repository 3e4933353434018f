"""The documentation names what there is, and its links lead somewhere."""

import contextlib
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any, TextIO

import pytest

from label_studio_stencil.cli import main
from label_studio_stencil.labelstudio.environment import CERTIFICATES
from label_studio_stencil.rows.columns import OWN_COLUMNS
from label_studio_stencil.settings import VARIABLES
from scripts import reference

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", each).lower()) for each in headings)
    return {each.strip().replace(" ", "-") for each in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_documentation_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    ):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        where = Path(os.path.normpath(page.parent / path)) if path else page
        if not where.exists() or (anchor and where.suffix == ".md" and anchor not in anchors(where)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_index() -> None:
    index = text("docs/README.md")
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"({page})" not in index] == []


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    site = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert [page for page in PAGES if f'"{page.relative_to(ROOT)}"' not in site] == []


def test_contributing_names_files_that_are_there() -> None:
    files = re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|yaml|md))`", text("CONTRIBUTING.md"))
    assert len(files) > 20
    assert [
        file for file in files if not any((ROOT / top / file).exists() for top in ("", "label_studio_stencil"))
    ] == ["tests/prefect/test_NAME.py"]


def test_reference_pages_are_as_the_code_has_them() -> None:
    stale = [name for name, page in reference.pages().items() if text(f"docs/reference/{name}") != page]
    assert stale == [], "run `make reference`"
    assert {page.name for page in ROOT.glob("docs/reference/*")} == reference.pages().keys()


def test_what_has_no_text_is_not_put_on_a_page() -> None:
    with pytest.raises(reference.NoText, match="--new has no text"):
        reference.table(("option", "meaning"), [("--old", "Old."), ("--new", "")])


def test_every_variable_of_the_environment_is_explained() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "label_studio_stencil").rglob("*.py"))
    used = set(re.findall(r'"((?:STENCIL|LABEL_STUDIO)_[A-Z_]+)"', "".join(sources)))
    assert {*used, *CERTIFICATES} - VARIABLES.keys() == set()


def test_the_supported_releases_are_those_that_are_tested() -> None:
    page = text("docs/editions.md")
    tested = re.findall(r"^LABEL_STUDIO\w*_VERSION := (.+)$", text("Makefile"), flags=re.MULTILINE)
    tested += re.findall(r"^prefect==(.+)$", text("constraints.txt"), flags=re.MULTILINE)
    assert len(tested) >= 2
    assert [version for version in tested if f"| {version} " not in page] == []


def test_every_column_of_its_own_is_explained() -> None:
    page = text("docs/columns.md")
    assert [name for name in OWN_COLUMNS if f"`{name}`" not in page] == []


def test_the_readme_shows_what_its_commands_print(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    readme = text("README.md")
    (folder / "sheet.csv").write_text(readme.split("```csv\n")[1].split("```")[0], encoding="utf-8")
    shown = [step for step in steps("README.md") if "--sandbox" in step[0] or step[0].startswith("cat")]
    assert len(shown) == 4
    for command, output in shown:
        printed = carried_out(command, output, capfd)
        assert sorted(unvarying(printed)) == sorted(unvarying(output)), command


def test_the_first_steps_print_what_they_are_shown_to_print(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shown = steps("docs/get-started.md", section="Try it without a Label Studio") + steps(
        "docs/command-line.md", section="Help"
    )
    assert [command.split()[:2] for command, _ in shown if command.startswith("stencil")] == [
        ["stencil", verb] for verb in ("init", "check", "plan", "create", "create", "plan", "--help")
    ]
    monkeypatch.setattr("sys.stdout", Terminal(sys.stdout))
    for command, output in shown:
        printed = carried_out(command, output, capfd)
        lines, wanted = unvarying(printed), unvarying(output)
        if command.endswith("--help"):
            # Python 3.13 indents it in another way.
            lines, wanted = " ".join(lines).split(), " ".join(wanted).split()
        # A table at a terminal fills its columns with blanks.
        assert [line.rstrip() for line in lines] == wanted, command


class Terminal:
    """Standard output as if it were a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, a sandbox of its own, and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "sandbox.sqlite3"))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path


def steps(page: str, *, section: str = "") -> list[tuple[str, str]]:
    """The commands of a page, each with the output that is shown."""
    part = text(page).partition(f"\n## {section}\n")[2].partition("\n## ")[0] if section else text(page)
    blocks = [block.split("```")[0] for block in part.split("```console\n")[1:]]
    found = [step.partition("\n") for block in blocks for step in f"\n{block}".split("\n$ ")[1:]]
    return [(command, output) for command, _, output in found]


def carried_out(command: str, output: str, capfd: pytest.CaptureFixture[str]) -> str:
    """What a command prints; a file that `cat` shows is made where it is not there."""
    words = shlex.split(command, comments=True)
    if words[0] == "cat":
        path = Path(words[1])
        if not path.exists():
            path.write_text(output.rstrip() + "\n", encoding="utf-8")
        return path.read_text(encoding="utf-8")
    with contextlib.suppress(SystemExit):
        main(words[1:])
    printed = capfd.readouterr()
    return printed.err + printed.out


def unvarying(output: str) -> list[str]:
    """The lines, without seconds and ports, which differ each time, and without bold letters."""
    return re.sub(r"\d+\.\d s|:\d{4,5}\b|\x1b\[[0-9;]*m", "", output).rstrip("\n").split("\n")
