import copy
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_stencil.json_value import JSON, NotJSONError, json_of
from label_studio_stencil.problems import Problem
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.fields import (
    ENTERPRISE_ONLY_FIELDS,
    FIELDS,
    READ_ONLY_FIELDS,
    ROW_FIELDS,
    TEXT_FIELDS,
)
from label_studio_stencil.rows.overrides import Overrides
from label_studio_stencil.rows.payload import parse_overrides
from label_studio_stencil.rows.values import Kind

WEIGHTS: JSON = {"s": {"overall": 0.5, "type": "Choices", "labels": {"P": 1.0}}}


def parsed(field: str, value: object) -> JSON:
    payload, problems = parse_overrides({field: value}, line=2, allow_unknown=False)
    assert problems == []
    return payload[field]


def problem(field: str, value: object) -> Problem:
    payload, problems = parse_overrides({field: value}, line=7, allow_unknown=False)
    assert payload == {}
    assert len(problems) == 1
    assert (problems[0].line, problems[0].column) == (7, field)
    return problems[0]


@pytest.mark.parametrize("word", ["TRUE", "true", " Yes ", "1", "1.0", "on", "y", True, 1, 1.0], ids=repr)
def test_what_means_true_is_true(word: object) -> None:
    assert parsed("is_published", word) is True


@pytest.mark.parametrize("word", ["FALSE", "no", "0", "off", "n", False, 0, 0.0], ids=repr)
def test_what_means_false_is_false(word: object) -> None:
    assert parsed("is_published", word) is False


@pytest.mark.parametrize("word", ["maybe", "2", 2, [], "ja"], ids=repr)
def test_what_is_neither_true_nor_false_is_a_problem(word: object) -> None:
    assert problem("is_published", word).code == "not-a-boolean"


@pytest.mark.parametrize("word", ["3", " 3 ", "3.0", "3.", "+3", "3E0", 3, 3.0], ids=repr)
def test_whole_numbers_are_read_as_spreadsheets_write_them(word: object) -> None:
    found = parsed("maximum_annotations", word)
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("3.5", "whole"),
        ("1,5", "write 1.5"),
        ("1,000", "write 1000"),
        ("1.000.000", "write 1000000"),
        ("80%", "percent sign"),
        ("many", "number"),
        ("1_000", "number"),
        ("٣", "number"),
        (True, "number"),
        (float("nan"), "finite"),
        ("inf", "number"),
    ],
)
def test_what_is_no_whole_number_is_a_problem_that_says_what_to_write(word: object, hint: str) -> None:
    found = problem("overlap_cohort_percentage", word)
    assert found.code == "not-a-number"
    assert hint in found.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("maximum_annotations", "0"),
        ("maximum_annotations", "-1"),
        ("maximum_annotations", str(2**31)),
        ("maximum_annotations", "1e9999"),
        ("overlap_cohort_percentage", "101"),
        ("overlap_cohort_percentage", "-1"),
        ("custom_task_lock_ttl", "86401"),
        ("annotation_limit_count", "0"),
        ("agreement_threshold", "1.01"),
        ("annotation_limit_percent", "100.01"),
        ("max_additional_annotators_assignable", str(-(2**31) - 1)),
    ],
)
def test_numbers_beyond_the_limits_are_problems(field: str, value: str) -> None:
    assert problem(field, value).code == "out-of-range"


@pytest.mark.parametrize("value", ["0.8", "0.80", " .8 ", 0.8, 0.1 + 0.7])
def test_decimals_are_sent_as_text_with_two_places(value: object) -> None:
    assert parsed("agreement_threshold", value) == "0.80"


def test_a_decimal_that_would_lose_places_is_a_problem() -> None:
    assert problem("agreement_threshold", "0.805").code == "too-precise"


def test_a_choice_is_sent_as_the_server_spells_it() -> None:
    assert parsed("sampling", "uniform SAMPLING ") == "Uniform sampling"


def test_a_wrong_choice_names_the_right_ones() -> None:
    found = problem("skip_queue", "later")
    assert found.code == "not-a-choice"
    assert "REQUEUE_FOR_ME, REQUEUE_FOR_OTHERS, IGNORE_SKIPPED" in found.message


