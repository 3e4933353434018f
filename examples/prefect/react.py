"""Runs a flow for each project that a batch creates, until Ctrl-C; the batch needs `project_events`.

python react.py
"""

from prefect import flow
from prefect.events import DeploymentEventTrigger

CREATED = DeploymentEventTrigger(
    expect={"stencil.project.created"},
    # To react only to one workspace, add match={"stencil.workspace": "Customer Feedback"}.
    parameters={name: f"{{{{ event.payload.{name} }}}}" for name in ("project_id", "project_url", "title")},
)


@flow(log_prints=True)
def welcome(project_id: int, project_url: str, title: str) -> None:
    """Print the new project. Your own flow might import tasks into it, or notify its team."""
    print(f"{title}: project {project_id} is at {project_url}")


if __name__ == "__main__":
    welcome.serve(name="created", triggers=[CREATED])
