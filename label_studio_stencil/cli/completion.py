"""Completes the command line in bash, with a script that knows all words: it starts no Python at each press of the tab key."""

import argparse
from collections.abc import Iterator

_SCRIPT = """\
_stencil() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" number
  for ((number = 1; number < COMP_CWORD; number++)); do
    case "$command ${{COMP_WORDS[number]}}" in
      {commands}) command="$command ${{COMP_WORDS[number]}}" ;;
    esac
  done
  case "$command $previous" in
{choices}
    *)
      case "$command" in
{words}
      esac
      # Names of files, where neither a command nor an option begins.
      [[ $current == -* || $words != -* ]] || words=""
      ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _stencil stencil"""


def bash_completion(parser: argparse.ArgumentParser) -> str:
    """The script for a parser, its commands included."""
    found = list(_commands(parser))
    names = [f'"{name}"' for name, _ in found if name]
    words = [f'        "{name}") words="{" ".join(_words(each))}" ;;' for name, each in found]
    choices = [
        f'    "{name} {option}") words="{" ".join(map(str, action.choices))}" ;;'
        for name, each in found
        for action in each._actions
        if action.choices and action.option_strings
        for option in action.option_strings
    ]
    return _SCRIPT.format(commands="|".join(names), choices="\n".join(choices), words="\n".join(words))


def _commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield name, parser
    for verb, each in _verbs(parser).items():
        yield from _commands(each, f"{name} {verb}")


def _verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    groups = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return {verb: each for group in groups for verb, each in group.choices.items()}


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """The commands of a group, else the options of a command."""
    options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
    return [*_verbs(parser), *options]