@pytest.mark.parametrize("value", ["red", "#FFF", "#GG0000", "#ff00aa00", "ff00aa"])
def test_only_rrggbb_is_a_colour(value: str) -> None:
    assert parsed("color", "#ff00aA") == "#ff00aA"
    assert problem("color", value).code == "not-a-colour"


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("2026-11-24T09:30:00Z", "2026-11-24T09:30:00Z"),
        ("2026-11-24 09:30", "2026-11-24T09:30:00Z"),
        ("2026-11-24", "2026-11-24T00:00:00Z"),
        ("2026-11-24T09:30:00+02:00", "2026-11-24T07:30:00Z"),
    ],
)
def test_moments_are_sent_in_utc(value: str, sent: str) -> None:
    assert parsed("pinned_at", value) == sent


@pytest.mark.parametrize("value", ["yesterday", "24.11.2026", "0001-01-01T00:00:00+14:00", 5])
def test_what_is_no_moment_is_a_problem(value: object) -> None:
    assert problem("pinned_at", value).code == "not-a-date"


def test_a_configuration_that_is_no_xml_names_the_place_in_the_xml() -> None:
    found = problem("label_config", "\n<View>\n  <Text></View>")
    assert found.code == "bad-xml"
    assert "line 3, column 11: mismatched tag" in found.message


@pytest.mark.parametrize("value", ["hello", "", "<View/><View/>", "<View>&nope;</View>", "\ufeff<View/>x"])
def test_other_broken_configurations_are_problems_too(value: str) -> None:
    assert problem("label_config", value).code == "bad-xml"


def test_a_document_type_is_refused_before_its_entities_expand() -> None:
    bomb = '<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View>&b;</View>'
    assert "<!DOCTYPE>" in problem("label_config", bomb).message


def test_a_configuration_may_be_a_megabyte() -> None:
    config = f"<View>{'<Label/>' * 130_000}</View>"
    assert parsed("label_config", config) == config


@pytest.mark.parametrize("value", ["a\0b", "a\ud800b"], ids=["nul", "half a character"])
def test_text_that_no_server_takes_is_a_problem(value: str) -> None:
    assert problem("description", value).code == "control-character"
    assert problem("input_schema", {"a": [value]}).code == "control-character"


def test_numbers_in_text_fields_keep_their_digits() -> None:
    assert parsed("description", 2026) == "2026"
    assert parsed("description", 2026.0) == "2026"


def test_what_is_no_text_is_a_problem() -> None:
    assert problem("description", {"a": 1}).code == "not-text"


def test_text_that_is_too_long_says_its_length() -> None:
    found = problem("task_data_login", "x" * 257)
    assert found.code == "too-long"
    assert "at most 256 characters, not 257" in found.message


def test_settings_objects_are_read_from_json_text_and_from_dicts() -> None:
    wanted = {"review_criteria": "all", "show_instruction": True, "review_task_limit_percent": "50.00"}
    text = '{"review_criteria": "ALL", "show_instruction": "yes", "review_task_limit_percent": 50}'
    assert parsed("review_settings", text) == wanted
    assert parsed("review_settings", wanted) == wanted


@pytest.mark.parametrize(
    ("value", "code", "part"),
    [
        ("{", "not-json", "character 2"),
        ('{"a": 1, "a": 2}', "not-json", "'a' is there twice"),
        ('{"s": NaN}', "not-json", "NaN"),
        ("[" * 100_000, "not-json", "nests too deeply"),
        ("[1]", "not-an-object", "JSON object"),
        ({"s": {"type": "Choices"}}, "missing-key", "control_weights.s.overall is missing"),
        (
            {"s": {"overall": 2, "type": "Choices"}},
            "out-of-range",
            "control_weights.s.overall takes a number of at most 1.",
        ),
        ({"s": {"overall": 1, "type": "Choices", "x": 1}}, "unknown-key", "control_weights.s.x"),
        ({"s": {"overall": -1, "type": "Choices"}}, "out-of-range", "takes a number of at least 0."),
        ({"s": 1}, "bad-object", "control_weights.s takes a JSON object."),
        ({"s": {"overall": 1, "type": "Choices", "labels": [1]}}, "bad-object", "s.labels takes a JSON object."),
        ({"s": {"overall": 0, "type": "Choices"}}, "all-weights-zero", "not zero"),
        ({}, "all-weights-zero", "not zero"),
        ({1: 2}, "not-json", "JSON does not have"),
        ({"s": {1}}, "not-json", "set"),
        ({"s": float("nan")}, "not-json", "float"),
    ],
)
def test_what_is_wrong_inside_a_settings_object_is_named(value: object, code: str, part: str) -> None:
    found = problem("control_weights", value)
    assert found.code == code
    assert part in found.message


