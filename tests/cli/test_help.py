"""Help and completion."""

import argparse
import subprocess
from collections.abc import Iterator

import pytest

from label_studio_stencil.api import CreateOptions
from label_studio_stencil.cli.arguments import parser
from label_studio_stencil.version import __version__
from tests.cli.running import SECONDS, Stencil


@pytest.mark.parametrize("command", [[], ["template"], ["workspace"]], ids=["stencil", "template", "workspace"])
def test_a_command_alone_shows_what_there_is(stencil: Stencil, command: list[str]) -> None:
    done = stencil(*command)
    assert (done.code, done.stderr) == (0, "")
    assert f"usage: {' '.join(['stencil', *command])}" in done.stdout


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("stencil cr", "create"),
        ("stencil template e", "export"),
        ("stencil template export --j", "--json"),
        ("stencil plan sheet.csv --det", "--detailed-exitcode"),
        ("stencil create sheet.csv --mode ", "create update"),
        ("stencil create sheet.csv --project", ""),
        ("stencil create she", ""),
        ("stencil create template --long-titles c", "cut"),
    ],
)
def test_bash_completes_commands_options_and_choices(stencil: Stencil, typed: str, offered: str) -> None:
    words = typed.split(" ")
    program = stencil("completion").stdout + (
        f"\nCOMP_WORDS=({' '.join(word or chr(39) * 2 for word in words)}); COMP_CWORD={len(words) - 1}; _stencil"
        '; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert (done.stdout.strip(), done.stderr) == (offered, "")


def test_the_help_of_each_command_has_a_sentence_and_an_example(stencil: Stencil) -> None:
    def every(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
        for action in top._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    yield each
                    yield from every(each)

    for each in every(parser()):
        help_ = each.format_help()
        assert str(each.description).endswith("."), each.prog
        assert f"\nexample:\n  {each.prog}" in help_ or each.prog in (
            "stencil template",
            "stencil workspace",
            "stencil completion",
        ), help_
    assert stencil("--version").stdout == f"stencil {__version__}\n"


def test_every_option_of_a_batch_is_a_flag_with_its_description(stencil: Stencil) -> None:
    told = "".join(stencil("create", "--help").stdout.split())
    for name, field in CreateOptions.model_fields.items():
        if name not in ("url", "token", "headers", "fail_when"):
            assert f"--{name.replace('_', '-')}" in told
            words = str(field.description).removesuffix(".")
            # As argparse writes its own.
            assert "".join(f"{words[0].lower()}{words[1:]}".split()) in told
