"""What the sandbox takes and refuses, in the words of the real server."""

from collections.abc import Iterator

import httpx
import pytest

from label_studio_sandbox import Sandbox

BINARY = (
    '<View><Text name="text" value="$text"/><Choices name="s" toName="text">'
    '<Choice value="P"/><Choice value="N"/></Choices></View>'
)
BLANK = "This field may not be blank."
WRONG_CHOICE = '"{}" is not a valid choice.'


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all tests of this file, each of which makes its own project."""
    with Sandbox() as running:
        yield running


def patched(http: httpx.Client, **body: object) -> httpx.Response:
    project = http.post("/api/projects/", json={"title": "Project"}).json()
    return http.patch(f"/api/projects/{project['id']}/", json=body)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", "ab", "Ensure this field has at least 3 characters."),
        ("title", "x" * 51, "Ensure this field has no more than 50 characters."),
        ("title", True, "Not a valid string."),
        ("title", ["a"], "Not a valid string."),
        ("title", "nul\x00nul", "Null characters are not allowed."),
        ("color", "red", 'Color must be in "#RRGGBB" format'),
        ("color", "#ff00aa#ff00aa#ff", "Ensure this field has no more than 16 characters."),
        ("is_published", "maybe", "Must be a valid boolean."),
        ("is_published", None, "This field may not be null."),
        ("maximum_annotations", "many", "A valid integer is required."),
        ("maximum_annotations", 2.5, "A valid integer is required."),
        ("maximum_annotations", True, "A valid integer is required."),
        ("maximum_annotations", None, "This field may not be null."),
        ("maximum_annotations", 2**31, "Ensure this value is less than or equal to 2147483647."),
        ("sampling", "Random", WRONG_CHOICE.format("Random")),
        ("skip_queue", "", WRONG_CHOICE.format("")),
        ("task_data_login", "x" * 257, "Ensure this field has no more than 256 characters."),
        ("workspace", 99, 'Invalid pk "99" - object does not exist.'),
        ("workspace", "first", "Incorrect type. Expected pk value, received str."),
        ("workspace", None, "This field may not be null."),
        ("agreement_methodology", "vote", WRONG_CHOICE.format("vote")),
        ("agreement_threshold", "0.805", "Ensure that there are no more than 2 decimal places."),
        ("agreement_threshold", "12", "Ensure that there are no more than 1 digits before the decimal point."),
        ("agreement_threshold", "most", "A valid number is required."),
        ("annotation_limit_count", 0, "Ensure this value is greater than or equal to 1."),
        ("annotation_limit_percent", "1234.56", "Ensure that there are no more than 5 digits in total."),
        ("custom_task_lock_ttl", 86_401, "Ensure this value is less than or equal to 86400."),
        ("custom_script", None, "This field may not be null."),
        ("organization", 99, 'Invalid pk "99" - object does not exist.'),
        ("label_config", None, "can only parse strings"),
        ("label_config", "", "no element found: line 1, column 0"),
        ("label_config", '<View><Choices name="s" toName="nope"><Choice value="A"/></Choices></View>',
         "toName=\"nope\" not found in names: ['s']"),
        ("label_config", '<View><Text name="t"/></View>', "Validation failed on : 'value' is a required property"),
        ("label_config", '<View><Text name="t" value="$a"/><Text name="t" value="$b"/></View>',
         "Label config contains non-unique names"),
        ("label_config", '<!DOCTYPE x><View/>', "DTDForbidden(name='x', system_id=None, public_id=None)"),
        ("model_version", "nope",
         "Model version doesn't exist either as live model or as static predictions."),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(http: httpx.Client, field: str, value: object, message: str) -> None:
    answer = patched(http, **{field: value})
    assert (answer.status_code, answer.json()["validation_errors"]) == (400, {field: [message]})


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("title", "  abc  ", "abc"),
        ("title", "é" * 50, "é" * 50),
        ("title", "", ""),
        ("title", None, None),
        ("title", 12345, "12345"),
        ("description", " spaced ", "spaced"),
        ("is_published", "yes", True),
        ("maximum_annotations", "3", 3),
        ("maximum_annotations", 2.0, 2),
        ("maximum_annotations", -1, -1),
        ("overlap_cohort_percentage", 150, 150),
        ("sampling", None, None),
        ("agreement_threshold", 0.8, "0.80"),
        ("agreement_threshold", "1", "1.00"),
        ("annotation_limit_percent", "12.5", "12.50"),
        ("annotation_limit_percent", None, None),
        ("annotator_evaluation_minimum_score", 100, "100.00"),
        ("pinned_at", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("show_unused_data_columns_to_annotators", None, None),
        ("expert_instruction", "<p>A & B < C</p>", "<p>A &amp; B &lt; C</p>"),
        # What Community's cleaner makes of these.
        ("expert_instruction", "<p style='x' onclick=y>Hi<br/>there<p>next", "<p>Hi<br>there</p><p>next</p>"),
        ("expert_instruction", "<table><tr><td>1</table>", "<table><tbody><tr><td>1</td></tr></tbody></table>"),
        ("expert_instruction", "<ul><li>one<li>two</ul>", "<ul><li>one</li><li>two</li></ul>"),
        ("expert_instruction", "<center>x</center><!-- y -->", "&lt;center&gt;x&lt;/center&gt;"),
        ("expert_instruction", "<a href='javascript:x' target=_blank>x</a>", "<a>x</a>"),
        ("label_config", "<View><Foo/></View>", "<View><Foo/></View>"),
        ("organization", 1, 1),
    ],
)
def test_a_value_that_fits_is_stored_as_the_real_server_stores_it(
    http: httpx.Client, field: str, value: object, stored: object
) -> None:
    answer = patched(http, **{field: value})
    assert (answer.status_code, answer.json().get(field)) == (200, stored)
    assert http.get(f"/api/projects/{answer.json()['id']}/").json()[field] == stored


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        pytest.param('<Choices name="c" toName="t"><Choice>A</Choice><Choice>B</Choice></Choices>',
                     "Validation failed on Choice/0: 'value' is a required property", id="a choice without a value"),
        pytest.param('<Choices name="c" toName="t"/>',
                     "Validation failed on : 'Choice' is a required property", id="choices without one"),
        pytest.param('<Choices name="1" toName="t"><Choice value="A"/></Choices>',
                     "Validation failed on @name: 1 is not of type 'string'", id="a number for a name"),
        pytest.param("<x:Foo/>", "unbound prefix: line 1, column 6", id="a prefix of no namespace"),
        pytest.param('<Video name="v" value="$v" defaultPlaybackSpeed="15"/>',
                     'Video tag "v": defaultPlaybackSpeed must be between 0.05 and 10, got 15.0', id="too fast"),
        pytest.param('<HyperText name="h" value="">Some help</HyperText>', None, id="an empty value"),
        pytest.param('<Image name="i" value="$i"/><RectangleLabels name="b"><Label value="A"/></RectangleLabels>', None,
                     id="a control that labels nothing"),
    ],
)  # fmt: skip
def test_a_labelling_configuration_is_judged_as_the_real_server_judges_it(
    http: httpx.Client, inside: str, message: str | None
) -> None:
    config = f'<View>{inside}<Text name="t" value="$t"/></View>'
    answer = http.post("/api/projects/", json={"title": "Project", "label_config": config})
    refused = answer.json().get("validation_errors", {}).get("label_config")
    assert refused == (None if message is None else [message])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("id", 17, id="id"),
        pytest.param("created_at", "2001-01-01T00:00:00Z", id="created_at"),
        pytest.param("task_number", 5, id="counter"),
        pytest.param("workspace_title", "Mine", id="workspace_title"),
        pytest.param("state", "DONE", id="state"),
        pytest.param("nonexistent", 1, id="unknown"),
    ],
)
def test_a_field_that_cannot_be_set_is_dropped_without_a_word(http: httpx.Client, field: str, value: object) -> None:
    answer = patched(http, **{field: value})
    assert answer.status_code == 200
    assert answer.json().get(field) != value


def test_all_fields_that_do_not_fit_are_named_at_once(http: httpx.Client) -> None:
    answer = patched(http, title="x", color="red", maximum_annotations="many")
    assert set(answer.json()["validation_errors"]) == {"title", "color", "maximum_annotations"}


@pytest.mark.parametrize(
    "title",
    [
        pytest.param({}, id="missing"),
        pytest.param({"title": None}, id="null"),
        pytest.param({"title": ""}, id="empty"),
        pytest.param({"title": "   "}, id="spaces"),
        pytest.param({"title": "Twin"}, id="taken"),
    ],
)
def test_a_plain_create_minds_neither_missing_titles_nor_twins(http: httpx.Client, title: dict[str, object]) -> None:
    http.post("/api/projects/", json={"title": "Twin"})
    assert http.post("/api/projects/", json=title).status_code == 201


def test_a_plain_create_drops_the_fields_that_only_a_patch_sets(http: httpx.Client) -> None:
    made = http.post("/api/projects/", json={"title": "Project", "agreement_threshold": "0.50"}).json()
    assert "agreement_threshold" not in made
    assert http.get(f"/api/projects/{made['id']}/").json()["agreement_threshold"] is None


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        pytest.param({}, {"title": ["This field is required."]}, id="no title"),
        pytest.param({"title": ""}, {"title": [BLANK]}, id="empty title"),
        pytest.param({"title": None}, {"title": ["This field may not be null."]}, id="null title"),
        pytest.param({"title": "x" * 51}, {"title": ["Ensure this field has no more than 50 characters."]}, id="long"),
        pytest.param(
            {"title": "Project", "workspace_id": 99},
            {"workspace_id": ['Invalid pk "99" - object does not exist.']},
            id="unknown workspace",
        ),
        pytest.param(
            {"title": "Project", "workspace_id": None},
            {"workspace_id": ["This field may not be null."]},
            id="null workspace",
        ),
    ],
)
def test_create_project_refuses(http: httpx.Client, body: dict[str, object], errors: dict[str, object]) -> None:
    answer = http.post("/api/project-templates/1/create-project", json=body)
    assert (answer.status_code, answer.json()["validation_errors"]) == (400, errors)


def test_create_project_takes_a_title_of_one_character_and_a_null_description(http: httpx.Client) -> None:
    body = {"title": "x", "description": None}
    assert http.post("/api/project-templates/1/create-project", json=body).status_code == 201


def test_create_project_takes_no_overrides(http: httpx.Client) -> None:
    body = {"title": "Project", "maximum_annotations": 9}
    assert http.post("/api/project-templates/1/create-project", json=body).json()["maximum_annotations"] == 2


@pytest.mark.parametrize(
    ("field", "detail"),
    [
        pytest.param("color", "'NoneType' object has no attribute 'startswith'", id="color"),
        pytest.param(
            "expert_instruction", "argument cannot be of 'NoneType' type, must be of text type", id="instruction"
        ),
    ],
)
def test_the_nulls_that_the_real_server_falls_over_are_500(http: httpx.Client, field: str, detail: str) -> None:
    answer = patched(http, **{field: None})
    assert (answer.status_code, answer.json()["detail"]) == (500, detail)


def test_a_malformed_label_config_names_its_place(http: httpx.Client) -> None:
    answer = http.post("/api/projects/", json={"label_config": "<View><Text></View>"})
    assert answer.json()["validation_errors"] == {"label_config": ["mismatched tag: line 1, column 14"]}


def test_a_patch_with_a_malformed_label_config_has_no_validation_errors(http: httpx.Client) -> None:
    answer = patched(http, label_config="<View><Text></View>")
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("Opening and ending tag mismatch: Text line 1 and View, line 1")
    assert "validation_errors" not in answer.json()


def test_a_label_config_is_parsed_and_weighed(http: httpx.Client) -> None:
    made = http.post("/api/projects/", json={"title": "Project", "label_config": BINARY}).json()
    assert made["control_weights"] == {"s": {"overall": 1.0, "type": "Choices", "labels": {"P": 1.0, "N": 1.0}}}
    assert made["parsed_label_config"] == {
        "s": {
            "type": "Choices",
            "to_name": ["text"],
            "inputs": [{"type": "Text", "valueType": None, "value": "text"}],
            "labels": ["P", "N"],
            "labels_attrs": {"P": {"value": "P"}, "N": {"value": "N"}},
        }
    }


def test_weights_of_a_known_control_are_kept_and_others_dropped(http: httpx.Client) -> None:
    weights = {"s": {"overall": 0.5, "type": "Choices", "labels": {"P": 0.2}}, "other": {"overall": 1.0}}
    answer = patched(http, label_config=BINARY, control_weights=weights)
    assert answer.json()["control_weights"] == {
        "s": {"overall": 0.5, "type": "Choices", "labels": {"P": 0.2, "N": 1.0}}
    }


def test_nested_settings_are_merged(http: httpx.Client) -> None:
    project_id = patched(http, review_settings={"review_criteria": "one"}).json()["id"]
    body = {"review_settings": {"anonymize_annotations": True}}
    settings = http.patch(f"/api/projects/{project_id}/", json=body).json()["review_settings"]
    assert (settings["review_criteria"], settings["anonymize_annotations"]) == ("one", True)


def test_a_wrong_value_in_nested_settings_is_named_there(http: httpx.Client) -> None:
    answer = patched(http, review_settings={"review_criteria": "some"})
    nested = {"review_criteria": [WRONG_CHOICE.format("some")]}
    assert answer.json()["validation_errors"] == {"review_settings": nested}


def test_a_published_project_is_no_draft(http: httpx.Client) -> None:
    answer = patched(http, is_draft=True, is_published=True).json()
    assert (answer["is_draft"], answer["is_published"]) == (False, True)


@pytest.mark.parametrize(
    ("config", "status", "body"),
    [
        pytest.param(BINARY, 204, None, id="good"),
        pytest.param("<View>", 400, {"label_config": ["no element found: line 1, column 6"]}, id="bad"),
    ],
)
def test_a_label_config_is_validated_without_a_token(
    anonymous: httpx.Client, config: str, status: int, body: object
) -> None:
    answer = anonymous.post("/api/projects/validate/", json={"label_config": config})
    assert (answer.status_code, answer.json() if answer.content else None) == (status, body)
