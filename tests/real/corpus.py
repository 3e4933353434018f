"""Labelling configurations that the package `label-studio` ships, and what becomes of them by small changes."""

import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_TAG = re.compile(r"<(/?)View\b[^<>]*?(/?)>")
#: As long as no configuration of the package is.
_LONGEST = 20_000


def shipped(package: Path) -> list[str]:
    """The configurations in the tests of the package, each once."""
    files = (path for ending in ("py", "yml", "xml", "json") for path in package.glob(f"tests/**/*.{ending}"))
    found = (
        config for path in sorted(files) for config in _configs(path.read_text(encoding="utf-8", errors="replace"))
    )
    return list(dict.fromkeys(found))


def _configs(text: str) -> Iterator[str]:
    end = 0
    for opening in _TAG.finditer(text):
        if opening.start() < end or opening[1]:
            continue
        depth = 0
        for tag in _TAG.finditer(text, opening.start(), opening.start() + _LONGEST):
            depth += 0 if tag[2] else -1 if tag[1] else 1
            if depth == 0:
                end = tag.end()
                yield text[opening.start() : end].replace('\\"', '"').replace("\\n", "\n")
                break


def _drop_attribute(text: str, chance: random.Random) -> str:
    return _once(r'\s[\w-]+="[^"]*"', lambda _: "", text, chance)


def _empty_attribute(text: str, chance: random.Random) -> str:
    return _once(r'(\s[\w-]+=)"[^"]*"', lambda found: f'{found[1]}""', text, chance)


def _number_for_text(text: str, chance: random.Random) -> str:
    return _once(r'(\s[\w-]+=)"[^"]*"', lambda found: f'{found[1]}"{chance.choice((7, 0.5, True))}"', text, chance)


def _other_name(text: str, chance: random.Random) -> str:
    return _once(r'(\s(?:name|toName)=)"([^"]*)"', lambda found: f'{found[1]}"{found[2]}2"', text, chance)


def _two_targets(text: str, chance: random.Random) -> str:
    return _once(r'(\stoName=)"([^"]*)"', lambda found: f'{found[1]}"{found[2]},other"', text, chance)


def _small_letters(text: str, chance: random.Random) -> str:
    return _once(r'(\s)([\w-]+)(="[^"]*")', lambda found: f"{found[1]}{found[2].lower()}{found[3]}", text, chance)


def _list_for_value(text: str, chance: random.Random) -> str:
    return _once(r'\svalue="', lambda _: ' valueList="', text, chance)


def _no_children(text: str, chance: random.Random) -> str:
    return _once(r"<(\w+)([^<>]*[^/<>])>.*?</\1>", lambda found: f"<{found[1]}{found[2]}/>", text, chance)


def _twice(text: str, chance: random.Random) -> str:
    return _once(r"<\w+[^<>]*/>", lambda found: found[0] * 2, text, chance)


def _gone(text: str, chance: random.Random) -> str:
    return _once(r"<\w+[^<>]*/>", lambda _: "", text, chance)


def _text_inside(text: str, chance: random.Random) -> str:
    words = (
        "5",
        "true",
        "words",
        "&amp;",
        "&nbsp;",
        "<!-- note -->",
        '[name="label"]',
        "<![CDATA[<b>]]>",
        "<x:y/>",
        "<?php?>",
    )
    return _once(r"<\w+[^<>]*[^/<>]>", lambda found: found[0] + chance.choice(words), text, chance)


def _other_tag(text: str, chance: random.Random) -> str:
    tags = (
        "Choices",
        "Labels",
        "RectangleLabels",
        "TextArea",
        "Number",
        "Rating",
        "Video",
        "Text",
        "HyperText",
        "Taxonomy",
    )
    name = chance.choice(tags)
    return _once(r"<(\w+)\b([^<>]*)/>", lambda found: f"<{name}{found[2]}/>", text, chance)


def _setting(text: str, chance: random.Random) -> str:
    settings = (
        'perRegion="true"', 'perItem="true" value="$x"', 'perRegion="true" whenTagName="label"',
        'whenLabelValue="A" perRegion="true"', 'apiUrl="http://127.0.0.1/"', 'indexFlag="{{idx}}"',
        'defaultPlaybackSpeed="15"', 'minPlaybackSpeed="fast"', 'alias="short"', 'className="a"', 'filename="label"',
        "hotkey='1'", 'a="1" a="2"', "b=c",
    )  # fmt: skip
    return _once(r"(<\w+)\b", lambda found: f"{found[1]} {chance.choice(settings)}", text, chance)


def _in_a_view(text: str, _: random.Random) -> str:
    return f"<View>{text}</View>"


def _cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text))]


def _declared(text: str, chance: random.Random) -> str:
    return (
        chance.choice(('<?xml version="1.0"?>', '<?xml version="1.0" encoding="utf-8"?>', "<!DOCTYPE View>", "\ufeff"))
        + text
    )


CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _drop_attribute, _empty_attribute, _number_for_text, _other_name, _two_targets, _small_letters, _list_for_value,
    _no_children, _twice, _gone, _text_inside, _other_tag, _setting, _in_a_view, _cut, _declared,
)  # fmt: skip


def changed(configs: Iterable[str], number: int, seed: int) -> list[str]:
    """So many configurations that differ from these by one or two changes, the same ones for a seed."""
    chance, known = random.Random(seed), list(configs)
    found: dict[str, None] = {}
    while len(found) < number:
        text = chance.choice(known)
        for change in chance.sample(CHANGES, chance.choice((1, 1, 2))):
            text = change(text, chance) if text else text
        if text not in known:
            found[text] = None
    return list(found)


def _once(pattern: str, replace: Callable[[re.Match[str]], str], text: str, chance: random.Random) -> str:
    """The text with one of the places changed that the pattern finds."""
    places = list(re.finditer(pattern, text, re.DOTALL))
    if not places:
        return text
    place = chance.choice(places)
    return text[: place.start()] + replace(place) + text[place.end() :]
