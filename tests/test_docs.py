"""The documentation names what there is, and its links lead somewhere."""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_stencil.cli import main
from label_studio_stencil.cli.arguments import parser
from label_studio_stencil.labelstudio.environment import CERTIFICATES, HEADERS_VARIABLE
from label_studio_stencil.report.outcomes import Outcome

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def commands(top: argparse.ArgumentParser, name: str = "stencil") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, each in action.choices.items():
                yield from commands(each, f"{name} {verb}")
            return
    yield name, top


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
    assert [
        page.name for page in ROOT.glob("docs/*.md") if page.name != "README.md" and f"({page.name})" not in index
    ] == []


def test_every_command_and_option_is_on_the_page_of_the_command_line() -> None:
    page = text("docs/command-line.md")
    missing = []
    for name, each in commands(parser()):
        verb = name.split()[-1]
        missing += [name] if f"`{verb}" not in page and f"`stencil {name.split()[1]}" not in page else []
        options = {option for action in each._actions for option in action.option_strings if option.startswith("--")}
        missing += [f"{name} {option}" for option in sorted(options - {"--help"}) if option not in page]
    # Those of single template commands are on the page of templates.
    elsewhere = text("docs/templates.md")
    assert [each for each in missing if each.split()[-1] not in elsewhere] == []


def test_every_variable_of_the_environment_is_on_the_page_of_the_command_line() -> None:
    page = text("docs/command-line.md")
    used = set(
        re.findall(
            r'"((?:STENCIL|LABEL_STUDIO)_[A-Z_]+)"',
            "".join(path.read_text(encoding="utf-8") for path in (ROOT / "label_studio_stencil").rglob("*.py")),
        )
    )
    assert {*used, *CERTIFICATES, HEADERS_VARIABLE} <= set(re.findall(r"`([A-Z_]+)`", page))


def test_every_outcome_is_explained() -> None:
    page = text("docs/results.md")
    assert [outcome for outcome in Outcome if f"| `{outcome}` |" not in page] == []


def test_the_readme_shows_what_its_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    readme = text("README.md")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENCIL_SANDBOX_DATA", str(tmp_path / "sandbox.sqlite3"))
    (tmp_path / "sheet.csv").write_text(readme.split("```csv\n")[1].split("```")[0], encoding="utf-8")
    (tmp_path / "wrong.csv").write_text(readme.split("$ cat wrong.csv\n")[1].split("$")[0], encoding="utf-8")
    blocks = [block.split("```")[0] for block in readme.split("```console\n")[1:3]]
    shown = [step.partition("\n") for block in blocks for step in block.split("$ ")[1:] if step.startswith("stencil ")]
    assert len(shown) == 3
    for command, _, output in shown:
        main(command.split()[1:])
        printed = capfd.readouterr()
        assert sorted(unvarying(printed.err + printed.out)) == sorted(unvarying(output))


def unvarying(output: str) -> list[str]:
    """The lines, without seconds and ports, which differ each time."""
    return re.sub(r"\d+\.\d s|:\d{4,5}\b", "", output).split("\n")
