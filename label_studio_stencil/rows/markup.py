"""Compares HTML instructions as Label Studio's cleaner leaves them, and converts Markdown to HTML.

Label Studio passes `expert_instruction` through an HTML cleaner (bleach in Community 1.23.2, measured). It closes tags, quotes
attributes, adds `tbody`, escapes loose `&`, `<` and `>` and every tag that it does not know, and drops comments and most
attributes. So the text that comes back differs, and means the same.
"""

import html
from html.parser import HTMLParser
from typing import NamedTuple

from markdown_it import MarkdownIt

#: Attributes that the cleaner keeps, and that change what people see.
_KEPT = frozenset({"alt", "class", "color", "colspan", "height", "href", "rowspan", "src", "title", "value", "width"})
#: Tags that the cleaner adds around others.
_ADDED = frozenset({"body", "head", "html", "tbody"})
_MARKDOWN = (".md", ".markdown")


class _Tag(NamedTuple):
    name: str
    attributes: dict[str, str]


class _Parts(HTMLParser):
    """The tags of a text, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[_Tag] = []
        self.texts: list[str] = [""]
        self.comments = False
        self.feed(text.replace("\r\n", "\n"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _ADDED:
            self.tags.append(_Tag(tag, {name: (value or "").strip() for name, value in attrs}))
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        self.texts[-1] += data

    def handle_comment(self, data: str) -> None:
        self.comments = True

    def seen(self) -> tuple[list[str], list[str]]:
        """Return the visible text and the names of the tags."""
        return [" ".join(text.split()) for text in self.texts], [tag.name for tag in self.tags]


def same_markup(wanted: str, actual: str) -> bool:
    """Whether two HTML texts look the same after Label Studio's cleaner."""
    # A tag that the cleaner does not know comes back as text.
    return any(_same(_Parts(read(wanted)), _Parts(read(actual))) for read in (str, html.unescape))


def _same(wanted: _Parts, actual: _Parts) -> bool:
    return wanted.seen() == actual.seen() and all(
        _same_tag(*pair) for pair in zip(wanted.tags, actual.tags, strict=True)
    )


def _same_tag(wanted: _Tag, actual: _Tag) -> bool:
    """Whether two tags have the same attributes, except those that the cleaner drops."""
    if any(wanted.attributes.get(name) != value for name, value in actual.attributes.items()):
        return False
    lost = wanted.attributes.keys() - actual.attributes.keys()
    return not any(name in _KEPT and not _is_script(wanted.attributes[name]) for name in lost)


def _is_script(value: str) -> bool:
    return value.lower().startswith(("javascript:", "data:", "vbscript:"))


def removed_by_cleaner(wanted: str, actual: str) -> list[str]:
    """The parts that Label Studio's cleaner removed from an HTML text, sorted: attributes, tags as `<tag>`, and `comments`."""
    before, after = _Parts(wanted), _Parts(actual)
    removed = {f"<{name}>" for name in {tag.name for tag in before.tags} - {tag.name for tag in after.tags}}
    given, kept = ({name for tag in parts.tags for name in tag.attributes} for parts in (before, after))
    return sorted(removed | (given - kept) | ({"comments"} if before.comments and not after.comments else set()))


def is_markdown(path: str) -> bool:
    """Whether the name of a file says that it is Markdown."""
    return path.strip().lower().partition("?")[0].endswith(_MARKDOWN)


def html_of_markdown(text: str) -> str:
    """Convert Markdown to HTML: CommonMark and tables; HTML within it is kept."""
    return str(MarkdownIt("commonmark").enable("table").render(text))
