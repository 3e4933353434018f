"""Imports of tasks, which are carried out after they were answered, as on Enterprise.

The answer holds the import's id, and whether the tasks fit the labelling configuration is told by its state alone (the vendor's
OpenAPI). The words about a task that does not fit are those of Label Studio Community 1.23.2, which quote the task.
"""

from label_studio_sandbox._json import JSON, Object
from label_studio_sandbox.calls import Answer, Call
from label_studio_sandbox.errors import NotFound, Rejected
from label_studio_sandbox.fields import now
from label_studio_sandbox.labelconfig import analyse
from label_studio_sandbox.projects import config_of, reread
from label_studio_sandbox.store import Project, Store


def import_tasks(call: Call) -> Answer:
    """The import's id; the tasks are there at once, unless a fault makes it late or fail."""
    project = reread(call, call.id)
    data = call.data()
    tasks: list[JSON] = data if isinstance(data, list) else [data]
    if not tasks or not all(isinstance(task, dict) and task for task in tasks):
        raise Rejected({"non_field_errors": ["task is empty (None)"]})
    body: Object = {
        "project": project.id,
        "status": "created",
        "error": call.import_error or _misfit(project, tasks) or None,
        "task_count": len(tasks),
        "questions": call.import_questions or 0,
        "created_at": now(call.skew),
        "finished_at": None,
    }
    call.import_id = call.store.add("imports", body)
    if call.import_questions is None:
        finish_import(call.store, call.import_id)
    return Answer({"import": call.import_id}, 201)


def import_state(call: Call) -> Answer:
    """What has become of an import."""
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
    hidden: Object = {"error": None, "task_count": 0} if waits else {}
    return Answer(body | hidden | {"annotation_count": 0, "prediction_count": 0})


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
        store.save_project(project)


def finish_imports(store: Store) -> None:
    """Finish every import."""
    for body in store.all("imports"):
        finish_import(store, int(str(body["id"])))


def _misfit(project: Project, tasks: list[JSON]) -> str:
    """What Label Studio says of the first task that lacks what the labelling configuration shows; nothing where all fit."""
    wanted = {name.partition("[")[0].partition(".")[0] for name in analyse(config_of(project.settings)).data_types}
    for place, task in enumerate(tasks):
        if not isinstance(task, dict):
            continue
        data = task.get("data", task)
        missing = [name for name in wanted if not isinstance(data, dict) or name not in data]
        if missing:
            root = 'item["data"] = task root with values' if "data" in task else "item as is = task root with values"
            return f'Error at item {place}: "{min(missing)}" key is expected in task data [assume: {root}] :: {task}'
    return ""
