"""A stand-in for the part of Label Studio Enterprise's API that this project uses.

It exists so that everything can be tried, tested and measured without a licence: tokens of both kinds, project templates,
workspaces and projects, with the real server's validation, error bodies, paging and slash rules, on a SQLite file. It
imports nothing else of this project, since it would share the client's mistakes. It needs Starlette, uvicorn and orjson,
which Prefect brings.
"""

from label_studio_sandbox.app import create_app
from label_studio_sandbox.calls import Answer, Call, Interceptor, Proceed, Settings
from label_studio_sandbox.faults import BadFaults, Fault, Faults, from_argument
from label_studio_sandbox.faults.answers import Held, Lost
from label_studio_sandbox.requestlog import Commit, LoggedRequest
from label_studio_sandbox.server import Sandbox, open_store, serve
from label_studio_sandbox.store import Store
from label_studio_sandbox.tokens import DEFAULT_TOKEN

__all__ = [
    "DEFAULT_TOKEN",
    "Answer",
    "BadFaults",
    "Call",
    "Commit",
    "Fault",
    "Faults",
    "Held",
    "Interceptor",
    "LoggedRequest",
    "Lost",
    "Proceed",
    "Sandbox",
    "Settings",
    "Store",
    "create_app",
    "from_argument",
    "open_store",
    "serve",
]
