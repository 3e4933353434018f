"""Creates the automations of this folder's YAML files, with the ids that they need.

    python -m deployments.automations alert BLOCK                           notify when rows of a batch need attention
    python -m deployments.automations watch BLOCK DEPLOYMENT --within 25h   notify when no run of a deployment completes in time
    python -m deployments.automations react DEPLOYMENT                      run a deployment for each project that was created

A file refers to a notification block or a deployment by its id, which only a Prefect server knows. An automation of the same
name is replaced. `deployments.bootstrap` creates `silent.yaml` and `unended.yaml` as well and, with `--alert BLOCK`, the first
two.
"""

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from deployments.command import exit_code
from label_studio_stencil.problems import StencilError

FOLDER = Path(__file__).parent

#: Names of the automations that end runs whose process is gone.
SILENT = "stencil: a run that falls silent counts as crashed"
UNENDED = "stencil: a run that nothing is left to cancel counts as cancelled"

#: Shortest and longest period in which a run may be asked to complete. Prefect looks every five seconds.
SHORTEST_PERIOD, LONGEST_PERIOD = timedelta(seconds=10), timedelta(days=366)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class NotThere(StencilError):
    """A block or a deployment does not exist on this Prefect server."""


async def alert(block: str) -> Automation:
    """Notify by a notification block (`slack-webhook/team`) when a batch ends with rows that need attention.

    Raises:
        NotThere: There is no such block.
    """
    automation = _from_file("alert")
    automation["actions"][0]["block_document_id"] = await _block_id(block)
    return await _created(automation)


async def watch(block: str, deployment: str, within: timedelta) -> Automation:
    """Notify by a notification block when no run of a deployment has completed for so long, whatever the reason.

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
    automation = _from_file("watch")
    of_flow, of_deployment = automation["trigger"]["match_related"]
    of_flow["prefect.resource.name"], of_deployment["prefect.resource.name"] = flow, name
    automation["trigger"]["within"] = within.total_seconds()
    automation["actions"][0]["block_document_id"] = await _block_id(block)
    for texts, key in ((automation, "name"), (automation["actions"][0], "subject"), (automation["actions"][0], "body")):
        texts[key] = texts[key].replace("create-projects/nightly", deployment).replace("25 hours", _spelled(within))
    return await _created(automation)


async def react(deployment: str, *, workspace: str = "", template: str = "") -> Automation:
    """Run a deployment for each project that was created, with as much of the project as it has parameters for.

    Projects are heard of where the run that creates them has `project_events`.

    Args:
        deployment: As FLOW/DEPLOYMENT.
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
        raise NotThere(f"{deployment} has no parameter project_id or project_url, so it could not tell which project.")
    automation = _from_file("react")
    automation["name"] = automation["name"].replace("FLOW/DEPLOYMENT", deployment)
    labels = {"stencil.workspace": workspace, "stencil.template": template}
    automation["trigger"]["match"] |= {label: value for label, value in labels.items() if value}
    action = automation["actions"][0]
    action["deployment_id"] = found.id
    action["parameters"] = {name: value for name, value in action["parameters"].items() if name in known}
    return await _created(automation)


async def count_silent_as_crashed(longest: timedelta | None = None) -> bool:
    """Count runs as crashed whose process and worker are gone, unless there is such an automation; return whether it is new.

    Args:
        longest: Since the last sign of life; ten minutes unless given.
    """
    return await _made("silent", SILENT, longest)


async def count_unended_as_cancelled(longest: timedelta | None = None) -> bool:
    """Count runs as cancelled whose process and worker were gone when a person cancelled them; return whether it is new.

    Args:
        longest: Since the cancellation; ten minutes unless given.
    """
    return await _made("unended", UNENDED, longest)


async def _made(file: str, name: str, longest: timedelta | None) -> bool:
    async with get_client() as client:
        if await client.read_automations_by_name(name):
            return False
    automation = _from_file(file)
    if longest is not None:
        automation["trigger"]["within"] = longest.total_seconds()
        message = automation["actions"][0]["message"]
        automation["actions"][0]["message"] = message.replace("600 s", f"{longest.total_seconds():.0f} s")
    await _created(automation)
    return True


def _from_file(name: str) -> dict[str, Any]:
    automation: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return automation


async def _block_id(block: str) -> str:
    type_slug, _, name = block.partition("/")
    async with get_client() as client:
        try:
            return str((await client.read_block_document_by_name(name, type_slug)).id)
        except ObjectNotFound:
            raise NotThere(
                f"{block}: there is no such block. Create a notification block in the Prefect UI (Blocks) and give it as "
                "TYPE/NAME, such as slack-webhook/team or custom-webhook/pager."
            ) from None


async def _created(automation: dict[str, Any]) -> Automation:
    """Create an automation in place of those of its name; leave one that is the same, since a new one forgets its counts."""
    new = Automation.model_validate(automation)
    async with get_client() as client:
        for old in await client.read_automations_by_name(new.name):
            if (old.enabled, old.trigger, old.actions) == (True, new.trigger, new.actions):
                return Automation.model_validate(old.model_dump())
            await client.delete_automation(old.id)
    return await new.acreate()


def period(text: str) -> timedelta:
    """Parse a period such as `25h`, `30m` or `90s`.

    Raises:
        ValueError: It is none, or too short or too long.
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


def _spelled(within: timedelta) -> str:
    for unit, seconds in (("hours", 3600), ("minutes", 60)):
        if within.total_seconds() % seconds == 0:
            return f"{within.total_seconds() / seconds:.0f} {unit}"
    return f"{within.total_seconds():.0f} seconds"


def _period(text: str) -> timedelta:
    try:
        return period(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 2 where something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m deployments.automations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="alert|watch|react")
    alerts = verbs.add_parser("alert", help="notify when rows of a batch need attention")
    alerts.set_defaults(create=lambda chosen: alert(chosen.block))
    watches = verbs.add_parser("watch", help="notify when no run of a deployment completes in time")
    watches.set_defaults(create=lambda chosen: watch(chosen.block, chosen.deployment, chosen.within))
    for each in (alerts, watches):
        each.add_argument("block", metavar="BLOCK", help="a notification block, as TYPE/NAME")
    watches.add_argument("deployment", metavar="DEPLOYMENT", help="as FLOW/DEPLOYMENT")
    watches.add_argument("--within", required=True, type=_period, metavar="PERIOD", help="such as 25h, 30m or 90s")
    reacts = verbs.add_parser("react", help="run a deployment for each project that a run with project_events creates")
    reacts.set_defaults(
        create=lambda chosen: react(chosen.deployment, workspace=chosen.workspace, template=chosen.template)
    )
    reacts.add_argument("deployment", metavar="DEPLOYMENT", help="as FLOW/DEPLOYMENT")
    reacts.add_argument("--workspace", default="", metavar="NAME", help="only for projects of this workspace")
    reacts.add_argument("--template", default="", metavar="NAME", help="only for projects of this template")
    chosen = parser.parse_args(arguments)

    def run() -> list[str]:
        automation: Automation = asyncio.run(chosen.create(chosen))
        return [f"Created the automation {automation.name!r}."]

    return exit_code(run)


if __name__ == "__main__":
    sys.exit(main())
