"""Serves the deployments of `prefect.yaml` from one process, without work pool and worker: `python -m deployments.serve`.

Runs are started here, one at a time, each in a process of its own with this one's environment. So `create-in-parts` is not
served: it would wait for runs that wait for it. Ctrl-C ends it.
"""

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow, serve
from prefect.client.orchestration import get_client
from prefect.deployments.runner import RunnerDeployment
from prefect.events.schemas.deployment_triggers import DeploymentTriggerTypes
from prefect.exceptions import ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.schedules import Schedule
from prefect.settings import PREFECT_API_URL
from pydantic import TypeAdapter

from deployments.worded import in_words

ROOT = Path(__file__).resolve().parents[1]

_trigger: TypeAdapter[DeploymentTriggerTypes] = TypeAdapter(DeploymentTriggerTypes)


def deployments(path: Path = ROOT / "prefect.yaml") -> list[RunnerDeployment]:
    """The deployments of a `prefect.yaml`, to be run in this process."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["deployments"]
    return [_deployment(entry) for entry in entries if "create_in_parts" not in entry["entrypoint"]]


def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    served: Flow[..., Any] = load_flow_from_entrypoint(f"{ROOT}/{entry['entrypoint']}")
    deployment: RunnerDeployment = served.to_deployment(  # type: ignore[assignment] # no loop runs: not a coroutine
        name=entry["name"],
        description=entry["description"],
        tags=entry["tags"],
        parameters=entry.get("parameters", {}),
        enforce_parameter_schema=entry.get("enforce_parameter_schema", True),
        schedules=[_schedule(**each) for each in entry.get("schedules", [])],
        triggers=[_trigger.validate_python(each) for each in entry.get("triggers", [])],
    )
    return deployment


def _schedule(*, interval: float = 0, **rest: Any) -> Schedule:
    return Schedule(**rest, interval=timedelta(seconds=interval) if interval else None)


def main(arguments: list[str] | None = None) -> int:
    """Serve until interrupted; the exit code is 2 where there is no Prefect server."""
    argparse.ArgumentParser(prog="python -m deployments.serve", description=__doc__).parse_args(arguments)
    if not PREFECT_API_URL.value():
        sys.stderr.write(
            "PREFECT_API_URL names no Prefect server: start one (`make ui`) and export the line it prints.\n"
        )
        return 2
    return in_words(_serve)


def _serve() -> int:
    served = deployments()
    taken = asyncio.run(_on_a_work_pool([f"{each.flow_name}/{each.name}" for each in served]))
    if taken:
        sys.stderr.writelines(f"{line}\n" for line in taken)
        return 2
    serve(*served, limit=1)
    return 0


async def _on_a_work_pool(names: list[str]) -> list[str]:
    """What is in the way: a deployment that a worker runs is not run here."""
    told = []
    async with get_client() as client:
        for name in names:
            try:
                found = await client.read_deployment_by_name(name)
            except ObjectNotFound:
                continue
            if found.work_pool_name:
                told.append(
                    f"{name} is on the work pool {found.work_pool_name}, so a worker runs it: start one, or "
                    f"`prefect deployment delete {name}` first."
                )
    return told


if __name__ == "__main__":
    sys.exit(main())
