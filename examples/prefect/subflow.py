"""Creates a project for each customer in a flow of your own: `create_projects` is a subflow with a page of its own.

python subflow.py
"""

import asyncio

from prefect import flow

from label_studio_stencil.prefect import create_projects


@flow(log_prints=True)
async def onboard(customers: list[str]) -> dict[str, str]:
    """Return the address of each customer's project."""
    rows = [{"title": f"Contracts {customer}", "maximum_annotations": 2} for customer in customers]
    report = await create_projects(rows=rows, template="Named Entity Recognition", workspace="Legal Documents")
    print(report.sentence)
    return {row.title: row.project_url for row in report.rows}


if __name__ == "__main__":
    asyncio.run(onboard(["Alder", "Birch"]))
