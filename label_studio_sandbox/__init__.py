"""A stand-in for the part of Label Studio Enterprise's API that this project uses.

With it, everything can be tried, tested and measured without a licence: tokens of both kinds, project templates,
workspaces and projects, with the real server's validation, error bodies, paging and slash rules, on a SQLite file. It
imports nothing else of this project, so that it can't share the client's mistakes. It needs Starlette, uvicorn and orjson,
which Prefect installs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "DEFAULT_TOKEN": "tokens",
    "Answer": "calls",
    "BadFaults": "faults",
    "Call": "calls",
    "Commit": "requestlog",
    "Fault": "faults",
    "Faults": "faults",
    "Held": "faults.answers",
    "Interceptor": "calls",
    "LoggedRequest": "requestlog",
    "Lost": "faults.answers",
    "Proceed": "calls",
    "Sandbox": "server",
    "Settings": "calls",
    "Store": "store",
    "create_app": "app",
    "from_argument": "faults",
    "open_store": "server",
    "serve": "server",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that a command line that only lists the sandbox's options imports no web server.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
