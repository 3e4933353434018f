"""The official SDK, a client that we did not write, works on the sandbox and reads what it expects."""

import json
from collections.abc import Iterator

import httpx
import pytest
from label_studio_sdk import LabelStudio
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.projects.client import ProjectsClient
from label_studio_sdk.types.lse_project import LseProject
from label_studio_sdk.types.lse_project_create import LseProjectCreate
from label_studio_sdk.types.project_member_bulk_assign_roles_request import ProjectMemberBulkAssignRolesRequest
from pydantic import TypeAdapter

from label_studio_sandbox import Sandbox, spec

# The SDK reads the answer of the token call with a method that pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The `parse_obj` method is deprecated:DeprecationWarning:label_studio_sdk.tokens.client_ext"
)

#: The fields that the vendor's page on create-project lists in its answer.
DOCUMENTED = {
    "start_training_on_annotation_update", "state", "task_number", "total_annotations_number",
    "total_predictions_number", "useful_annotation_number", "workspace", "workspace_title",
    "agreement_methodology", "agreement_threshold", "annotation_limit_count", "annotation_limit_percent",
    "annotator_evaluation_continuous_tasks", "annotator_evaluation_enabled", "annotator_evaluation_minimum_score",
    "annotator_evaluation_minimum_tasks", "annotator_evaluation_onboarding_tasks", "color",
    "comment_classification_config", "control_weights", "created_by", "custom_interface_code",
    "custom_interface_compiled", "custom_interface_params", "custom_script", "custom_task_lock_ttl",
    "description", "duplication_done", "duplication_status", "enable_empty_annotation",
    "evaluate_predictions_automatically", "expert_instruction", "input_schema", "is_draft", "is_published",
    "label_config", "max_additional_annotators_assignable", "pause_on_failed_annotator_evaluation", "pinned_at",
    "require_comment_on_skip", "reveal_preannotations_interactively", "sampling", "show_annotation_history",
    "show_collab_predictions", "show_instruction", "show_overlap_first", "show_skip_button",
    "show_unused_data_columns_to_annotators", "skip_queue", "source_interface_id", "source_interface_version",
    "strict_task_overlap", "task_data_login", "task_data_password", "title", "use_custom_interface",
    "show_ground_truth_first",
}  # fmt: skip


