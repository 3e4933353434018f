"""Which encoding a sheet of text has: proven, named, plain to see, or asked for."""

import codecs

import pytest

from label_studio_stencil.sheet.encodings import text_of
from label_studio_stencil.sheet.model import Sheet, SheetUnreadable
from label_studio_stencil.sheet.sources import read_sheet

#: What people in the languages of Windows-1252 write: words whose letters are also those of other encodings' words.
WESTERN = (
    "Müller Größe Straße süß Grüße ÜBERSICHT Ärger Höhenänderung „Test“ §5 20°C 5€ grün-weiß Café",
    "été où ça île âgé Été réélu agréé naïveté maïs Noël canoë inouï déçu reçût cœur Œuvre œnologie l’été août château poème",
    "año averigüé lingüística opinión Ñandú ¿Qué? ¡Hola! corazón Peñón",
    "avaliação ações põe mãe órgão bênção maçã irmãs Atlântico à AVALIAÇÃO três",
    "è È così lunedì più perché qualità però virtù città",
    "coëfficiënt reünie ideeën façade België",
    "Æble Ørsted miljøåbning på træ færøerne København Århus målinger",
    "miljöåtgärd Göteborg hjälp på ÅÄÖ hyvää yötä pöytä Jyväskylä",
    "història ciència què Barça Õpilane sõna põhja",
    "naïve résumé “quoted” it’s – dash … £5 ©2024 ™ 12 m² Nº 3",
)
#: Encoding, and a title that is written in it.
OTHERS = (
    ("windows-1250", "kontrola kvality příjem"),
    ("windows-1250", "Účet číslo"),
    ("windows-1250", "Zażółć gęślą jaźń"),
    ("windows-1250", "Vélemények gyűjtése"),
    ("windows-1250", "Păreri"),
    ("windows-1251", "Отзывы клиентов"),
    ("windows-1251", "Договоры"),
    ("windows-1253", "Κριτικές πελατών"),
    ("windows-1254", "Müşteri görüşleri"),
    ("windows-1254", "Değerlendirme"),
    ("windows-1255", "ביקורות"),
    ("windows-1256", "مراجعات"),
    ("windows-1257", "Užsakymų sąrašas"),
    ("shift_jis", "レビュー"),
    ("euc_jp", "テスト評価"),
    ("gb18030", "客户评论"),
    ("big5", "客戶評論"),
    ("cp949", "고객 평가"),
    ("koi8-r", "Отзывы"),
    ("cp866", "Отзывы"),
    ("mac_roman", "Größe München"),
    ("cp850", "Größe München"),
)


def only_title(sheet: Sheet) -> object:
    [row] = sheet.rows
    return row.cells["title"]


@pytest.mark.parametrize("word", [word for line in WESTERN for word in line.split() if not word.isascii()])
def test_a_western_word_is_read_as_windows_1252_with_a_note_that_shows_it(word: str) -> None:
    sheet = read_sheet(f"title,_n\nReview {word},x\nÜbersicht,y\n".encode("cp1252"))
    assert sheet.rows[0].cells["title"] == f"Review {word}"
    [note] = sheet.notes
    assert "Windows-1252" in note
    assert "`encoding=NAME`" in note
    assert word in note


@pytest.mark.parametrize(("encoding", "title"), OTHERS, ids=lambda text: ascii(text)[:20])
def test_what_may_be_another_encoding_is_refused_with_the_likely_ones_and_how_they_read(
    encoding: str, title: str
) -> None:
    content = f"_n;title;_m\n1;plain;2\n3;{title};4\n".encode(encoding)
    with pytest.raises(SheetUnreadable, match="not UTF-8, see line 3") as caught:
        read_sheet(content, name="x.csv")
    assert f"{encoding} (" in str(caught.value)
    assert f"reads {title!r}" in str(caught.value)
    assert only_title(read_sheet(content.replace(b"1;plain;2\n", b""), encoding=encoding)) == title


@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("windows-1252", "où"),
        ("windows-1252", "på"),
        ("windows-1252", "Señor"),
        ("windows-1250", "loď"),
        ("windows-1250", "tűz"),
        ("windows-1250", "bună"),
        ("windows-1251", "и"),
        ("windows-1253", "η"),
        ("windows-1255", "א"),
        ("windows-1257", "gerą"),
        ("shift_jis", "日本"),
        ("gb18030", "客户"),
    ],
)
def test_one_short_word_that_several_encodings_have_is_asked_about(encoding: str, word: str) -> None:
    content = f"title,_n\nTest {word},x\nTest {word} again,y\n".encode(encoding)
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet(content)
    assert f"{encoding} (" in str(caught.value)
    assert f"reads 'Test {word}'" in str(caught.value)
    assert read_sheet(content, encoding=encoding).rows[0].cells["title"] == f"Test {word}"


