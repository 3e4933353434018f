"""The fields of a project: which can be set, their limits, and their defaults.

Names, limits and defaults are those of the vendor's OpenAPI for Enterprise; where Community has the field as well,
its measured behaviour (1.23.2) decides.
"""

from label_studio_sandbox._json import Object
from label_studio_sandbox.fields import (
    Choice,
    Choices,
    Colour,
    Digits,
    Field,
    Flag,
    Free,
    Integer,
    Moment,
    Nested,
    Schema,
    Text,
    Texts,
)
from label_studio_sandbox.labelconfig import Config

ASSIGNMENT = Schema(
    {"label_stream_task_distribution": Choice(frozenset({"auto_distribution", "assigned_only"}), nullable=True)}
)
ASSIGNMENT_DEFAULTS: Object = {"label_stream_task_distribution": "auto_distribution"}

_REJECT_ACTIONS = frozenset({"remove", "requeue", "redistribute"})

REVIEW = Schema(
    {
        "allowed_reject_actions": Choices(_REJECT_ACTIONS),
        "annotator_batch_percent": Digits(3, nullable=False),
        "anonymize_annotations": Flag(),
        "default_reject_action": Choice(_REJECT_ACTIONS, nullable=True),
        "instruction": Text(nullable=True),
        "only_finished_tasks": Flag(),
        "requeue_rejected_tasks_mode": Choice(frozenset({"requeue", "remove", "flexible"}), nullable=True),
        "require_comment_on_reject": Flag(),
        "review_criteria": Choice(frozenset({"all", "one"}), nullable=True),
        "review_only_manual_assignments": Flag(),
        "review_task_limit_percent": Digits(3),
        "sampling": Choice(frozenset({"task_id", "random", "by_annotator"}), nullable=True),
        "show_agreement_to_reviewers": Flag(),
        "show_data_manager_to_reviewers": Flag(),
        "show_instruction": Flag(),
        "show_unused_data_columns_to_reviewers": Flag(nullable=True),
    }
)
REVIEW_DEFAULTS: Object = {
    "allowed_reject_actions": ["remove", "requeue"],
    "annotator_batch_percent": "100.00",
    "anonymize_annotations": False,
    "default_reject_action": "remove",
    "instruction": "",
    "only_finished_tasks": False,
    "requeue_rejected_tasks_mode": "flexible",
    "requeue_rejected_tasks_to_annotator": False,
    "require_comment_on_reject": False,
    "review_criteria": "all",
    "review_only_manual_assignments": False,
    "review_task_limit_percent": None,
    "sampling": "task_id",
    "show_agreement_to_reviewers": False,
    "show_data_manager_to_reviewers": False,
    "show_instruction": False,
    "show_unused_data_columns_to_reviewers": None,
}

_COLUMNS = Nested(Schema({"order": Texts(), "visible": Free()}))

#: Settable by `POST /api/projects/`, besides `workspace`, `organization` and `created_by`, which need the store.
ON_CREATE: dict[str, Field] = {
    "title": Text(3, 50, nullable=True),
    "description": Text(nullable=True),
    "label_config": Config(),
    "expert_instruction": Text(nullable=True),
    "model_version": Text(nullable=True),
    "color": Colour(),
    "control_weights": Free(),
    "pinned_at": Moment(),
    "maximum_annotations": Integer(),
    "min_annotations_to_start_training": Integer(),
    "overlap_cohort_percentage": Integer(),
    "sampling": Choice(frozenset({"Sequential sampling", "Uniform sampling", "Uncertainty sampling"}), nullable=True),
    "skip_queue": Choice(frozenset({"REQUEUE_FOR_ME", "REQUEUE_FOR_OTHERS", "IGNORE_SKIPPED"}), nullable=True),
    "task_data_login": Text(max_length=256, nullable=True),
    "task_data_password": Text(max_length=256, nullable=True),
    "annotator_evaluation_enabled": Flag(),
    "is_draft": Flag(),
    "is_published": Flag(),
    "enable_empty_annotation": Flag(),
    "evaluate_predictions_automatically": Flag(),
    "reveal_preannotations_interactively": Flag(),
    "show_annotation_history": Flag(),
    "show_collab_predictions": Flag(),
    "show_ground_truth_first": Flag(),
    "show_instruction": Flag(),
    "show_overlap_first": Flag(),
    "show_skip_button": Flag(),
    "use_custom_interface": Flag(),
    "custom_interface_code": Text(nullable=True),
    "custom_interface_compiled": Text(nullable=True),
    "custom_interface_params": Free(),
    "input_schema": Free(),
    "output_schema": Free(),
    "internal_description": Free(),
    "dm_column_defaults": Nested(Schema(dict.fromkeys(("explore", "labeling"), _COLUMNS)), nullable=True),
    "collection_mode": Choice(frozenset({"assigned", "open"}), nullable=True),
    "source_interface_id": Integer(nullable=True),
    "source_interface_version": Integer(nullable=True),
}

