"""What a row asks for beyond settings, done once its project is made, and before the row is well.

Members, tasks, publication, a pin. While a project's steps are not done, its description ends in a line that says so, to people
and to a rerun; the line is taken off last. So a batch that dies in between leaves nothing that the next run of the sheet does
not go on with.
"""

from stencil.steps.asked import BadStep, Member, Steps, TaskFile, digest_of, members_in, tasks_in
from stencil.steps.labelled import Labelled, doubts
from stencil.steps.pending import Claim, Pending, Sent, pending_of, with_pending

__all__ = [
    "BadStep",
    "Claim",
    "Labelled",
    "Member",
    "Pending",
    "Sent",
    "Steps",
    "TaskFile",
    "digest_of",
    "doubts",
    "members_in",
    "pending_of",
    "tasks_in",
    "with_pending",
]
