"""Imports of tasks, which are answered first and carried out later, as on Enterprise.

The answer has the import's id. Only the import's state says whether the tasks fit the labelling configuration (the vendor's
OpenAPI). The message about a task that doesn't fit is that of Label Studio Community 1.23.2, which quotes the task.
"""

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import NotFound, Rejected
from label_studio_sandbox.fields import now
from label_studio_sandbox.labelconfig import analyse
from label_studio_sandbox.projects import config_of, reread
from label_studio_sandbox.store import Project, Store

#: Types of data that some tags can show; all others show text.
_KINDS: tuple[tuple[str, list[type]], ...] = (
    ("Header", [str, int, float]),
    ("Text", [str, int, float, list]),
    ("Taxonomy", [str, list, type(None)]),
    ("Chat List Paragraphs Ranker", [list, str]),
    ("Table TimeSeries TimeSeriesChannel", [dict, list, str]),
    ("Choices Image Labels BrushLabels EllipseLabels HyperTextLabels KeyPointLabels", [str, list]),
    ("ParagraphLabels PolygonLabels RectangleLabels TimeSeriesLabels", [str, list]),
)
#: What an import adds to, beside the number of tasks.
_COUNTERS = {"annotation_count": "total_annotations_number", "prediction_count": "total_predictions_number"}
_TYPES = {tag: kinds for tags, kinds in _KINDS for tag in tags.split()}


def import_tasks(call: Call) -> Answer:
    """Start an import and return its id. The tasks exist at once, unless a fault delays the import or makes it fail."""
    project = reread(call, call.id)
    data = call.data()
    if not call.raw or not isinstance(data, dict | list):
        raise Rejected({"non_field_errors": ["load_tasks: No data found in DATA or in FILES"]})
    tasks: list[JSON] = data if isinstance(data, list) else [data]
    if not tasks:
        raise Rejected({"non_field_errors": ["load_tasks: No tasks added"]})
    body: Object = {
        "project": project.id,
        "status": "created",
        "error": call.import_error or _misfit(project, tasks) or None,
        "task_count": len(tasks),
        "annotation_count": _count(tasks, "annotations"),
        "prediction_count": _count(tasks, "predictions"),
        "questions": call.import_questions or 0,
        "created_at": now(call.skew),
        "finished_at": None,
    }
    call.import_id = call.store.add("imports", body)
    call.store.add_tasks(call.import_id, tasks)
    if call.import_questions is None:
        finish_import(call.store, call.import_id)
    return Answer({"import": call.import_id}, 201)


def import_state(call: Call) -> Answer:
    """The state of an import."""
    number = call.params["import"]
    body = call.store.get("imports", number)
    if body is None or body["project"] != call.id:
        raise NotFound("ProjectImport")
    left = int(str(body.pop("questions")))
    if left:
        call.store.save("imports", number, body | {"status": "in_progress", "questions": left - 1})
        if left == 1:
            finish_import(call.store, number)
    waits = body["status"] in ("created", "in_progress")
    counts = dict.fromkeys(("task_count", "annotation_count", "prediction_count"), 0)
    return Answer({**body, **({"error": None, **counts} if waits else {})})


def finish_import(store: Store, number: int) -> None:
    """Put the tasks into the project, or fail the import."""
    body = store.get("imports", number)
    if body is None or body["status"] in ("completed", "failed"):
        return
    project = store.project(int(str(body["project"])))
    failed = bool(body["error"]) or project is None
    status = "failed" if failed else "completed"
    store.save("imports", number, body | {"status": status, "questions": 0, "finished_at": now()})
    if project is not None and not failed:
        project.tasks += int(str(body["task_count"]))
        for name, counter in _COUNTERS.items():
            if many := int(str(body[name])):
                project.settings[counter] = int(str(project.settings.get(counter, 0))) + many
        store.save_project(project)


def finish_imports(store: Store) -> None:
    """Finish every import."""
    for body in store.all("imports"):
        finish_import(store, int(str(body["id"])))


def _misfit(project: Project, tasks: list[JSON]) -> str:
    """Return Label Studio's message about the first task that doesn't fit the configuration, or an empty string."""
    shown = analyse(config_of(project.settings)).data_types
    for place, task in enumerate(tasks):
        if reason := _wrong(task, shown):
            return f"Error at item {place}: {reason} :: {task}"
    return ""


def _wrong(task: JSON, shown: Object) -> str:
    if not isinstance(task, dict):
        return 'Task root must be dict with "data", "meta", "annotations", "predictions" fields'
    if "data" not in task:
        # It has one blank more than the other form.
        reason = _missing(task, shown)
        return f"{reason} [assume: item as is = task root with values] " if reason else ""
    if not isinstance(task["data"], dict | list):
        return "Task[data] must be dict or list"
    if reason := _missing(task["data"], shown):
        return f'{reason} [assume: item["data"] = task root with values]'
    return _wrong_labels(task) or (
        "" if isinstance(task.get("meta", {}), dict | list) else "Task[meta] must be dict or list"
    )


def _wrong_labels(task: Object) -> str:
    for name in ("annotations", "predictions"):
        several = task.get(name, [])
        if not isinstance(several, list):
            return f"Task[{name}] must be list"
        for one in several:
            if isinstance(one, dict) and "result" not in one:
                return f'{name[:-1].capitalize()} must have "result" fields'
            if name == "annotations" and isinstance(one, dict) and not isinstance(one["result"], list):
                return '"result" field in annotation must be list'
    return ""


def _missing(data: JSON, shown: Object) -> str:
    for path, tag in shown.items():
        # A tag that is repeated shows `images[{{idx}}].url`.
        key, bracket, _ = path.partition("[")
        found: JSON = data
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                return f'"{key}" key is expected in task data'
            found = found[part]
        fits = [list] if bracket else _TYPES.get(str(tag), [str])
        if not isinstance(found, tuple(fits)):
            return (
                f"data['{key}']={found} is of type '{type(found).__name__}', "
                f"but the object tag {tag} expects the following types: {[kind.__name__ for kind in fits]}"
            )
    return ""


def _count(tasks: list[JSON], name: str) -> int:
    return sum(len(several) for task in tasks if isinstance(task, dict) and isinstance(several := task.get(name), list))
