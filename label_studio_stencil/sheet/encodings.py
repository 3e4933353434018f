"""Finds the encoding of a text file: proven by its bytes, named by the user, or Windows-1252 if its words leave no doubt.

A byte order mark, UTF-8, UTF-16 and UTF-32 are recognised with certainty. The old single-byte encodings are not: most files can
be read in most of them, and only people see which reading is right. Only Windows-1252 is ever assumed, which Excel in Western
Europe writes, and a note says so. Any other file is rejected with the likely encodings and their readings of the text.
"""

import codecs
import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from label_studio_stencil.problems import shown
from label_studio_stencil.sheet.model import SheetUnreadable


class Decoded(NamedTuple):
    """The text of a file, and notes on how it was decoded."""

    text: str
    notes: tuple[str, ...] = ()


_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    # Before UTF-16: its mark begins with the same two bytes.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITHOUT_MARK = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
#: A multi-byte character in UTF-8, which hardly ever occurs in text of another encoding.
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_XML_ENCODING = re.compile(rb"""\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z][\w.-]*)["']""")
#: Bytes of a file that are examined to distinguish encodings.
_SAMPLE = 200_000


def decoded(content: bytes, encoding: str = "") -> Decoded:
    """The text of a file.

    Args:
        content: The whole file.
        encoding: Its encoding, by any name that Python knows; empty detects it.

    Raises:
        SheetUnreadable: The encoding is unknown, doesn't fit the content, or can't be detected.
    """
    marked = _marked(content)
    if encoding.strip():
        return Decoded(_named(content, encoding.strip(), marked))
    found = marked or _unmarked(content) or "utf-8"
    try:
        return Decoded(content.decode(found).removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        place = _place(content, error.start) if found == "utf-8" else f"byte {error.start + 1:,}"
        if found != "utf-8" or marked:
            raise SheetUnreadable(
                f"The text starts as {found.upper()}, but is invalid at {place}.", hint="Save it again."
            ) from None
    if _is_broken_utf8(content):
        # One bad byte must not turn all other letters into `Ã¼`.
        raise SheetUnreadable(
            f"The text is UTF-8 with a broken letter at {place}.",
            hint="Save it as UTF-8 again, or name its encoding: `encoding=NAME`.",
        )
    text = _western(content)
    if text is None or (_is_thin(text) and _reads_otherwise(content)):
        raise _which(content, place)
    title = _first_title(text)
    note = "The text is not UTF-8, and was read as Windows-1252, which Excel in Western Europe writes"
    note += f": {title}." if title else "."
    return Decoded(text, (f"{note} If that is wrong, name its encoding: `encoding=NAME`.",))


def text_of(content: bytes) -> str:
    """The text of a file that is no sheet: UTF-8, or the encoding that its byte order mark or its XML declaration names.

    Raises:
        UnicodeDecodeError: The content is something else.
    """
    marked = _marked(content)
    try:
        return content.decode(marked or _unmarked(content) or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        declared = _XML_ENCODING.match(content)
        if marked or declared is None:
            raise
        with suppress(SheetUnreadable):
            return _named(content, declared[1].decode("ascii"), "")
        raise


def _marked(content: bytes) -> str:
    return next((name for mark, name in _BOMS if content.startswith(mark)), "")


def _named(content: bytes, encoding: str, marked: str) -> str:
    try:
        info = codecs.lookup(encoding)
        name = info.name.replace("_", "-")
        # Codecs such as `hex` are not text encodings; only this attribute distinguishes them.
        known = info._is_text_encoding and name not in ("idna", "punycode", "unicode-escape", "raw-unicode-escape")
    except (LookupError, ValueError):
        known = False
    if not known:
        raise SheetUnreadable(
            f"There is no encoding {shown(encoding)!r}.",
            hint="Some are utf-8, utf-16, windows-1252, windows-1251, shift_jis, gb18030.",
        )
    if marked and not name.startswith(marked):
        raise SheetUnreadable(f"The text starts with the mark of {marked.upper()}, so it is not {encoding}.")
    try:
        return content.decode(marked or name).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise SheetUnreadable(
            f"The text is not {encoding}: it has invalid bytes at {_place(content, error.start)}."
        ) from None


def _place(content: bytes, at: int) -> str:
    line = content.count(b"\n", 0, at) + 1
    return f"line {line:,}"


def _unmarked(content: bytes) -> str:
    """UTF-16 or UTF-32 without a byte order mark, if one of them makes text of bytes that hold NUL."""
    sample = content[:4000]
    if b"\0" not in sample:
        return ""
    for encoding in _WITHOUT_MARK:
        width = 4 if "32" in encoding else 2
        try:
            text = sample[: len(sample) // width * width].decode(encoding)
        except UnicodeDecodeError as error:
            # The sample may end within a surrogate pair.
            if error.reason != "unexpected end of data":
                continue
            text = sample[: error.start].decode(encoding)
        if text and all(_is_text(letter) for letter in text) and any(letter in "\r\n,;\t|{" for letter in text):
            return encoding
    return ""


def _is_text(letter: str) -> bool:
    return letter in "\t\r\n\x0b\x0c" or unicodedata.category(letter) not in ("Cc", "Cn", "Co", "Cs")


def _is_broken_utf8(content: bytes) -> bool:
    """Whether most bytes beyond ASCII are valid UTF-8."""
    first = _BEYOND_ASCII.search(content)
    sample = content[first.start() if first else 0 :][:_SAMPLE]
    letters = _MULTIBYTE.findall(sample)
    rest = len(_BEYOND_ASCII.findall(sample)) - sum(map(len, letters))
    return len(letters) >= rest


# Windows-1252.

#: Python counts small digits and fractions as letters.
_WORD = re.compile(r"[^\W\d_²³¹¼½¾ªº]+(?:['’\-][^\W\d_²³¹¼½¾ªº]+)*")

#: Letters beyond ASCII of languages that use Windows-1252. Icelandic is left out, because Turkish uses the same bytes and has
#: many more writers.
_ALPHABETS = tuple(
    frozenset(letters)
    for letters in (
        "äöüßé",  # German, Swedish, Finnish, Estonian without õ
        "àâæçéèêëîïôœùûüÿ",  # French
        "áéíóúüñç",  # Spanish, Irish
        "áàâãçéêíóôõúü",  # Portuguese
        "àèéìíîòóùú",  # Italian
        "áàäâéèëêíìïîóòöôúùüû",  # Dutch
        "æøåéèêóòôü",  # Danish, Norwegian
        "åäöéüàè",  # Swedish, Finnish
        "àçéèíïóòúü",  # Catalan
        "äöõü",  # Estonian
    )
)
#: Places where these letters never occur in those languages, but do in Czech, Polish, Hungarian, Romanian, Croatian or Baltic
#: words whose letters have the same bytes.
_NEVER = re.compile(
    "|".join(
        (
            r"[èò][aeiouyàâäáéèêëíìîïóòôöúùûü]",  # Czech č, ň
            r"[ae]è",
            r"[ìù]\w",  # Czech ě, ů
            r"[aeiouy]æ",  # Croatian, Polish ć
            r"œ(?!u|d|s|t|cu|no)",  # Polish ś
            r"ã(?![oesi]|$)",  # Romanian ă
            r"õ$|õ(?!e).*[áâãçéêíóôú]|[áâãçéêíóôú].*õ(?!e)",  # Hungarian ő
            r"ñ(?![aeiouyáéíóú])",  # Polish ń
            r"j[ûâçêî]|[ûâêî]j|êz",  # Hungarian ű, Polish ę
            r"ç[bdfghjklmnpqrstvwxz]",  # Latvian ē
            r"^[ïÿ]|aá",  # Slovak ď; ß of DOS
        )
    )
)
#: Two adjacent letters beyond ASCII; hardly any word of those languages has other pairs.
_PAIR = re.compile(r"[àáâãäåæçèéêëìíîïñòóôõöøùúûüÿœ](?=[àáâãäåæçèéêëìíîïñòóôõöøùúûüÿœß])")
_PAIRS = re.compile(r"[äöåü]ß|[äöå]{2}|üü|õõ|[æøå]{2}|éé|ç[aãáàâeéèêiíoõóôuúûü]|éç|ü[éíáó]|[éè]ï|é[âê]|ïé|ñ[áéíóú]")
_MARKS = frozenset("‚„“”‘’«»‹›–—…•·€£§°©®™²³½¼¾¿¡×÷µ´`¨\u00a0\u00ad")
#: Signs that occur between letters in no Western word, but in misread Polish or Turkish.
_WITHIN = re.compile(r"[^\W\d_](?:[“”«»‹›–—…•€£§°©®™²³½¼¾¿¡×÷µ¨][^\W\d_]|[‚„])|[©®™²³][^\W\d_]|(?<!m)[²³]|[ºª]")
_ORDINAL = re.compile(r"(?<=[0-9nN])[ºª]")


def _western(content: bytes) -> str | None:
    """The text as Windows-1252, if every word beyond ASCII can belong to a Western European language."""
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    lines = (line for line in text.splitlines() if not line.isascii())
    return text if all(map(_is_western, lines)) else None


#: Fewest letters, in all words beyond ASCII, that prove the encoding: one in ten Polish, Czech and Hungarian words passes, and
#: most of those are short.
_ENOUGH_LETTERS = 6


def _is_thin(text: str) -> bool:
    """Whether only one short word indicates the encoding."""
    found: set[str] = set()
    for word in _WORD.finditer(text):
        if not word[0].isascii():
            found.add(word[0])
            if sum(map(len, found)) >= _ENOUGH_LETTERS:
                return False
    return bool(found)


def _is_western(line: str) -> bool:
    plain = _ORDINAL.sub("", line)
    if _WITHIN.search(plain):
        return False
    if any(not (letter.isascii() or letter.isalpha() or letter in _MARKS) for letter in plain):
        return False
    return all(_is_western_word(word[0]) for word in _WORD.finditer(plain) if not word[0].isascii())


def _is_western_word(word: str) -> bool:
    beyond = "".join(letter for letter in word if not letter.isascii() and letter != "’")
    if not _has_natural_case(word):
        return False
    small = word.lower()
    if not any(alphabet.issuperset(beyond.lower()) for alphabet in _ALPHABETS) or _NEVER.search(small):
        return False
    return all(_PAIRS.match(small, pair.start()) for pair in _PAIR.finditer(small))


# Likely encodings, for people to choose from.


def _is_letter_of(*ranges: tuple[str, str]) -> Callable[[str], bool]:
    return lambda letter: any(first <= letter <= last for first, last in ranges)


def _is_common(encoding: str, first: int, last: int) -> Callable[[str], bool]:
    """Whether a character is a common one, which come first in the standards of East Asia."""

    def common(letter: str) -> bool:
        try:
            found = letter.encode(encoding)
        except UnicodeEncodeError:
            return False
        return len(found) > 1 and first <= found[0] <= last

    return common


_CYRILLIC = _is_letter_of(
    ("А", "я"), ("Ё", "Ё"), ("ё", "ё"), ("Є", "Ї"), ("є", "ї"), ("Ґ", "ґ"), ("Ў", "Ў"), ("ў", "ў")
)
_KANA = _is_letter_of(("ぁ", "ん"), ("ァ", "ー"))
_KANJI = _is_common("shift_jis", 0x88, 0x97)


def _set(letters: str) -> Callable[[str], bool]:
    known = frozenset(letters + letters.upper())
    return lambda letter: letter in known


#: Encoding, the languages that use it, and the letters of their texts.
_CANDIDATES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("windows-1252", "Western Europe", _set("àáâãäåæçèéêëìíîïñòóôõöøùúûüýðþœ")),
    ("windows-1250", "Central Europe", _set("áâäčćçďéěęëíîĺľłńňóôőöŕřśšşťţúůűüýźžżąăđß")),
    ("windows-1251", "Cyrillic", _CYRILLIC),
    ("windows-1254", "Turkish", _set("çğıiöşüâîûİ")),
    ("windows-1257", "Baltic", _set("āąčćēėęģīįķļłńņóōõöšūųüźžżä")),
    ("windows-1253", "Greek", _is_letter_of(("Ά", "ώ"))),
    ("windows-1255", "Hebrew", _is_letter_of(("א", "ת"))),
    ("windows-1256", "Arabic", _is_letter_of(("ء", "ي"), ("گ", "گ"), ("پ", "پ"), ("چ", "چ"))),
    ("windows-874", "Thai", _is_letter_of(("ก", "ฺ"), ("เ", "๎"))),
    ("shift_jis", "Japanese", lambda letter: _KANA(letter) or _KANJI(letter)),
    ("euc_jp", "Japanese", lambda letter: _KANA(letter) or _KANJI(letter)),
    ("gb18030", "Simplified Chinese", _is_common("gb2312", 0xB0, 0xD7)),
    ("big5", "Traditional Chinese", _is_common("big5", 0xA4, 0xC5)),
    ("cp949", "Korean", _is_common("euc_kr", 0xB0, 0xC8)),
    ("koi8-r", "Cyrillic", _CYRILLIC),
    ("mac_roman", "old Mac", _set("àáâãäåæçèéêëìíîïñòóôõöøùúûüßœ")),
    ("cp850", "DOS", _set("àáâãäåæçèéêëìíîïñòóôõöøùúûüß")),
    ("cp866", "DOS, Cyrillic", _CYRILLIC),
    ("cp852", "DOS, Central Europe", _set("áâäčćçďéěęëíîľłńňóôőöřśšşťţúůűüýźžżąăđß")),
)


def _rarity(name: str, text: str) -> float:
    """Reasons that make a reading less likely."""
    if name == "windows-1252":
        # Word by word, because a word may belong to no Western language.
        return 1.0 if all(map(_is_western, text.splitlines())) else 0.6
    if name in ("shift_jis", "euc_jp"):
        return 1.0 if any(map(_KANA, text)) else 0.8
    return 0.9 if name.startswith("cp8") or name == "windows-874" else 1.0


_LATIN = ("windows-1252", "windows-1250", "windows-1254", "windows-1257", "mac_roman", "cp850", "cp852")
#: Python has other names for these.
_CODECS = {"windows-874": "cp874", "shift_jis": "cp932"}
#: Candidates to show, the share of letters above which one is shown, and from which one is as likely as Windows-1252.
_MOST_CANDIDATES, _LIKELY, _AS_LIKELY = 4, 0.4, 0.8
#: Encodings of DOS and old Macs, in which typographic quotes are letters.
_OF_OLD = ("cp8", "mac")


class _Reading(NamedTuple):
    """The reading of a text in an encoding, and its likelihood from 0 to 1."""

    likely: float
    encoding: str
    whose: str
    text: str


def _readings(content: bytes) -> list[_Reading]:
    """The possible readings of the start of a text, the likeliest first."""
    sample = content if len(content) <= _SAMPLE else content[:_SAMPLE].rpartition(b"\n")[0]
    readings = []
    for name, whose, is_letter in _CANDIDATES:
        try:
            text = sample.decode(_CODECS.get(name, name))
        except UnicodeDecodeError:
            continue
        if not _NO_TEXT.search(text):
            likely = _likelihood(text, is_letter, latin=name in _LATIN) * _rarity(name, text)
            readings.append(_Reading(likely, name, whose, text))
    return sorted(readings, key=lambda reading: -reading.likely)


def _reads_otherwise(content: bytes) -> bool:
    """Whether a text that can be Windows-1252 reads as well in another encoding that is in use today."""
    readings = _readings(content)
    western = [reading.text for reading in readings if reading.encoding == "windows-1252"]
    return any(
        reading.likely >= _AS_LIKELY and reading.text not in western
        for reading in readings
        if not reading.encoding.startswith(_OF_OLD)
    )


def _which(content: bytes, place: str) -> SheetUnreadable:
    """The error that asks for the encoding, with likely ones and their readings of a title that shows the difference."""
    best = [reading for reading in _readings(content) if reading.likely > _LIKELY][:_MOST_CANDIDATES]
    if not best:
        return SheetUnreadable(
            f"The text is not UTF-8, see {place}, and nothing shows its encoding.",
            hint="Save it as UTF-8, or name its encoding: `encoding=NAME`.",
        )
    told = "; ".join(
        f"{each.encoding} ({each.whose})" + (f" reads {title}" if (title := _first_title(each.text)) else "")
        for each in best
    )
    return SheetUnreadable(
        f"The text is not UTF-8, see {place}, and its encoding is not certain: {told}.",
        hint=f'Save it as UTF-8, or name its encoding, for example `encoding="{best[0].encoding}"`.',
    )


def _likelihood(text: str, is_letter: Callable[[str], bool], *, latin: bool) -> float:
    """The share of characters beyond ASCII that are everyday letters of the encoding, in words as people write them."""
    beyond = sum(not letter.isascii() and letter not in _QUOTES for letter in text)
    words = [word[0] for word in _LETTERS.finditer(text) if not word[0].isascii() and _has_natural_case(word[0])]
    good = 0.0
    for word in words:
        own = sum(is_letter(letter) for letter in word if not letter.isascii())
        plain = sum(map(str.isascii, word))
        # Two alphabets in one word, and Latin words of rare letters only, are misreadings.
        good += own if (plain * 2 >= own if latin else not plain) else own / 2
    return good / beyond if beyond else 0.0


#: Signs of a misreading: control characters, boxes and blocks, and letters of no alphabet in use.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u2500-\u25ff\ue000-\uf8ff]")
_QUOTES = frozenset("“”„‘’–—…€\u00a0")
#: Letters, and the vowels of Thai, which are marks above and below.
_LETTERS = re.compile("(?:[^\\W\\d_]|[\u0e00-\u0e7f])+")


def _has_natural_case(word: str) -> bool:
    """Whether a capital beyond ASCII is at the start, or all letters are capitals: misread alphabets swap cases."""
    return word.isupper() or not any(
        letter.isupper() and not letter.isascii() and before.isalpha() for before, letter in pairwise(word)
    )


def _first_title(text: str) -> str:
    """The first title that shows the encoding, quoted; empty if there is none, since the file may not be a sheet."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    # The most frequent separator of the first line is good enough to find one cell.
    separator = max(",;\t|", key=lines[0].count)
    header, *rows = ([cell.strip(' "') for cell in line.split(separator)] for line in lines)
    column = next((place for place, name in enumerate(header) if name.casefold() == "title"), len(header))
    found = next((row[column] for row in rows if column < len(row) and not row[column].isascii()), "")
    return repr(shown(found)) if found else ""