@pytest.fixture(params=["legacy", "personal"])
def sdk(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[LabelStudio]:
    key = sandbox.token if request.param == "legacy" else sandbox.personal_access_token
    client = LabelStudio(base_url=sandbox.url, api_key=key)
    yield client
    client._client_wrapper.httpx_client.httpx_client.close()


def test_templates_are_listed_and_got(sdk: LabelStudio) -> None:
    templates = sdk.project_templates.list()
    assert len(templates) >= 6
    assert sdk.project_templates.get(templates[0].id) == templates[0]


def test_a_template_is_created_from_a_project_and_makes_projects_like_it(sdk: LabelStudio) -> None:
    source = sdk.projects.create(title="Source", maximum_annotations=4, color="#112233")
    template = sdk.project_templates.create(name="From a project", project_id=source.id)
    made = sdk.project_templates.create_project_from_template(template.id, title="Made", workspace_id=2)
    assert (made.title, made.workspace, made.maximum_annotations, made.color) == ("Made", 2, 4, "#112233")


def test_a_template_is_updated_and_deleted(sdk: LabelStudio) -> None:
    assert sdk.project_templates.update(1, name="Renamed").name == "Renamed"
    sdk.project_templates.delete(1)
    with pytest.raises(ApiError) as caught:
        sdk.project_templates.get(1)
    assert caught.value.status_code == 404


def test_a_project_has_the_settings_of_its_template(sdk: LabelStudio) -> None:
    template = sdk.project_templates.get(1)
    made = sdk.project_templates.create_project_from_template(1, title="Reviews", description="June")
    assert template.project_settings["label_config"] == made.label_config
    assert (made.agreement_methodology, made.agreement_threshold) == ("consensus", "0.80")
    assert (made.review_settings.review_criteria, made.review_settings.only_finished_tasks) == ("one", True)
    assert made.description == "June"


def test_the_answer_to_create_project_holds_every_documented_field(sdk: LabelStudio) -> None:
    made = sdk.project_templates.create_project_from_template(1, title="Complete", workspace_id=1)
    assert not DOCUMENTED - made.model_fields_set


def test_the_answer_to_create_project_holds_every_field_of_the_sdks_type(sdk: LabelStudio) -> None:
    made = sdk.project_templates.create_project_from_template(1, title="Complete", workspace_id=1)
    assert made.model_fields_set == set(LseProject.model_fields)


def test_the_answer_to_a_plain_create_holds_every_field_of_the_sdks_type(sdk: LabelStudio) -> None:
    assert sdk.projects.create(title="Complete").model_fields_set == set(LseProjectCreate.model_fields)


def test_the_answers_hold_values_of_the_sdks_types(sdk: LabelStudio, http: httpx.Client) -> None:
    made = sdk.project_templates.create_project_from_template(1, title="Typed", workspace_id=1)
    body = http.get(f"/api/projects/{made.id}/").json()
    for name, kind in LseProject.model_fields.items():
        TypeAdapter(kind.annotation).validate_json(json.dumps(body[name]), strict=True)


def test_projects_are_listed_through_their_pages(sdk: LabelStudio) -> None:
    ids = [sdk.projects.create(title=f"Project {i}").id for i in range(7)]
    assert [project.id for project in sdk.projects.list(page_size=3)] == ids[::-1]


def test_projects_are_listed_by_title_and_workspace(sdk: LabelStudio) -> None:
    wanted = sdk.projects.create(title="Wanted here", workspace=2)
    sdk.projects.create(title="Wanted there", workspace=3)
    sdk.projects.create(title="Other", workspace=2)
    found = list(sdk.projects.list(title="WANTED", workspaces=2))
    assert [(project.id, project.workspace_title) for project in found] == [(wanted.id, "Legal Documents")]


def test_a_project_is_got_updated_and_deleted(sdk: LabelStudio) -> None:
    project = sdk.projects.create(title="Project")
    updated = sdk.projects.update(project.id, annotation_limit_percent="12.5", workspace=4, is_published=True)
    assert (updated.annotation_limit_percent, updated.workspace, updated.is_published) == ("12.50", 4, True)
    assert sdk.projects.get(project.id).annotation_limit_percent == "12.50"
    sdk.projects.delete(project.id)
    assert list(sdk.projects.list()) == []


def test_imported_tasks_are_counted(sdk: LabelStudio) -> None:
    project = sdk.projects.create(title="Project")
    sdk.projects.import_tasks(project.id, request=[{"text": "one"}, {"text": "two"}])
    assert sdk.projects.get(project.id).task_number == 2


def test_workspaces_are_listed_created_got_updated_and_deleted(sdk: LabelStudio) -> None:
    made = sdk.workspaces.create(title="New one", color="#123456")
    assert made.id in [workspace.id for workspace in sdk.workspaces.list()]
    assert sdk.workspaces.update(made.id, title="Newer").title == "Newer"
    assert sdk.workspaces.get(made.id).color == "#123456"
    sdk.workspaces.delete(made.id)
    assert made.id not in [workspace.id for workspace in sdk.workspaces.list()]


def test_a_workspaces_projects_are_listed_added_and_removed(sdk: LabelStudio) -> None:
    project = sdk.projects.create(title="Project")
    sdk.workspaces.projects.add(1, project=project.id)
    assert [found.id for found in sdk.workspaces.projects.list(1)] == [project.id]
    sdk.workspaces.projects.remove(1, project=project.id)
    assert sdk.workspaces.projects.list(1) == []


def test_the_token_belongs_to_a_user(sdk: LabelStudio) -> None:
    user = sdk.users.whoami()
    assert (user.id, user.email, user.username) == (1, "admin@example.com", "admin")


def test_the_edition_is_enterprise(sdk: LabelStudio) -> None:
    assert sdk.versions.get().edition == "Enterprise"


def test_a_rejection_reaches_the_sdk_with_its_fields(sdk: LabelStudio) -> None:
    with pytest.raises(ApiError) as caught:
        sdk.projects.create(title="ab")
    assert caught.value.body["validation_errors"] == {"title": ["Ensure this field has at least 3 characters."]}


def test_people_are_listed_and_made_members_of_a_project(sdk: LabelStudio) -> None:
    people = {user.email: user.id for user in sdk.users.list()}
    project = sdk.projects.create(title="With members")
    roles = [ProjectMemberBulkAssignRolesRequest(user_id=people["rob@example.com"], role="RE")]
    ids = [people["ann@example.com"], people["rob@example.com"], 999]
    added = sdk.projects.members.bulk.post(project.id, all_=False, included=ids, roles=roles)
    assert (added.assignments, added.skipped_user_ids) == (2, [999])
    again = sdk.projects.members.bulk.post(project.id, all_=False, included=ids[:2])
    assert again.assignments == 0


@pytest.mark.parametrize(("call", "settable"), [("create", spec.ON_CREATE), ("update", spec.ON_UPDATE)])
def test_every_setting_of_the_sdks_calls_is_settable(call: str, settable: dict[str, object]) -> None:
    arguments = set(getattr(ProjectsClient, call).__annotations__) - {
        "return",
        "id",
        "members_limit",
        "request_options",
    }
    # These need more than their value.
    assert arguments == settable.keys() | {"workspace", "organization", "created_by"}


def test_the_columns_of_the_data_manager_are_set_and_cleared(sdk: LabelStudio, http: httpx.Client) -> None:
    columns = {"explore": {"order": ["id", "text"], "visible": {"AN": ["text"]}}}
    project = sdk.projects.create(title="Project", dm_column_defaults=columns)
    assert http.get(f"/api/projects/{project.id}/").json()["dm_column_defaults"] == columns
    assert sdk.projects.update(project.id, dm_column_defaults=None).dm_column_defaults is None


def test_the_collection_mode_is_set_at_creation_alone(http: httpx.Client) -> None:
    body = {"title": "Project", "use_custom_interface": True, "collection_mode": "open"}
    made = http.post("/api/projects/", json=body).json()
    changed = http.patch(f"/api/projects/{made['id']}/", json={"collection_mode": "assigned"}).json()
    assert (made["collection_mode"], changed["collection_mode"]) == ("open", "open")
    assert http.post("/api/projects/", json=body | {"use_custom_interface": False}).status_code == 400


def test_who_made_a_project_stays_who_it_was(http: httpx.Client) -> None:
    made = http.post("/api/projects/", json={"title": "Project"}).json()
    changed = http.patch(f"/api/projects/{made['id']}/", json={"created_by": {"username": "ann"}})
    assert changed.json()["created_by"] == made["created_by"]
    refused = http.patch(f"/api/projects/{made['id']}/", json={"created_by": {"email": "ann@example.com"}})
    assert refused.json()["validation_errors"] == {"created_by": {"username": ["This field is required."]}}


@pytest.mark.parametrize(
    ("setting", "status"),
    [
        ({"requeue_rejected_tasks_mode": None, "review_criteria": None, "sampling": None}, 200),
        ({"annotator_batch_percent": None}, 400),
    ],
    ids=str,
)
def test_review_settings_take_null_where_enterprise_does(
    http: httpx.Client, setting: dict[str, None], status: int
) -> None:
    made = http.post("/api/projects/", json={"title": "Project"}).json()
    answer = http.patch(f"/api/projects/{made['id']}/", json={"review_settings": setting})
    assert answer.status_code == status


def test_people_have_the_fields_that_enterprise_requires(http: httpx.Client) -> None:
    required = {"active_organization_meta", "initials", "last_activity", "org_membership", "organization_membership"}
    assert all(required <= person.keys() for person in http.get("/api/users/").json())


def test_a_personal_token_says_until_when_it_is_valid(sandbox: Sandbox, http: httpx.Client) -> None:
    http.post("/api/token/blacklist/", json={"refresh": sandbox.personal_access_token})
    made = http.post("/api/token/").json()
    [listed] = http.get("/api/token/").json()
    assert made["created_at"] < made["expires_at"]
    assert (listed["created_at"], listed["expires_at"]) == (made["created_at"], made["expires_at"])