def test_all_problems_of_a_row_come_at_once() -> None:
    values = {"color": "red", "sampling": "x", "control_weights": {"s": {}}, "id": 3}
    payload, problems = parse_overrides({**values, "is_draft": "no"}, line=3, allow_unknown=False)
    assert payload == {"is_draft": False}
    codes = [each.code for each in problems]
    assert codes == ["not-a-colour", "not-a-choice", "missing-key", "missing-key", "read-only-field"]


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_null_is_a_problem_for_every_field(field: str) -> None:
    assert problem(field, None).code == "null-value"


@pytest.mark.parametrize("field", ["color", "is_draft", "maximum_annotations", "control_weights"])
def test_blank_text_is_not_set(field: str) -> None:
    assert parse_overrides({field: "  "}, line=2, allow_unknown=False) == ({}, [])


def test_an_explicit_empty_text_empties_a_text_field() -> None:
    assert parsed("description", "") == ""


@pytest.mark.parametrize("field", sorted(READ_ONLY_FIELDS))
@pytest.mark.parametrize("allow_unknown", [True, False])
def test_read_only_fields_are_problems_that_say_so(field: str, allow_unknown: bool) -> None:
    payload, [found] = parse_overrides({field: "1"}, line=2, allow_unknown=allow_unknown)
    assert payload == {}
    assert found.code == "read-only-field"


@pytest.mark.parametrize("field", sorted(ROW_FIELDS))
def test_the_rows_own_fields_are_no_overrides(field: str) -> None:
    assert problem(field, "1").code == "row-field"


@pytest.mark.parametrize(
    ("name", "near"),
    [("colour", "color"), ("maximum_anotations", "maximum_annotations"), ("instructions", "expert_instruction")],
)
def test_an_unknown_field_names_the_nearest(name: str, near: str) -> None:
    found = problem(name, "1")
    assert found.code == "unknown-field"
    assert found.hint == f"Did you mean {near}?"


@pytest.mark.parametrize(
    ("cell", "sent"),
    [("true", True), ("3", 3), ('{"a": 1}', {"a": 1}), ("hello", "hello"), ([1], [1]), ("NaN", "NaN")],
)
def test_an_unknown_field_passes_when_that_is_allowed(cell: object, sent: JSON) -> None:
    assert parse_overrides({"new_one": cell}, line=2, allow_unknown=True) == ({"new_one": sent}, [])


def test_an_unknown_field_is_refused_where_its_value_is_no_json() -> None:
    _, problems = parse_overrides({"new_one": "{", "other": None}, line=2, allow_unknown=True)
    assert [each.code for each in problems] == ["not-json", "null-value"]


def test_unknown_keys_of_settings_objects_pass_when_that_is_allowed() -> None:
    values = {"review_settings": '{"sampling": "RANDOM", "new": {"a": 1}}'}
    payload, problems = parse_overrides(values, line=2, allow_unknown=True)
    assert problems == []
    assert payload == {"review_settings": {"sampling": "random", "new": {"a": 1}}}


def test_rows_with_equal_cells_do_not_share_an_object() -> None:
    text = '{"a": {"overall": 1, "type": "Choices"}}'
    first, second = parsed("control_weights", text), parsed("control_weights", text)
    assert first == second
    assert first is not second


def test_a_password_is_in_no_problem() -> None:
    found = problem("task_data_password", "geheim" * 100)
    assert found.value is None
    assert "geheim" not in str(found)


def test_a_password_may_start_with_an_at_sign() -> None:
    assert "task_data_password" not in TEXT_FIELDS
    assert parsed("task_data_password", "@secret") == "@secret"


def test_the_password_of_the_task_storage_is_the_one_secret() -> None:
    assert [name for name, facts in FIELDS.items() if facts.secret] == ["task_data_password"]


def test_the_model_takes_what_cells_hold_and_tells_the_wires_form() -> None:
    found = Overrides.model_validate(
        {"maximum_annotations": "3.0", "agreement_threshold": 0.8, "is_draft": "no", "color": None}
    )
    assert found.payload() == {"agreement_threshold": "0.80", "is_draft": False, "maximum_annotations": 3}