#: Settable only by `PATCH /api/projects/{id}/`.
_ONLY_ON_UPDATE: dict[str, Field] = {
    "agreement_methodology": Choice(frozenset({"consensus", "pairwise"})),
    "agreement_threshold": Digits(1),
    "annotation_limit_count": Integer(1, nullable=True),
    "annotation_limit_percent": Digits(3),
    "annotator_evaluation_metric": Choice(
        frozenset({"gt_agreement", "acceptance_score", "rejection_rate"}), nullable=True
    ),
    "annotator_evaluation_minimum_score": Digits(3),
    "annotator_evaluation_minimum_tasks": Integer(0, nullable=True),
    "annotator_evaluation_continuous_tasks": Integer(0),
    "annotator_evaluation_onboarding_tasks": Integer(0),
    "pause_on_failed_annotator_evaluation": Flag(nullable=True),
    "max_additional_annotators_assignable": Integer(nullable=True),
    "custom_task_lock_ttl": Integer(1, 86_400, nullable=True),
    "require_comment_on_skip": Flag(),
    "strict_task_overlap": Flag(),
    "show_unused_data_columns_to_annotators": Flag(nullable=True),
    "comment_classification_config": Text(),
    "custom_script": Text(),
    "assignment_settings": Nested(ASSIGNMENT),
    "review_settings": Nested(REVIEW),
}

#: `collection_mode` can only be set at creation.
ON_UPDATE: dict[str, Field] = {k: v for k, v in ON_CREATE.items() if k != "collection_mode"} | _ONLY_ON_UPDATE

#: The counters: numbers in all answers of Enterprise; in Community's answer to a create they are null.
COUNTERS = (
    "task_number",
    "finished_task_number",
    "total_predictions_number",
    "total_annotations_number",
    "num_tasks_with_annotations",
    "useful_annotation_number",
    "ground_truth_number",
    "skipped_annotations_number",
)

