"""The summary is harmless and bounded whatever the rows hold."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from label_studio_stencil.problems import Problem, grouped
from label_studio_stencil.report.escaping import cut, defused, escape, fenced, web_address
from label_studio_stencil.report.markdown import MOST_BYTES, markdown_summary, problem_table
from label_studio_stencil.report.outcomes import Change, Outcome
from tests.report.reports import report, row

#: HTML is let through, so that a tag in a title would be seen.
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
nasty = st.text(max_size=40) | st.text(alphabet="|\\`*_[]()<>!&;#~-+=:/.\n\r\t 1aw@$\"'", max_size=40)


def inline(markdown: str) -> list[list[Token]]:
    """What each cell, heading, or paragraph holds."""
    return [token.children or [] for token in PARSER.parse(markdown) if token.type == "inline"]


def text_of(tokens: list[Token]) -> str:
    return "".join(token.content for token in tokens)


@given(nasty)
@example("a|b\\|c\\\\|d")
@example("<img src=x onerror=alert(1)>")
@example("![x](http://example.com/x.png) [y](javascript:alert(1))")
@example("`code` **bold** ~~gone~~ &lt;b&gt; &#60;")
@example("\n\n# heading")
def test_a_title_in_the_table_is_text_and_nothing_else(title: str) -> None:
    cells = inline(markdown_summary(report(row(7, Outcome.FAILED, title=title, error=title))))
    at = next(n for n, cell in enumerate(cells) if text_of(cell) == "7")
    line = cells[at : at + 6]
    assert {token.type for cell in line for token in cell} <= {"text", "text_special"}
    shown = cut(title, 80).strip()
    assert [text_of(cell) for cell in line] == ["7", shown or "(no title)", "", "failed", "", shown]
    assert text_of(cells[at + 6]) == "outcome"


@given(nasty)
@example("a](javascript:alert(1))")
@example("![x](http://example.com/x.png) <b>")
def test_a_title_is_the_text_of_one_link_and_nothing_else(title: str) -> None:
    url = "http://localhost:8080/projects/1"
    cells = inline(markdown_summary(report(row(7, title=title, project_id=1, project_url=url))))
    cell = cells[next(n for n, cell in enumerate(cells) if text_of(cell) == "7") + 1]
    assert (cell[0].type, cell[0].attrs, cell[-1].type) == ("link_open", {"href": url}, "link_close")
    assert {token.type for token in cell[1:-1]} <= {"text", "text_special"}
    assert text_of(cell) == (cut(title, 80).strip() or "(no title)")


def test_the_summary_begins_with_what_needs_attention_and_what_to_do_about_it() -> None:
    failed = row(3, Outcome.FAILED, error="No.", error_code="rejected")
    text = markdown_summary(report(row(2), failed), run="Run it again.")
    places = [
        text.index(each)
        for each in ("| 3 |", "- `rejected`: Correct what", "Run it again.", "| created |", "| duration |")
    ]
    assert places == sorted(places)


def test_an_update_is_shown_field_by_field() -> None:
    text = markdown_summary(report(row(2, Outcome.UPDATED, changes=(Change("color", "#FFFFFF", "#112233"),))))
    assert "| 2 | Project 2 | color: \\#FFFFFF -&gt; \\#112233 |" in text


@given(nasty)
@example("# heading")
@example("1. first")
@example("---")
@example("| a | b |\n| - | - |")
def test_a_note_is_one_item_of_a_list_and_text_alone(note: str) -> None:
    tokens = PARSER.parse(markdown_summary(report(row(2), notes=(note, "last"))))
    start = next(n for n, token in enumerate(tokens) if token.type == "bullet_list_open")
    kinds = {token.type for token in tokens[start:]}
    blocks = {f"{name}_{end}" for name in ("bullet_list", "list_item", "paragraph") for end in ("open", "close")}
    assert kinds <= blocks | {"inline"}


@given(nasty)
def test_escaped_text_reads_as_the_text(text: str) -> None:
    (tokens,) = inline(f"- x{escape(text)}") or [[]]
    assert text_of(tokens) == "x" + cut(text, 300).rstrip()


@given(nasty)
@example("<b>x</b> ![i](http://e.com) [a]: http://e.com <http://e.com>")
def test_a_cell_of_the_table_artifact_holds_no_tag_link_or_image_even_as_markdown(text: str) -> None:
    types = {token.type for tokens in inline(defused(text, 300)) for token in tokens}
    assert not types & {"html_inline", "link_open", "image"}
    assert "html_block" not in {token.type for token in PARSER.parse(defused(text, 300))}


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil",
        "ftp://a/b",
        "http://",
        "http://[",
        "/projects/1",
        "",
    ],
)
def test_only_web_addresses_become_links(url: str) -> None:
    assert web_address(url) == ""
    assert "](" not in markdown_summary(report(row(2, project_id=1, project_url=url)))


def test_an_address_can_not_break_out_of_its_link() -> None:
    url = 'http://a/b>c)<img src=x>|"&amp;q=1\n'
    cells = inline(markdown_summary(report(row(2, project_id=17, project_url=url))))
    opening = next(token for cell in cells for token in cell if token.type == "link_open")
    assert opening.attrs == {"href": "http://a/b%3Ec)%3Cimg%20src=x%3E%7C%22&amp;q=1%0A".replace(")", "%29")}


def test_what_is_not_well_comes_before_the_links() -> None:
    url = "http://localhost:8080/projects/1"
    text = markdown_summary(report(row(2, project_id=1, project_url=url), row(3, Outcome.AMBIGUOUS, error="Look.")))
    assert text.index("| 3 | Project 3 |  | ambiguous |  | Look. |") < text.index(f"[1](<{url}>)")


def test_the_summary_tells_what_the_batch_cost() -> None:
    cost = {"seconds": 4.0, "planning": 1.0, "requests": 21, "pauses": 12, "paused": 36.0}
    text = markdown_summary(report(*(row(line, attempts=2) for line in range(2, 12)), **cost))
    assert text.startswith("# 10 rows: 10 created\n")
    assert "| duration | 4.0 s (2.5 rows a second) |" in text
    assert "| requests | 21 (2.10 a row) |" in text
    assert "| planned, written | 1.0 s, 3.0 s |" in text
    assert "| pauses that Label Studio asked for | 12, together 36.0 s |" in text
    assert "| rows tried again | 10 |" in text
    assert "| batch | deadbeef |" in text


@pytest.mark.parametrize(
    ("label_studio", "told"),
    [("embedded sandbox", "embedded sandbox"), ("http://x", "embedded sandbox (http\\://x)")],
    ids=["named", "address"],
)
def test_a_sandbox_is_called_one(label_studio: str, told: str) -> None:
    assert f"| Label Studio | {told} |" in markdown_summary(report(row(2), sandbox=True, label_studio=label_studio))


def test_a_dry_run_says_that_nothing_was_written() -> None:
    text = markdown_summary(report(row(2), dry_run=True))
    assert "dry run: nothing was written" in text
    assert "| would be created | 1 |" in text


def test_a_dry_run_lists_what_each_row_would_become() -> None:
    assert "| 2 | Project 2 |  | would be created |" in markdown_summary(report(row(2), dry_run=True))


def test_rows_beyond_the_limit_are_counted_and_found_in_the_file() -> None:
    rows = [row(line, Outcome.FAILED) for line in range(2, 13)]
    text = markdown_summary(report(*rows), limit=4)
    assert len(re.findall(r"^\| \d+ \| Project", text, re.MULTILINE)) == 4
    assert "... and 7 more: see failed.csv" in text


def test_links_beyond_their_limit_are_counted_and_found_in_the_file() -> None:
    rows = [row(line, project_id=line, project_url=f"http://x/{line}") for line in range(2, 252)]
    assert "... and 50 more: see results.csv" in markdown_summary(report(*rows))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from("x|<&\\😀\u202e\0語\ud800 "), st.sampled_from([Outcome.FAILED, Outcome.CREATED]))
def test_the_summary_of_5000_rows_with_the_longest_texts_is_bounded(char: str, outcome: Outcome) -> None:
    text, url = char * 5_000, "http://localhost/" + char * 400
    one = row(2, outcome, title=text, error=text, error_code=text, project_url=url)
    batch = report(*[one] * 5_000, notes=(text,) * 500, stopped=text, sheet=text, label_studio=text)
    assert len(markdown_summary(batch, limit=5_000).encode()) <= MOST_BYTES


def test_what_can_not_be_shown_or_stored_is_replaced() -> None:
    assert cut("a\0b\u202ec\ud800d", 10) == "a\ufffdb\ufffdc\ufffdd"


@pytest.mark.parametrize("text", ["https://example.com", "WWW.example.com", "www.example.com", "me@example.com"])
def test_an_address_in_a_text_is_not_made_a_link_by_pages_that_look_for_them(text: str) -> None:
    escaped = escape(text)
    assert text not in escaped
    assert text_of(inline(escaped)[0]) == text


@given(nasty)
def test_no_bracket_of_a_tag_is_left_in_an_escaped_text(text: str) -> None:
    assert not set("<>") & set(escape(text))


def test_problems_are_harmless_in_their_table_and_bounded() -> None:
    nasty = "![x](https://evil.example/p.png) <img src=x> [a](javascript:b)\n\x1b[2J"
    problems = [Problem("bad-step", nasty * 50, line=1, column=nasty, value=nasty) for _ in range(10_000)]
    table = problem_table(grouped(problems))
    assert 100 < len(table) < 1000
    assert len(json.dumps(table)) <= MOST_BYTES
    for cell in (str(cell) for each in table for cell in each.values()):
        assert not re.search(r"\]\(|<[a-z]|[\x00-\x1f]", cell)


@given(st.text(max_size=60) | st.text(alphabet="`~ \n\r<>ab", max_size=60))
@example("```\n<img src=x>")
@example("`````")
def test_a_fenced_text_is_one_code_block_and_nothing_else(text: str) -> None:
    (block,) = PARSER.parse(fenced(text))
    assert block.type == "fence"