GOOD: dict[str, JSON] = {
    Kind.BOOLEAN: True,
    Kind.INTEGER: 5,
    Kind.DECIMAL: "0.50",
    Kind.LINE: "x",
    Kind.TEXT: "long",
    Kind.XML: "<View/>",
    Kind.COLOUR: "#123456",
    Kind.MOMENT: "2026-11-24T09:30:00.250000Z",
    Kind.ANYTHING: {"a": [1, None]},
    Kind.OBJECT: {},
}


def good(field: str) -> JSON:
    if field == "control_weights":
        return copy.deepcopy(WEIGHTS)
    facts = FIELDS[field]
    return facts.choices[0] if facts.choices else GOOD[facts.kind]


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_a_payload_is_read_back_as_itself(field: str) -> None:
    value = good(field)
    assert parsed(field, value) == value
    assert Overrides.model_validate({field: value}).payload() == {field: value}
    assert differing({field: value}, {field: value}) == {}
    assert differing({field: value}, {}) == {field: value}


def test_every_field_has_help_and_what_it_takes() -> None:
    for facts in FIELDS.values():
        assert re.fullmatch(r"[A-Z].*\.", facts.help)
        assert facts.allowed


def test_no_field_is_of_two_kinds() -> None:
    assert not READ_ONLY_FIELDS & FIELDS.keys()
    assert not ROW_FIELDS & FIELDS.keys()
    assert FIELDS.keys() > ENTERPRISE_ONLY_FIELDS


def test_what_the_official_client_can_update_is_settable() -> None:
    from label_studio_sdk.projects.client import ProjectsClient

    arguments = set(ProjectsClient.update.__annotations__) - {"return", "id", "members_limit", "request_options"}
    assert arguments <= FIELDS.keys() | ROW_FIELDS


def test_what_the_official_client_names_in_review_settings_is_settable() -> None:
    from label_studio_sdk.types.review_settings_request import ReviewSettingsRequest

    from label_studio_stencil.rows.overrides import ReviewSettings

    assert ReviewSettings.model_fields.keys() == ReviewSettingsRequest.model_fields.keys() - {"project"}


@pytest.mark.parametrize(
    ("field", "wanted", "actual"),
    [
        ("agreement_threshold", "0.80", "0.8"),
        ("agreement_threshold", "0.80", 0.8),
        ("pinned_at", "2026-11-24T09:30:00Z", "2026-11-24T11:30:00+02:00"),
        ("description", "  text\n", "text"),
        ("description", "", None),
        ("expert_instruction", "a & b", "a &amp; b"),
        # What Community 1.23.2 made of each of these.
        ("expert_instruction", "One.\r\nTwo.\r\n", "One.\nTwo."),
        ("expert_instruction", "<p style='color:red' onclick=x>Hi<br/>there<p>next", "<p>Hi<br>there</p><p>next</p>"),
        ("expert_instruction", "<table><tr><td>1</table>", "<table><tbody><tr><td>1</td></tr></tbody></table>"),
        ("expert_instruction", "<center>x</center>", "&lt;center&gt;x&lt;/center&gt;"),
        ("expert_instruction", "a < b > c & d &amp; &copy;", "a &lt; b &gt; c &amp; d &amp; &copy;"),
        ("expert_instruction", "<!-- c --><IMG SRC=x.png controls>", '<img src="x.png">'),
        ("expert_instruction", "<a href='javascript:x' target=_blank>x</a>", "<a>x</a>"),
        (
            "expert_instruction",
            '<a title=\'a "b"\' href="https://x.org/?a=1&b=2">y</a>',
            '<a title="a &quot;b&quot;" href="https://x.org/?a=1&amp;b=2">y</a>',
        ),
        ("color", "#ff00aa", "#FF00AA"),
        ("maximum_annotations", 2, 2.0),
        ("control_weights", {"s": {"overall": 1}}, {"s": {"overall": 1.0, "labels": {}}, "t": {}}),
        ("review_settings", {"review_task_limit_percent": "50.00"}, {"review_task_limit_percent": "50.0"}),
        ("review_settings", {"sampling": "random"}, {"sampling": "random", "instruction": ""}),
        ("brand_new", {"a": 2}, {"a": 2.0}),
    ],
)
def test_what_a_server_writes_its_own_way_does_not_differ(field: str, wanted: JSON, actual: JSON) -> None:
    assert differing({field: wanted}, {field: actual}) == {}


