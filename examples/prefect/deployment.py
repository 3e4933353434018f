"""Asks the deployment on-demand for a batch, and waits for it: the batch runs on a worker, in its queue, at its rate.

python deployment.py
"""

import asyncio

from prefect import flow
from prefect.deployments import arun_deployment


@flow(log_prints=True)
async def next_month(month: str) -> str:
    """Return what became of the month's rows."""
    run = await arun_deployment(
        "create-projects/on-demand",
        parameters={
            "csv_text": f"title\nReviews {month}\nSupport {month}\n",
            "template": "Sentiment Analysis",
            "workspace": "Customer Feedback",
        },
        flow_run_name=f"Reviews {month}",
        # Another run of this flow for the same month waits for the same batch.
        idempotency_key=f"reviews-{month}",
    )
    if run.state is None or not run.state.is_completed():
        raise RuntimeError(f"{run.name}: {run.state and run.state.message}")
    print(run.state.message)
    return str(run.state.message)


if __name__ == "__main__":
    asyncio.run(next_month("February"))
