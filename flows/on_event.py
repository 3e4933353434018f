"""Creates the projects of a sheet that an event `stencil.sheet.ready` names or carries.

Run as a script, it handles one such event on the embedded sandbox.
"""

import asyncio

from label_studio_stencil.prefect.sheet_ready import on_event

__all__ = ["on_event"]

if __name__ == "__main__":
    EVENT = {"csv_text": "title\nFrom an event\n", "template": 1}
    asyncio.run(on_event(EVENT, pinned={"sandbox": True, "workspace": "1"}))
