"""Carries out the rows of a batch, each exactly once."""

from stencil.provisioning.engine import Engine
from stencil.provisioning.looking import LOOK_FIELDS
from stencil.provisioning.policy import LEAST_GROUPED, MOST_GROUPS, Patience, Retries
from stencil.provisioning.settling import Unsettled
from stencil.provisioning.stopping import Stopping
from stencil.provisioning.tickets import Ticket

__all__ = [
    "LEAST_GROUPED",
    "LOOK_FIELDS",
    "MOST_GROUPS",
    "Engine",
    "Patience",
    "Retries",
    "Stopping",
    "Ticket",
    "Unsettled",
]
