"""Creates one project between tasks of your own. `create_project` creates it exactly once, however often the flow runs.

python single_tasks.py
"""

import asyncio

from prefect import flow, task

from label_studio_stencil.prefect import create_project


@task
async def guidelines(customer: str) -> str:
    """Return the instructions for annotators. Yours might come from a database."""
    return f"Mark every party of {customer}'s contracts."


@flow(log_prints=True)
async def onboard(customer: str) -> int:
    """Return the id of the customer's project."""
    instruction = await guidelines(customer)
    project = await create_project(
        f"Contracts {customer}",
        template="Named Entity Recognition",
        workspace="Legal Documents",
        overrides={"expert_instruction": instruction, "show_instruction": True},
    )
    print(f"{project.outcome}: {project.project_url}")
    return int(project.project_id or 0)


if __name__ == "__main__":
    asyncio.run(onboard("Cedar"))
