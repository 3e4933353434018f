"""The Prefect events that a batch sends, with resources that automations can match.

`stencil.batch.completed` or `stencil.batch.failed` for a batch, `stencil.project.created` for each project that it made; sent
at the end, when outcomes are final.
"""

from collections.abc import Iterable

from prefect.events import emit_event
from prefect.logging import get_run_logger

from label_studio_stencil.batch import Batch
from label_studio_stencil.labelstudio.address import host_of
from label_studio_stencil.plans.plan import Target
from label_studio_stencil.problems import StencilError
from label_studio_stencil.redaction import redact
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report

BATCH_COMPLETED = "stencil.batch.completed"
BATCH_FAILED = "stencil.batch.failed"
PROJECT_CREATED = "stencil.project.created"

#: Most rows for which each project gets an event of its own; Prefect's server keeps each for days.
MOST_PROJECT_EVENTS = 5000

Labels = dict[str, str]


def announce_projects(batch: Batch, report: Report) -> None:
    """Send an event for each project that was created; nothing for a dry run."""
    if report.dry_run:
        return
    if report.counts[Outcome.CREATED] > MOST_PROJECT_EVENTS:
        get_run_logger().warning("More than %d projects: no event for each of them.", MOST_PROJECT_EVENTS)
    else:
        _announce_projects(batch, report, _label_studio(batch.label_studio.client.url))


def announce(batch: Batch, report: Report) -> None:
    """Send the event of a batch that came to its end; nothing for a dry run."""
    if report.dry_run:
        return
    emit_event(
        BATCH_COMPLETED if report.ok else BATCH_FAILED,
        resource={
            "prefect.resource.id": f"stencil.batch.{report.batch}",
            "prefect.resource.name": report.sheet,
            "stencil.sheet": report.sheet,
            "stencil.label-studio": batch.label_studio.client.url,
        },
        related=[_label_studio(batch.label_studio.client.url)],
        payload={
            "sheet": report.sheet,
            "sentence": report.sentence,
            "counts": {outcome.value: count for outcome, count in report.counts.items()},
            "rows": len(report.rows),
            "seconds": round(report.seconds, 3),
            "requests": report.requests,
            "stopped": report.stopped,
        },
    )


def announce_refusal(sheet: str, error: StencilError) -> None:
    """Send the event of a batch that ended before any row was taken up."""
    emit_event(
        BATCH_FAILED,
        resource={"prefect.resource.id": "stencil.batch.none", "prefect.resource.name": sheet, "stencil.sheet": sheet},
        payload={"sheet": sheet, "sentence": redact(str(error))[:2000], "counts": {}, "rows": 0},
    )


def _announce_projects(batch: Batch, report: Report, label_studio: Labels) -> None:
    made = {row.line: row for row in report.rows if row.outcome is Outcome.CREATED}
    for target in _targets(batch):
        row = made.get(target.request.line)
        if row is None:
            continue
        host = label_studio["stencil.host"]
        emit_event(
            PROJECT_CREATED,
            resource={
                "prefect.resource.id": f"stencil.project.{host}.{row.project_id}",
                "prefect.resource.name": row.title,
                "stencil.url": row.project_url,
                "stencil.workspace": target.workspace_name,
                "stencil.template": target.template.name,
                "stencil.sheet": report.sheet,
                "stencil.batch": report.batch,
            },
            related=[label_studio, *_places(target, host)],
            payload={
                "project_id": row.project_id,
                "project_url": row.project_url,
                "title": row.title,
                "workspace": target.workspace_name,
                "template": target.template.name,
                "line": row.line,
                "batch": report.batch,
            },
        )


def _targets(batch: Batch) -> Iterable[Target]:
    return (ticket.target for ticket in batch.engine.tickets)


def _label_studio(url: str) -> Labels:
    host = host_of(url)
    return {
        "prefect.resource.id": f"stencil.label-studio.{host}",
        "prefect.resource.role": "label-studio",
        "prefect.resource.name": url,
        "stencil.host": host,
    }


def _places(target: Target, host: str) -> list[Labels]:
    """The template and, where there is one, the workspace of a project."""
    template = {
        "prefect.resource.id": f"stencil.template.{host}.{target.template.id or target.template.name}",
        "prefect.resource.role": "template",
        "prefect.resource.name": target.template.name,
    }
    if target.workspace is None:
        return [template]
    workspace = {
        "prefect.resource.id": f"stencil.workspace.{host}.{target.workspace}",
        "prefect.resource.role": "workspace",
        "prefect.resource.name": target.workspace_name,
    }
    return [template, workspace]
