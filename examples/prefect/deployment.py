"""Starts a batch with the deployment on-demand, and waits for it: it runs on a worker, in its queue, at its rate.

python deployment.py
"""

import asyncio

from prefect import flow
from prefect.deployments import arun_deployment


@flow(log_prints=True)
async def next_month(month: str) -> str:
    """Run the batch of a month, and return its counts."""
    run = await arun_deployment(
        "create-projects/on-demand",
        parameters={
            "csv_text": f"title\nReviews {month}\nSupport {month}\n",
            "template": "Sentiment Analysis",
            "workspace": "Customer Feedback",
        },
        flow_run_name=f"Reviews {month}",
        # If this flow runs again for the same month, it waits for the same batch instead of starting another one.
        idempotency_key=f"reviews-{month}",
    )
    if run.state is None or not run.state.is_completed():
        raise RuntimeError(f"{run.name}: {run.state and run.state.message}")
    print(run.state.message)
    return str(run.state.message)


if __name__ == "__main__":
    asyncio.run(next_month("February"))
