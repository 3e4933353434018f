"""Creates one Label Studio project per row of a sheet.

Run as a script, it creates the projects of `examples/projects.csv` on the embedded sandbox.
"""

import asyncio

from label_studio_stencil.prefect.flows import create_projects

__all__ = ["create_projects"]

if __name__ == "__main__":
    asyncio.run(create_projects(sheet="examples/projects.csv", sandbox=True))
