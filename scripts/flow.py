"""Runs the flow `create-projects` in this process, for tests and benchmarks.

`python -m scripts.flow SHEET [OPTION ...]` takes the options of `stencil create` and prints the report as JSON. Prefect's
server is the one that `PREFECT_API_URL` names.
"""

import asyncio
import json
import sys
from collections.abc import Sequence

from prefect import tags

from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.cli.arguments import parser
from label_studio_stencil.engine.stop import CANCELLED
from label_studio_stencil.prefect.flows import create_projects


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit codes are those of `stencil create`."""
    chosen = vars(parser().parse_args(["create", *arguments]))
    parameters = {name: chosen[name] for name in create_projects.parameters.properties if name in chosen}
    try:
        with tags("stencil"):
            report = asyncio.run(create_projects(**parameters))
    except BatchFailed as failed:
        report = failed.report
    sys.stdout.write(json.dumps(report.to_json()))
    return 130 if report.stopped == CANCELLED else int(not report.ok)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
