"""Creates the projects of a large sheet by several runs at once, each over a range of its lines.

Run as a script, it needs a Prefect server on which `create-projects/on-demand` is deployed, and workers.
"""

import asyncio

from label_studio_stencil.prefect.parts import create_in_parts

__all__ = ["create_in_parts"]

if __name__ == "__main__":
    asyncio.run(create_in_parts(sheet="examples/projects.csv"))