#: Defaults of a project: the settable fields, then the server's own.
DEFAULTS: Object = {
    "title": "",
    "description": "",
    "label_config": "<View></View>",
    "expert_instruction": "",
    "model_version": "",
    "color": "#FFFFFF",
    "pinned_at": None,
    "maximum_annotations": 1,
    "min_annotations_to_start_training": 0,
    "overlap_cohort_percentage": 100,
    "sampling": "Sequential sampling",
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "task_data_login": None,
    "task_data_password": None,
    "annotator_evaluation_enabled": False,
    "is_draft": False,
    "is_published": False,
    "enable_empty_annotation": True,
    "evaluate_predictions_automatically": False,
    "reveal_preannotations_interactively": False,
    "show_annotation_history": False,
    "show_collab_predictions": True,
    "show_ground_truth_first": False,
    "show_instruction": False,
    "show_overlap_first": False,
    "show_skip_button": True,
    "use_custom_interface": False,
    "custom_interface_code": None,
    "custom_interface_compiled": None,
    "custom_interface_params": None,
    "input_schema": None,
    "output_schema": None,
    "internal_description": [],
    "dm_column_defaults": None,
    "collection_mode": None,
    "source_interface_id": None,
    "source_interface_version": None,
    "agreement_methodology": "pairwise",
    "agreement_threshold": None,
    "annotation_limit_count": None,
    "annotation_limit_percent": None,
    "annotator_evaluation_metric": "gt_agreement",
    "annotator_evaluation_minimum_score": "95.00",
    "annotator_evaluation_minimum_tasks": 10,
    "annotator_evaluation_continuous_tasks": 0,
    "annotator_evaluation_onboarding_tasks": 0,
    "pause_on_failed_annotator_evaluation": False,
    "max_additional_annotators_assignable": None,
    "custom_task_lock_ttl": None,
    "require_comment_on_skip": False,
    "strict_task_overlap": True,
    "show_unused_data_columns_to_annotators": None,
    "comment_classification_config": "",
    "custom_script": "",
}
SERVER_DEFAULTS: Object = {
    "organization": 1,
    "duplication_done": False,
    "duplication_status": "",
    "is_dimensions_enabled": False,
    "members": [],
    "members_count": 0,
    "prompts": [],
    "permissions": ["projects.view", "projects.change", "projects.delete"],
    "state": "CREATED",
    "queue_total": 0,
    "queue_done": 0,
    "queue_left": 0,
    "reviewer_queue_total": 0,
}
#: Fields in the answers to `GET` and `PATCH` of a project that the answer to a create lacks.
RESPONSE_EXTRAS: Object = {
    "allow_stream": True,
    "ready": True,
    "rejected": 0,
    "review_total_tasks": 0,
    "reviewed_number": 0,
}
#: Further fields of an item of the list.
LIST_EXTRAS: Object = {"blueprints": [], "internal_description_short": ""}
#: Fields that an item of the list lacks.
NOT_IN_LIST = ("permissions", "task_data_login", "task_data_password")
#: Fields that the answer to `POST /api/projects/` lacks.
NOT_ON_CREATE = (
    *_ONLY_ON_UPDATE,
    "data_types",
    "duplication_done",
    "duplication_status",
    "is_dimensions_enabled",
    "members",
    "members_count",
    "permissions",
    "prompts",
    "queue_left",
    "reviewer_queue_total",
    "workspace_title",
)

#: The settings that a project template keeps besides `project_settings`.
TEMPLATE_LEVEL = ("custom_script", "require_comment_on_skip", "show_unused_data_columns_to_annotators")
#: Fields that belong to one project and are not copied by a template.
OWN_TO_A_PROJECT = ("title", "pinned_at", "is_published", "is_draft", "assignment_settings", "review_settings")

CREATE_PROJECT = Schema(
    # No maximum is declared for this title; the project model's 50 is assumed, since what Enterprise does with a
    # longer one is not documented.
    {"title": Text(1, 50, blank=False), "description": Text(nullable=True), "workspace_id": Integer()},
    frozenset({"title"}),
)
TEMPLATE = Schema(
    {
        "name": Text(1, 1000, blank=False),
        "description": Text(1, nullable=True, blank=False),
        "organization": Integer(nullable=True),
        "created_by": Integer(nullable=True),
        "assignment_settings": Free(),
        "project_settings": Free(),
        "review_settings": Free(),
        "tags": Free(),
        "custom_script": Text(1, nullable=True, blank=False),
        "require_comment_on_skip": Flag(),
        "show_unused_data_columns_to_annotators": Flag(nullable=True),
        "project_id": Integer(),
    },
    frozenset({"name", "project_id"}),
)
WORKSPACE = Schema(
    {
        "title": Text(1, 1000, blank=False),
        "description": Text(nullable=True),
        "color": Text(max_length=16, nullable=True),
        "is_archived": Flag(),
        "is_personal": Flag(),
    },
    frozenset({"title"}),
)
