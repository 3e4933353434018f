"""The settable fields of a project as a pydantic model, from which everything else about them is derived.

The fields, their types, limits, choices and defaults are those of the vendor's OpenAPI (`PATCH
/api/projects/{id}/` of Label Studio Enterprise). A few limits are narrower than the server's, which accepts
values that make no sense, such as `maximum_annotations` 0 (measured on Community 1.23.2).
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from label_studio_stencil.json_value import JSON
from label_studio_stencil.rows import values as kinds
from label_studio_stencil.rows.values import Kind

#: Largest whole number that PostgreSQL stores; SQLite accepts more.
INT32 = 2**31 - 1


class Methodology(StrEnum):
    """How agreement between annotators is computed."""

    CONSENSUS = "consensus"
    PAIRWISE = "pairwise"


class Metric(StrEnum):
    """The measure of an annotator's work."""

    GT_AGREEMENT = "gt_agreement"
    ACCEPTANCE_SCORE = "acceptance_score"
    REJECTION_RATE = "rejection_rate"


class Sampling(StrEnum):
    """The order in which tasks are handed out."""

    SEQUENTIAL = "Sequential sampling"
    UNIFORM = "Uniform sampling"
    UNCERTAINTY = "Uncertainty sampling"


class SkipQueue(StrEnum):
    """Where a skipped task goes."""

    REQUEUE_FOR_ME = "REQUEUE_FOR_ME"
    REQUEUE_FOR_OTHERS = "REQUEUE_FOR_OTHERS"
    IGNORE_SKIPPED = "IGNORE_SKIPPED"


class TaskDistribution(StrEnum):
    """Who gets tasks in the label stream."""

    AUTO = "auto_distribution"
    ASSIGNED_ONLY = "assigned_only"


class ReviewCriteria(StrEnum):
    """When a task counts as reviewed."""

    ALL = "all"
    ONE = "one"


class RejectedTasks(StrEnum):
    """Where a task goes whose annotation was rejected."""

    REQUEUE = "requeue"
    REMOVE = "remove"
    FLEXIBLE = "flexible"


class ReviewSampling(StrEnum):
    """The order in which reviewers see tasks."""

    TASK_ID = "task_id"
    RANDOM = "random"
    BY_ANNOTATOR = "by_annotator"


class RejectAction(StrEnum):
    """What a reviewer may do with an annotation that they reject."""

    REMOVE = "remove"
    REQUEUE = "requeue"
    REDISTRIBUTE = "redistribute"


def _one_of(choices: type[StrEnum]) -> BeforeValidator:
    return BeforeValidator(partial(kinds.choice, tuple(one.value for one in choices)))


Boolean = Annotated[bool, Kind.BOOLEAN, BeforeValidator(kinds.boolean)]
Integer = Annotated[int, Kind.INTEGER, BeforeValidator(kinds.integer), Ge(-INT32 - 1), Le(INT32)]
Count = Annotated[int, Kind.INTEGER, BeforeValidator(kinds.integer), Ge(0), Le(INT32)]
Positive = Annotated[int, Kind.INTEGER, BeforeValidator(kinds.integer), Ge(1), Le(INT32)]
WholePercent = Annotated[int, Kind.INTEGER, BeforeValidator(kinds.integer), Ge(0), Le(100)]
Seconds = Annotated[int, Kind.INTEGER, BeforeValidator(kinds.integer), Ge(1), Le(86400)]
Share = Annotated[Decimal, Kind.DECIMAL, BeforeValidator(kinds.two_places), Ge(0), Le(1)]
Percent = Annotated[Decimal, Kind.DECIMAL, BeforeValidator(kinds.two_places), Ge(0), Le(100)]
Weight = Annotated[float, Kind.DECIMAL, BeforeValidator(kinds.number), Ge(0), Le(1)]
Line = Annotated[str, Kind.LINE, BeforeValidator(kinds.text)]
Credential = Annotated[str, Kind.LINE, BeforeValidator(kinds.text), MaxLen(256)]
Text = Annotated[str, Kind.TEXT, BeforeValidator(kinds.text)]
Xml = Annotated[str, Kind.XML, BeforeValidator(kinds.xml)]
Colour = Annotated[str, Kind.COLOUR, BeforeValidator(kinds.colour)]
Moment = Annotated[datetime, Kind.MOMENT, BeforeValidator(kinds.moment)]
Anything = Annotated[JsonValue, Kind.ANYTHING, BeforeValidator(kinds.anything)]
AnyObject = Annotated[dict[str, JsonValue], Kind.OBJECT, BeforeValidator(kinds.json_object)]


