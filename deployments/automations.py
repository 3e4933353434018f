"""Automations to use as they are or to start from.

    python -m deployments.automations alert BLOCK                           notify when rows of a batch need attention
    python -m deployments.automations watch BLOCK DEPLOYMENT --within 25h   notify when no run of a deployment completes in time
    python -m deployments.automations react DEPLOYMENT                      run a deployment for each project that was created

Made again, they replace what has their name. `deployments.bootstrap` makes one more, which counts silent runs as crashed, and
with `--alert BLOCK` the first two.
"""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from deployments.worded import user_errors
from label_studio_stencil.prefect.events import BATCH_FAILED, PROJECT_CREATED
from label_studio_stencil.problems import StencilError

#: What a deployment is told of a project.
PASSED_ON = ("project_id", "project_url", "title", "workspace", "template")

ALERT = "stencil: alert on rows that need attention"
WATCH = "stencil: alert when no run of {deployment} completes"
REACT = "stencil: run {deployment} for each new project"
SILENT = "stencil: a run that falls silent counts as crashed"

#: How long a run may be silent. Runs tell every three minutes that they live (Prefect 3.8.8). One that could not, since
#: Prefect's server was away, is counted as crashed when that is back, and sets itself right (`says_it_lives`).
LONGEST_SILENCE = timedelta(minutes=10)
#: Events of a run after which more is to be heard of it, of one that only waits, and of one that has ended.
_ALIVE = ("heartbeat", "Pending")
_WAITS = ("Scheduled", "Late", "AwaitingConcurrencySlot", "AwaitingRetry", "Paused", "Suspended")
_COMPLETED = ("Completed", "CompletedWithFailures")
_ENDED = (*_COMPLETED, "Failed", "Cancelled", "Crashed")

#: Shortest and longest period in which a run may be asked to complete. Prefect looks every five seconds.
SHORTEST_PERIOD, LONGEST_PERIOD = timedelta(seconds=10), timedelta(days=366)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NotThere(StencilError):
    """What an automation is to use does not exist on this Prefect server."""


async def alert(block: str) -> Automation:
    """Notify by a notification block (`slack-webhook/team`) when a batch ends with rows that need attention.

    Raises:
        NotThere: There is no such block.
    """
    return await _made(
        ALERT,
        "The message carries the counts, and the lines that need attention.",
        EventTrigger(expect={BATCH_FAILED}, posture=Posture.Reactive, threshold=1),
        SendNotification(
            block_document_id=await _notification_block(block),
            subject="Stencil: {{ event.resource.name }}",
            body="{{ event.payload.sentence }}",
        ),
    )