@pytest.mark.parametrize("title", ["Bär", "Café", "5 €", "20°C", "it’s", "München", "avaliação"])
def test_what_reads_alike_in_all_likely_encodings_or_is_no_short_word_is_read_with_a_note(title: str) -> None:
    sheet = read_sheet(f"title,_n\n{title},x\n".encode("cp1252"))
    assert (only_title(sheet), len(sheet.notes)) == (title, 1)


def test_a_named_encoding_is_taken_without_a_note() -> None:
    sheet = read_sheet("title\nÞórður\n".encode("cp1252"), encoding="Windows-1252")
    assert (only_title(sheet), sheet.notes) == ("Þórður", [])


@pytest.mark.parametrize(
    ("content", "encoding", "words"),
    [
        (b"title\nabc\n", "klingon", "no encoding 'klingon'"),
        (b"title\nabc\n", "rot13", "no encoding 'rot13'"),
        (b"title\nabc\n", "hex", "no encoding"),
        ("title\nRésumé\n".encode("cp1252"), "utf-8", "not utf-8: it has invalid bytes at line 2"),
        (codecs.BOM_UTF8 + b"title\nabc\n", "cp1251", "starts with the mark of UTF-8"),
    ],
    ids=["unknown", "no text", "no encoding", "wrong", "marked otherwise"],
)
def test_a_named_encoding_that_can_not_be_is_refused(content: bytes, encoding: str, words: str) -> None:
    with pytest.raises(SheetUnreadable, match=words):
        read_sheet(content, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "UTF8"])
def test_the_mark_of_utf_8_agrees_with_its_name(encoding: str) -> None:
    assert only_title(read_sheet(codecs.BOM_UTF8 + "title\ndéjà\n".encode(), encoding=encoding)) == "déjà"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("title", ["Reviews", "Отзывы", "レビュー 🎉"])
def test_utf_16_and_utf_32_without_a_mark_prove_themselves_in_every_alphabet(encoding: str, title: str) -> None:
    sheet = read_sheet(f"title\t_n\r\n{title}\tx\r\n".encode(encoding))
    assert (only_title(sheet), sheet.notes) == (title, [])


def test_utf_16_that_is_cut_off_is_refused() -> None:
    with pytest.raises(SheetUnreadable, match="starts as UTF-16, but is invalid at byte"):
        read_sheet("title\nabc\n".encode("utf-16")[:-1])


def test_valid_utf_8_needs_no_note() -> None:
    assert read_sheet("title\nÞórður Отзывы\n".encode()).notes == []


def test_one_bad_byte_in_utf_8_does_not_garble_the_rest() -> None:
    with pytest.raises(SheetUnreadable, match="broken letter at line 3"):
        read_sheet("title\nabc é\n".encode() + b"ab\xe9\n")


def test_bytes_of_an_uncertain_encoding_are_refused_with_a_message() -> None:
    with pytest.raises(SheetUnreadable, match="nothing shows its encoding"):
        read_sheet(b"title\nab\xff\xfe\x81\xff\n")


def test_the_title_that_is_shown_is_the_first_that_shows_the_encoding() -> None:
    with pytest.raises(SheetUnreadable) as caught:
        read_sheet("description,title\nОписание,Reviews\nОписание,Отзывы\n".encode("cp1251"))
    assert "reads 'Отзывы'" in str(caught.value)
    assert "Описание" not in str(caught.value)


def test_nothing_is_quoted_of_a_text_that_has_no_titles() -> None:
    with pytest.raises(SheetUnreadable, match="not certain") as caught:
        read_sheet("user,password\nОля,секрет\n".encode("cp1251"))
    assert "секрет" not in str(caught.value)
    [note] = read_sheet("user,password\nJosé,señal\n".encode("cp1252")).notes
    assert "señal" not in note


# Files that are no sheets

_XML = '<?xml version="1.0" encoding="{}"?>\n<View><Header value="Привет, Zürich, 東京"/></View>\n'


@pytest.mark.parametrize(
    ("declared", "encoding", "said"),
    [
        ("windows-1251", "cp1251", "Привет"),
        ("ISO-8859-1", "latin-1", "Zürich"),
        ("Shift_JIS", "shift_jis", "東京"),
        ("UTF-16", "utf-16", "Привет, Zürich, 東京"),
        ("UTF-16", "utf-16-le", "Привет, Zürich, 東京"),
        ("UTF-8", "utf-8-sig", "Привет, Zürich, 東京"),
        # Many programs copy a declaration and write UTF-8.
        ("windows-1251", "utf-8", "Привет, Zürich, 東京"),
    ],
)
def test_xml_is_read_in_the_encoding_that_it_declares(declared: str, encoding: str, said: str) -> None:
    text = _XML.format(declared).replace("Привет, Zürich, 東京", said)
    assert text_of(text.encode(encoding)) == text


@pytest.mark.parametrize("declared", ["", "nonsense", "idna", "unicode_escape", "hex", "ascii", "UTF-8"])
def test_text_in_no_encoding_that_it_declares_is_refused(declared: str) -> None:
    with pytest.raises(UnicodeDecodeError):
        text_of(_XML.format(declared).replace(", 東京", "").encode("cp1251", "replace"))
