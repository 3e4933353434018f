"""A project as Label Studio's API answers it, saved as JSON: its settings make a template.

Keys that only an answer has, passwords and what belongs to that one project are ignored.
"""

from collections.abc import Mapping

from label_studio_stencil.json_value import JSON, NotJSONError, json_of
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.templates.exporting import exported, left_out
from label_studio_stencil.templates.projects import lent_settings


def template_text(text: str) -> str:
    """The template file that a saved answer makes; any other text as it is.

    Raises:
        ValueError: It is a list with more or fewer than one project, or a setting has a value that no project takes.
    """
    try:
        answer = _answer_in(json_of(text))
    except NotJSONError:
        # A list or mapping in YAML, which may look much like JSON.
        return text
    if answer is None:
        return text
    name = str(answer["title"] or f"project {answer['id']}")
    fields = lent_settings(answer, Edition.ENTERPRISE)
    if wrong := left_out(fields):
        raise ValueError("; ".join(message.rstrip(".") for message in wrong))
    return exported(name, fields, str(answer.get("description") or ""))


def _answer_in(content: object) -> Mapping[str, JSON] | None:
    """The project that an answer describes; `None` if it is no answer."""
    if not isinstance(content, Mapping):
        return None
    listed = content.get("results")
    if isinstance(listed, list) and "count" in content:
        if len(listed) != 1 or not isinstance(listed[0], Mapping):
            raise ValueError(f"it is a list of {len(listed)} projects: save one project")
        content = listed[0]
    return content if "id" in content and "title" in content else None