class _Part(BaseModel):
    """A settings object of a project. An unknown key is an error, because the server would drop it silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AssignmentSettings(_Part):
    """Who gets which tasks."""

    label_stream_task_distribution: Annotated[TaskDistribution, _one_of(TaskDistribution)] | None = None


class ReviewSettings(_Part):
    """How annotations are reviewed."""

    allowed_reject_actions: list[Annotated[RejectAction, _one_of(RejectAction)]] | None = None
    annotator_batch_percent: Percent | None = None
    anonymize_annotations: Boolean | None = None
    default_reject_action: Annotated[RejectAction, _one_of(RejectAction)] | None = None
    instruction: Text | None = None
    only_finished_tasks: Boolean | None = None
    requeue_rejected_tasks_mode: Annotated[RejectedTasks, _one_of(RejectedTasks)] | None = None
    require_comment_on_reject: Boolean | None = None
    review_criteria: Annotated[ReviewCriteria, _one_of(ReviewCriteria)] | None = None
    review_only_manual_assignments: Boolean | None = None
    review_task_limit_percent: Percent | None = None
    sampling: Annotated[ReviewSampling, _one_of(ReviewSampling)] | None = None
    show_agreement_to_reviewers: Boolean | None = None
    show_data_manager_to_reviewers: Boolean | None = None
    show_instruction: Boolean | None = None
    show_unused_data_columns_to_reviewers: Boolean | None = None


class ControlTagWeight(_Part):
    """How much a control tag counts when agreement is computed."""

    overall: Weight
    type: Line
    labels: dict[str, Weight] = Field(default_factory=dict)


def _some_weight(weights: dict[str, ControlTagWeight]) -> dict[str, ControlTagWeight]:
    if not any(weight.overall for weight in weights.values()):
        raise kinds.fault("all-weights-zero", "needs at least one tag whose overall weight is not zero")
    return weights


ControlWeights = Annotated[
    dict[str, ControlTagWeight], Kind.OBJECT, BeforeValidator(kinds.json_object), AfterValidator(_some_weight)
]
Review = Annotated[ReviewSettings, Kind.OBJECT, BeforeValidator(kinds.json_object)]
Assignment = Annotated[AssignmentSettings, Kind.OBJECT, BeforeValidator(kinds.json_object)]


def _setting(what: str, *, server: JSON = None, nullable: bool = False, community: bool = False) -> Any:
    """A field that is not set unless the row sets it.

    Args:
        what: What it does, in one line.
        server: The server's documented default.
        nullable: Whether the contract allows null; Stencil never sends it.
        community: Whether Community stores it (measured on 1.23.2); it ignores the others without an error.
    """
    more: dict[str, JSON] = {
        "server": server,
        "nullable": nullable,
        "community": community,
    }
    return Field(default=None, description=what, json_schema_extra=more)


class Overrides(BaseModel):
    """The project settings that a row sets on top of its template; `None` means not set.

    Values may look as spreadsheets write them (`TRUE`, `yes`, `3.0`). Title and workspace are not here: they are
    columns of the row itself.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement_methodology: Annotated[Methodology, Kind.CHOICE, _one_of(Methodology)] | None = _setting(
        "How agreement is computed: by consensus, or averaged over pairs.", server="pairwise"
    )
    agreement_threshold: Share | None = _setting(
        "Agreement that a task needs, as a share: 0.80 is 80 %.", nullable=True
    )
    annotation_limit_count: Positive | None = _setting("Most tasks that one annotator may label.", nullable=True)
    annotation_limit_percent: Percent | None = _setting(
        "Most tasks that one annotator may label, in percent of all tasks.", nullable=True
    )
    annotator_evaluation_continuous_tasks: Count | None = _setting(
        "Number of tasks in each continuous evaluation of an annotator.", server=0
    )
    annotator_evaluation_enabled: Boolean | None = _setting(
        "Evaluate all annotators against ground truth.", server=False, community=True
    )
    annotator_evaluation_metric: Annotated[Metric, Kind.CHOICE, _one_of(Metric)] | None = _setting(
        "Measure by which annotators are evaluated.", nullable=True
    )
    annotator_evaluation_minimum_score: Percent | None = _setting(
        "Score that an annotator needs to pass the evaluation, in percent.", server="95.00", nullable=True
    )
    annotator_evaluation_minimum_tasks: Count | None = _setting(
        "Number of tasks in an evaluation.", server=10, nullable=True
    )
    annotator_evaluation_onboarding_tasks: Count | None = _setting(
        "Number of tasks in the evaluation at the start.", server=0
    )
    assignment_settings: Assignment | None = _setting(
        "Who gets tasks: `label_stream_task_distribution` is `auto_distribution` or `assigned_only`."
    )
    color: Colour | None = _setting("Colour of the project's card.", nullable=True, community=True)
    comment_classification_config: Text | None = _setting("Labelling configuration for comments.")
    control_weights: ControlWeights | None = _setting(
        "How much each control tag, and each of its labels, counts in agreement.",
        nullable=True,
        community=True,
    )
    created_by: AnyObject | None = _setting("Owner of the project, as the server's user object.")
    custom_interface_code: Text | None = _setting("Source of a custom labelling interface.", nullable=True)
    custom_interface_compiled: Text | None = _setting("Compiled code of a custom labelling interface.", nullable=True)
    custom_interface_params: Anything | None = _setting("Parameters of a custom labelling interface.", nullable=True)
    custom_script: Text | None = _setting("Plugin that runs in the labelling interface (JavaScript).")
    custom_task_lock_ttl: Seconds | None = _setting(
        "How long a task stays reserved for an annotator, in seconds.", nullable=True
    )
    description: Text | None = _setting("Description of the project.", nullable=True, community=True)
    dm_column_defaults: AnyObject | None = _setting(
        "Columns of the Data Manager: `explore` and `labeling` with the `order` of columns and, by role, which are `visible`.",
        nullable=True,
    )
    enable_empty_annotation: Boolean | None = _setting("Allow empty annotations.", community=True)
    evaluate_predictions_automatically: Boolean | None = _setting(
        "Retrieve predictions when a task is opened.", community=True
    )
    expert_instruction: Text | None = _setting(
        "Instructions for annotators, text or HTML.", nullable=True, community=True
    )
    input_schema: Anything | None = _setting("Schema of the data that the interface takes.", nullable=True)
    internal_description: Anything | None = _setting("Description for the organization's own use.", nullable=True)
    is_draft: Boolean | None = _setting("Mark the project as a draft.", community=True)
    is_published: Boolean | None = _setting("Publish the project, so that annotators can see it.", community=True)
    label_config: Xml | None = _setting("Labelling configuration, as XML.", nullable=True, community=True)
    max_additional_annotators_assignable: Integer | None = _setting(
        "Number of annotators that may be added to a task whose agreement is low.", nullable=True
    )
    maximum_annotations: Positive | None = _setting("Number of annotations that a task needs.", community=True)
    min_annotations_to_start_training: Count | None = _setting(
        "Number of annotations after which model training starts.", community=True
    )
    model_version: Line | None = _setting(
        "Version of the model whose predictions are shown.", nullable=True, community=True
    )
    organization: Positive | None = _setting(
        "Organization of the project; moving it may hide it from you.", nullable=True, community=True
    )
    output_schema: Anything | None = _setting("Schema of the interface's results.", nullable=True)
    overlap_cohort_percentage: WholePercent | None = _setting(
        "Share of the tasks that more than one annotator gets, in percent.", community=True
    )
    pause_on_failed_annotator_evaluation: Boolean | None = _setting(
        "Pause an annotator who fails the evaluation.", server=False, nullable=True
    )
    pinned_at: Moment | None = _setting(
        "Date since which the project is pinned to the top.", nullable=True, community=True
    )
    require_comment_on_skip: Boolean | None = _setting("Require a comment when a task is skipped.", server=False)
    reveal_preannotations_interactively: Boolean | None = _setting(
        "Show predictions step by step, as regions are drawn.", community=True
    )
    review_settings: Review | None = _setting("How annotations are reviewed.")
    sampling: Annotated[Sampling, Kind.CHOICE, _one_of(Sampling)] | None = _setting(
        "Order in which tasks are handed out.", nullable=True, community=True
    )
    show_annotation_history: Boolean | None = _setting("Show annotators the annotation history.", community=True)
    show_collab_predictions: Boolean | None = _setting(
        "Pre-label tasks with predictions; false also clears `model_version`.", community=True
    )
    show_ground_truth_first: Boolean | None = _setting(
        "Show tasks with ground truth first (deprecated by the vendor).", community=True
    )
    show_instruction: Boolean | None = _setting("Show instructions before labelling.", community=True)
    show_overlap_first: Boolean | None = _setting(
        "Hand out tasks with overlap (several annotators) first.", community=True
    )
    show_skip_button: Boolean | None = _setting("Allow annotators to skip tasks.", community=True)
    show_unused_data_columns_to_annotators: Boolean | None = _setting(
        "Show all data columns to annotators; false shows only those that the configuration uses.",
        nullable=True,
    )
    skip_queue: Annotated[SkipQueue, Kind.CHOICE, _one_of(SkipQueue)] | None = _setting(
        "Where skipped tasks go.", nullable=True, community=True
    )
    source_interface_id: Positive | None = _setting("Saved interface that the project uses.", nullable=True)
    source_interface_version: Positive | None = _setting(
        "Version of the saved interface that the project uses.", nullable=True
    )
    strict_task_overlap: Boolean | None = _setting(
        "Never hand out a task more often than its overlap says.", server=True
    )
    task_data_login: Credential | None = _setting(
        "Login for the storage that holds the task data.", nullable=True, community=True
    )
    task_data_password: Credential | None = _setting(
        "Password for the storage that holds the task data.", nullable=True, community=True
    )
    use_custom_interface: Boolean | None = _setting("Use the custom labelling interface.", server=False)

    def payload(self) -> dict[str, JSON]:
        """The fields that are set, in the API's format: decimals as `"0.80"`, times as ISO 8601 in UTC."""
        found: dict[str, JSON] = self.model_dump(mode="json", exclude_unset=True)
        return {name: value for name, value in found.items() if value is not None}
