"""The content of a fresh sandbox: six project templates, six workspaces, no projects."""

from label_studio_sandbox._json import Object
from label_studio_sandbox.store import Store
from label_studio_sandbox.templates import new_template
from label_studio_sandbox.workspaces import new_workspace

_SENTIMENT = """<View>
  <Header value="What is the overall sentiment of this review?"/>
  <Text name="text" value="$text"/>
  <Choices name="sentiment" toName="text" choice="single" showInline="true">
    <Choice value="Positive"/>
    <Choice value="Neutral"/>
    <Choice value="Negative"/>
  </Choices>
</View>"""
_ENTITIES = """<View>
  <Labels name="label" toName="text">
    <Label value="Person" background="#D4380D"/>
    <Label value="Organisation" background="#FFC069"/>
    <Label value="Location" background="#AD8B00"/>
    <Label value="Date" background="#389E0D"/>
  </Labels>
  <Text name="text" value="$text"/>
</View>"""
_IMAGE = """<View>
  <Image name="image" value="$image"/>
  <Choices name="category" toName="image" choice="single">
    <Choice value="Intact"/>
    <Choice value="Scratched"/>
    <Choice value="Dented"/>
    <Choice value="Unusable photo"/>
  </Choices>
</View>"""
_BOXES = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <RectangleLabels name="label" toName="image">
    <Label value="Car" background="#1890FF"/>
    <Label value="Lorry" background="#722ED1"/>
    <Label value="Cyclist" background="#52C41A"/>
    <Label value="Pedestrian" background="#FA541C"/>
  </RectangleLabels>
</View>"""
_AUDIO = """<View>
  <Audio name="audio" value="$audio" zoom="true" hotkey="ctrl+enter"/>
  <Header value="Write down what you hear"/>
  <TextArea name="transcription" toName="audio" rows="4" editable="true" maxSubmissions="1"/>
</View>"""
_SUMMARY = """<View>
  <Text name="document" value="$document"/>
  <Header value="Summarise the document in two or three sentences"/>
  <TextArea name="summary" toName="document" rows="4" required="true" maxSubmissions="1"/>
  <Rating name="difficulty" toName="document" maxRating="5"/>
</View>"""

_TEMPLATES: tuple[Object, ...] = (
    {
        "name": "Sentiment Analysis",
        "description": "One sentiment for each review, two annotators, consensus.",
        "tags": ["text", "classification"],
        "project_settings": {
            "label_config": _SENTIMENT,
            "description": "Sentiment of customer reviews",
            "expert_instruction": "<p>Judge the text as a whole. Irony counts as what is <b>meant</b>.</p>",
            "show_instruction": True,
            "maximum_annotations": 2,
            "agreement_methodology": "consensus",
            "agreement_threshold": "0.80",
            "color": "#617ADA",
        },
        "assignment_settings": {"label_stream_task_distribution": "auto_distribution"},
        "review_settings": {"review_criteria": "one", "only_finished_tasks": True},
    },
    {
        "name": "Named Entity Recognition",
        "description": "People, organisations, places and dates in running text.",
        "tags": ["text", "spans"],
        "project_settings": {
            "label_config": _ENTITIES,
            "expert_instruction": "<p>Mark the longest span that names one thing. Leave titles out.</p>",
            "maximum_annotations": 3,
            "overlap_cohort_percentage": 20,
            "show_overlap_first": True,
            "enable_empty_annotation": True,
            "color": "#D55C9D",
        },
        "review_settings": {"review_criteria": "all", "requeue_rejected_tasks_mode": "requeue"},
        "require_comment_on_skip": True,
    },
    {
        "name": "Image Classification",
        "description": "One state of damage for each photograph.",
        "tags": ["image", "classification"],
        "project_settings": {
            "label_config": _IMAGE,
            "expert_instruction": "<p>Look at the whole part. Dirt is not damage.</p>",
            "maximum_annotations": 1,
            "enable_empty_annotation": False,
            "skip_queue": "IGNORE_SKIPPED",
            "color": "#F6C549",
        },
    },
    {
        "name": "Object Detection with Bounding Boxes",
        "description": "Road users as tight boxes.",
        "tags": ["image", "boxes"],
        "project_settings": {
            "label_config": _BOXES,
            "expert_instruction": "<p>Draw boxes tightly. Skip objects of which less than a fifth shows.</p>",
            "show_instruction": True,
            "maximum_annotations": 2,
            "overlap_cohort_percentage": 50,
            "sampling": "Uniform sampling",
            "custom_task_lock_ttl": 7200,
            "color": "#51AAFD",
        },
        "assignment_settings": {"label_stream_task_distribution": "assigned_only"},
    },
    {
        "name": "Audio Transcription",
        "description": "What is said, word for word.",
        "tags": ["audio"],
        "project_settings": {
            "label_config": _AUDIO,
            "expert_instruction": "<p>Write every word. Mark what you cannot hear as [unclear].</p>",
            "maximum_annotations": 1,
            "show_skip_button": False,
            "enable_empty_annotation": False,
            "color": "#7F64FF",
        },
        "review_settings": {"review_criteria": "all", "sampling": "random"},
    },
    {
        "name": "Document Summarisation",
        "description": "Two or three sentences for each document.",
        "tags": ["text", "generation"],
        "project_settings": {
            "label_config": _SUMMARY,
            "expert_instruction": "<p>Use your own words. Add nothing that the document does not say.</p>",
            "maximum_annotations": 2,
            "show_collab_predictions": False,
            "annotator_evaluation_minimum_score": "90.00",
            "color": "#2EA44F",
        },
    },
)
_WORKSPACES: tuple[Object, ...] = (
    {"title": "Customer Feedback", "description": "Reviews, surveys and support tickets", "color": "#617ADA"},
    {"title": "Legal Documents", "description": "Contracts and correspondence", "color": "#AD8B00"},
    {"title": "Vision", "description": "Photographs from the line and from the road", "color": "#51AAFD"},
    {"title": "Speech", "description": "Calls and dictation", "color": "#7F64FF"},
    {"title": "Research", "description": "Trials, shared with the university", "color": "#2EA44F"},
    {"title": "Archive 2024", "description": "Finished work", "color": "#999999", "is_archived": True},
)


def seed(store: Store) -> None:
    """Fill a store that was never seeded with templates and workspaces."""
    if store.fact("seeded"):
        return
    with store.transaction():
        for template in _TEMPLATES:
            store.add("templates", new_template(template))
        for workspace in _WORKSPACES:
            store.add("workspaces", new_workspace(workspace))
        store.remember("seeded", "yes")
