"""Instructions in HTML, as the real server's cleaner leaves them (bleach 6.4 in Community 1.23.2, measured)."""

from html import escape
from html.parser import HTMLParser

#: Tags that are kept; others are shown as text.
_TAG_NAMES = """
    a abbr address area article aside audio b base bdi bdo blockquote body br button canvas caption cite code col
    colgroup data datalist dd del details dfn dialog div dl dt em embed fieldset figcaption figure footer form h1 h2
    h3 h4 h5 h6 head header hr html i iframe img input ins kbd label legend li link main map mark math menu meta
    meter nav noscript object ol optgroup option output p picture portal pre progress q rp rt ruby s samp script
    section select slot small source span strong style sub summary sup svg table tbody td template textarea tfoot th
    thead time title tr track u ul var video wbr
    """
#: Attributes that are kept; others are removed.
_ATTRIBUTE_NAMES = """
    align alink alt bgcolor border cellpadding cellspacing class color cols colspan coords dir face height href
    hspace ismap lang marginheight marginwidth multiple name nohref noresize noshade nowrap ref rel rev rows rowspan
    scrolling shape span src summary tabindex title type usemap valign value vlink vspace width
    """
#: Tags without an end tag.
_VOID_NAMES = "area base br col embed hr img input link meta source track wbr"
_TAGS, _ATTRIBUTES, _VOID = (frozenset(names.split()) for names in (_TAG_NAMES, _ATTRIBUTE_NAMES, _VOID_NAMES))
#: What a link may start with, where it names a protocol at all.
_PROTOCOLS = ("http:", "https:", "mailto:")


def cleaned(text: str) -> str:
    """The HTML as the server stores it."""
    cleaner = _Cleaner()
    cleaner.feed(text.replace("\r\n", "\n"))
    cleaner.close()
    return cleaner.text()


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self._parts: list[str] = []
        self._open: list[str] = []

    def text(self) -> str:
        return "".join([*self._parts, *(f"</{tag}>" for tag in reversed(self._open))])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _TAGS:
            self._parts.append(escape(self.get_starttag_text() or "", quote=False))
            return
        if tag in ("li", "p") and self._open[-1:] == [tag]:
            self._close(tag)
        if tag == "tr" and self._open[-1:] == ["table"]:
            self._start("tbody", [])
        self._start(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _TAGS:
            self._parts.append(f"&lt;/{tag}&gt;")
        elif tag in self._open:
            self._close(tag)

    def handle_data(self, data: str) -> None:
        self._parts.append(escape(data, quote=False))

    def handle_entityref(self, name: str) -> None:
        self._parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._parts.append(f"&#{name};")

    def _start(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kept = [(name, value or "") for name, value in attrs if name in _ATTRIBUTES and _is_safe(name, value or "")]
        shown = "".join(f' {name}="{escape(value)}"' for name, value in kept)
        self._parts.append(f"<{tag}{shown}>")
        if tag not in _VOID:
            self._open.append(tag)

    def _close(self, tag: str) -> None:
        while True:
            last = self._open.pop()
            self._parts.append(f"</{last}>")
            if last == tag:
                return


def _is_safe(name: str, value: str) -> bool:
    start, colon, _ = value.strip().partition(":")
    named = bool(colon) and start.isalnum()
    return name not in ("href", "src") or not named or f"{start.lower()}:" in _PROTOCOLS