async def watch(block: str, deployment: str, within: timedelta) -> Automation:
    """Notify by a notification block when no run of a deployment has completed for so long, whatever the reason.

    The period starts when the automation is made, so that a deployment that never runs is noticed too, and again with each run
    that completes. A run that fails, crashes or is cancelled has not completed; one that ends as `CompletedWithFailures` has.
    While nothing completes, the next notification comes after twice the period.

    Args:
        block: As TYPE/NAME.
        deployment: As FLOW/DEPLOYMENT; it need not be deployed yet.
        within: Longer than from the start of one run to the end of the next.

    Raises:
        NotThere: There is no such block, or the deployment has no such name.
    """
    flow, _, name = deployment.partition("/")
    if not flow or not name:
        raise NotThere(f"{deployment}: a deployment is given as FLOW/DEPLOYMENT, such as create-projects/nightly.")
    completed = {f"prefect.flow-run.{state}" for state in _COMPLETED}
    return await _made(
        WATCH.format(deployment=deployment),
        "No worker, late runs, failing runs, or a schedule that is off: whatever it is, nothing has completed.",
        # By name, so that a deployment that is made anew is watched too. With `for_each`, Prefect would wait for a first run.
        EventTrigger(
            after=completed,
            expect=completed,
            match_related=[
                ResourceSpecification.model_validate({"prefect.resource.role": role, "prefect.resource.name": each})
                for role, each in (("flow", flow), ("deployment", name))
            ],
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        SendNotification(
            block_document_id=await _notification_block(block),
            subject=f"Stencil: {deployment} has not completed",
            body=f"No run of {deployment} has completed for {_said(within)}. In the Prefect UI: is its schedule on, does a "
            "worker poll its work pool, does another run hold its queue, and how did its last runs end?",
        ),
    )


async def _notification_block(block: str) -> UUID:
    type_slug, _, name = block.partition("/")
    async with get_client() as client:
        try:
            return (await client.read_block_document_by_name(name, type_slug)).id
        except ObjectNotFound:
            raise NotThere(
                f"{block}: there is no such block. Make a notification block in the Prefect UI (Blocks) and give it as "
                "TYPE/NAME, such as slack-webhook/team or custom-webhook/pager."
            ) from None


def period(text: str) -> timedelta:
    """The period that a text such as `25h`, `30m` or `90s` names.

    Raises:
        ValueError: It names none, or one that is too short or too long.
    """
    number, unit = text[:-1], _UNITS.get(text[-1:])
    if not (number.isascii() and number.isdecimal()) or unit is None:
        raise ValueError(f"{text!r}: a number and s, m, h or d are needed, such as 25h")
    try:
        found = timedelta(**{unit: int(number)})
    except OverflowError:
        found = timedelta.max
    if not SHORTEST_PERIOD <= found <= LONGEST_PERIOD:
        raise ValueError(f"{text!r}: from 10s to 366d")
    return found


def _said(within: timedelta) -> str:
    for unit, seconds in (("hours", 3600), ("minutes", 60)):
        if within.total_seconds() % seconds == 0:
            return f"{within.total_seconds() / seconds:.0f} {unit}"
    return f"{within.total_seconds():.0f} seconds"


async def react(deployment: str, *, workspace: str = "", template: str = "") -> Automation:
    """Run a deployment for each project that was created, with what of `PASSED_ON` are parameters of it.

    Args:
        deployment: `flow/deployment`.
        workspace: Only for projects of this workspace, by name.
        template: Only for projects of this template, by name.

    Raises:
        NotThere: There is no such deployment, or it takes nothing of a project.
    """
    async with get_client() as client:
        try:
            found = await client.read_deployment_by_name(deployment)
        except (ObjectNotFound, ValueError):
            raise NotThere(f"{deployment}: there is no such deployment; `prefect deployment ls` lists them.") from None
    known = (found.parameter_openapi_schema or {}).get("properties", {})
    if not {"project_id", "project_url"} & set(known):
        raise NotThere(
            f"{deployment} has neither a parameter project_id nor project_url: it would not know of which project."
        )
    taken = [name for name in PASSED_ON if name in known]
    labels = {"stencil.workspace": workspace, "stencil.template": template}
    match = {"prefect.resource.id": "stencil.project.*", **{key: value for key, value in labels.items() if value}}
    return await _made(
        REACT.format(deployment=deployment),
        "For each project that a batch created; the payload has more than is passed on here.",
        EventTrigger(
            expect={PROJECT_CREATED},
            match=ResourceSpecification.model_validate(match),
            # One run a project: events of one project alone are counted together.
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        RunDeployment(
            source="selected",
            deployment_id=found.id,
            job_variables=None,
            parameters={
                name: {
                    "__prefect_kind": "json",
                    "value": {"__prefect_kind": "jinja", "template": f"{{{{ event.payload.{name} | tojson }}}}"},
                }
                for name in taken
            },
        ),
    )


async def count_silent_as_crashed(longest: timedelta = LONGEST_SILENCE) -> bool:
    """Have Prefect count runs as crashed whose process and worker are gone, so that nobody waits for them; whether that is new.

    Where the worker lives, it tells itself. A run that never started, since its worker died, counts as silent too.

    Args:
        longest: Since the last sign of life.
    """
    async with get_client() as client:
        if await client.read_automations_by_name(SILENT):
            return False
    await _made(
        SILENT,
        "Its machine is gone, and the next batch waits for it. Safe to run again: finished projects are left as they are.",
        EventTrigger(
            after={f"prefect.flow-run.{name}" for name in _ALIVE},
            expect={f"prefect.flow-run.{name}" for name in ("heartbeat", "Running", *_WAITS, *_ENDED)},
            match_related=ResourceSpecification.model_validate(
                {
                    "prefect.resource.role": "flow",
                    "prefect.resource.name": ["create-projects", "create-in-parts", "on-event", "watch-inbox"],
                }
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=longest,
        ),
        ChangeFlowRunState(
            state=StateType.CRASHED,
            name=None,
            force=False,
            message=f"Nothing was heard of it for {longest.total_seconds():.0f} s, so its machine is gone. Run it again, with "
            "the same parameters: nothing is made twice.",
        ),
    )
    return True


async def _made(name: str, description: str, trigger: EventTrigger, action: ActionTypes) -> Automation:
    """The automation, made anew unless it is there just so: a new one forgets what its trigger has counted."""
    made = Automation(name=name, description=description, trigger=trigger, actions=[action])
    async with get_client() as client:
        for old in await client.read_automations_by_name(name):
            if (old.enabled, old.trigger, old.actions) == (True, trigger, [action]):
                return Automation.model_validate(old.model_dump())
            await client.delete_automation(old.id)
    return await made.acreate()


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, or 2 where something is missing."""
    parser = argparse.ArgumentParser(prog="python -m deployments.automations", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="alert|watch|react")
    alerts = verbs.add_parser("alert", help="notify when rows of a batch need attention")
    watches = verbs.add_parser("watch", help="notify when no run of a deployment completes in time")
    for each in (alerts, watches):
        each.add_argument("block", metavar="BLOCK", help="a notification block, as TYPE/NAME")
    watches.add_argument("watched", metavar="DEPLOYMENT", help="as FLOW/DEPLOYMENT")
    watches.add_argument("--within", required=True, metavar="PERIOD", help="such as 25h, 30m or 90s")
    reacts = verbs.add_parser("react", help="run a deployment for each project that was created")
    reacts.add_argument("deployment", metavar="DEPLOYMENT", help="as FLOW/DEPLOYMENT")
    reacts.add_argument("--workspace", default="", metavar="NAME", help="only for projects of this workspace")
    reacts.add_argument("--template", default="", metavar="NAME", help="only for projects of this template")
    chosen = parser.parse_args(arguments)
    within = SHORTEST_PERIOD
    if chosen.verb == "watch":
        try:
            within = period(chosen.within)
        except ValueError as error:
            watches.error(f"argument --within: {error}")
    if not PREFECT_API_URL.value():
        sys.stderr.write("PREFECT_API_URL names no Prefect server.\n")
        return 2

    def make() -> Coroutine[Any, Any, Automation]:
        match chosen.verb:
            case "alert":
                return alert(chosen.block)
            case "watch":
                return watch(chosen.block, chosen.watched, within)
            case _:
                return react(chosen.deployment, workspace=chosen.workspace, template=chosen.template)

    def run() -> int:
        automation = asyncio.run(make())
        sys.stdout.write(f"Made the automation {automation.name!r}.\n")
        return 0

    return user_errors(run)


if __name__ == "__main__":
    sys.exit(main())
