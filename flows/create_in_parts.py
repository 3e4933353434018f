"""Creates the projects of a large sheet by several runs at once, each over a range of its lines.

    python flows/create_in_parts.py SHEET

Requires a Prefect server with the deployment `create-projects/on-demand`, and workers.
"""

import asyncio
import sys

from label_studio_stencil.prefect import create_in_parts

__all__ = ["create_in_parts"]


def main() -> None:
    """Create the projects of a sheet, or of the example."""
    print(asyncio.run(create_in_parts(sheet=sys.argv[1] if sys.argv[1:] else "examples/projects.csv")))


if __name__ == "__main__":
    main()