@pytest.mark.parametrize(
    ("field", "wanted", "actual"),
    [
        ("expert_instruction", "<b>Read</b> twice", "<b>Read</b> once"),
        ("expert_instruction", "<b>Read</b> twice", "<i>Read</i> twice"),
        ("expert_instruction", '<a href="https://x.org/2">y</a>', '<a href="https://x.org/1">y</a>'),
        ("expert_instruction", '<a href="https://x.org/2">y</a>', "<a>y</a>"),
        ("expert_instruction", "<a>y</a>", '<a href="https://x.org/1">y</a>'),
        ("agreement_threshold", "0.80", "0.81"),
        ("agreement_threshold", "0.80", None),
        ("pinned_at", "2026-11-24T09:30:00Z", None),
        ("is_draft", False, 0),
        ("is_draft", True, False),
        ("description", "a", "b"),
        ("model_version", "A", "a"),
        ("label_config", "<View/>", "<View></View>"),
        ("task_data_password", "a", "a "),
        ("control_weights", {"s": {"overall": 1}}, {"t": {"overall": 1}}),
        ("control_weights", {"s": {"overall": 1}}, None),
        ("review_settings", {"allowed_reject_actions": ["remove"]}, {"allowed_reject_actions": []}),
        ("brand_new", {"a": 2}, {"a": 2, "b": 3}),
        ("brand_new", [True], [1]),
    ],
)
def test_what_is_not_there_yet_differs(field: str, wanted: JSON, actual: JSON) -> None:
    assert differing({field: wanted}, {field: actual}) == {field: wanted}


def test_a_draft_that_is_published_at_once_is_no_draft_to_the_server() -> None:
    wanted: dict[str, JSON] = {"is_draft": True, "is_published": True}
    assert differing(wanted, {"is_draft": False, "is_published": True}) == {}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "id", "zzz"]), anything, max_size=4), st.booleans())
def test_any_values_give_a_payload_or_problems(values: dict[str, object], allow_unknown: bool) -> None:
    payload, problems = parse_overrides(values, line=2, allow_unknown=allow_unknown)
    assert not payload.keys() & {each.column for each in problems}
    # Text in a field of any JSON is read as JSON, so that it may be read once more.
    typed = {
        name: value for name, value in payload.items() if name in FIELDS and FIELDS[name].kind is not Kind.ANYTHING
    }
    assert parse_overrides(typed, line=2, allow_unknown=False) == (typed, []) or allow_unknown


@settings(deadline=None)
@given(st.text())
def test_any_text_as_a_configuration_is_taken_or_a_problem(source: str) -> None:
    _, problems = parse_overrides({"label_config": source}, line=2, allow_unknown=False)
    assert all(each.code in ("bad-xml", "control-character") for each in problems)


@pytest.mark.parametrize("before", ["", "\ufeff", " \n"])
def test_an_xml_declaration_is_dropped(before: str) -> None:
    given = f'{before}<?xml version="1.0" encoding="UTF-16"?>\n<View><Text name="t" value="$t"/></View>'
    assert parsed("label_config", given) == '<View><Text name="t" value="$t"/></View>'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{“a”: 1}", 'it has typographic quotes: write "'),
        ("{'a': None}", "it looks like Python: json.dumps writes JSON"),
        ('{"a": "“quoted”",}', "at character"),
    ],
)
def test_a_text_that_is_almost_json_says_what_it_is(text: str, said: str) -> None:
    with pytest.raises(NotJSONError, match=said):
        json_of(text)


@pytest.mark.parametrize("actual", [{}, {"annotator_evaluation_enabled": None}])
def test_a_setting_that_an_older_release_lacks_has_its_default(actual: dict[str, JSON]) -> None:
    assert differing({"annotator_evaluation_enabled": False}, actual, whole=True) == {}
    assert differing({"annotator_evaluation_enabled": True}, actual, whole=True) == {
        "annotator_evaluation_enabled": True
    }


def test_a_field_that_a_list_left_out_is_not_taken_for_its_default() -> None:
    assert differing({"annotator_evaluation_enabled": False}, {}) == {"annotator_evaluation_enabled": False}
