"""Formulas are guarded, and every text comes back as it was."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from label_studio_stencil.sheet.formulas import guard, unguard

#: Texts made of what the rule looks at, which plain random text hardly ever is.
texts = st.text() | st.text(alphabet="'=+-@\t\r\n 19.,eE/a＝", max_size=8)  # noqa: RUF001


@given(texts)
@example("'=1")
@example("''=1")
@example("' -x")
@example("@a.xml\n")
def test_every_text_comes_back_as_it_was(text: str) -> None:
    assert unguard(guard(text)) == text


@given(st.sampled_from(["=", "+", "-", "@", "＝", "\t", "\r", "\n", " =", "\u00a0=", "\ufeff="]), st.text())  # noqa: RUF001
def test_no_guarded_text_starts_as_a_formula_with_a_call(start: str, rest: str) -> None:
    assert guard(f"{start}A(1){rest}").startswith("'")


@pytest.mark.parametrize("text", ["-1", "+2.5", "-1,5", "-1e3", "-.5", "@configs/ner.xml", "@../a b.html", "'tis"])
def test_numbers_and_file_references_are_left_as_they_are(text: str) -> None:
    assert guard(text) == text
    assert unguard(text) == text


@pytest.mark.parametrize("text", ["@SUM(A1)", "@a|b!c", "-1+2", "-1\n", "@a.xml\n=1", "=1", "'=1", "-", "+49 30"])
def test_what_only_resembles_a_number_or_a_file_reference_is_guarded(text: str) -> None:
    assert guard(text) == f"'{text}"


@pytest.mark.parametrize(("written", "read"), [("'=x", "=x"), ("''=x", "'=x"), ("' - x", " - x"), ("'x'", "'x'")])
def test_the_rule_of_the_sheet_format(written: str, read: str) -> None:
    assert unguard(written) == read
