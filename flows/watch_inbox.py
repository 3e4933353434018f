"""Creates the projects of the new sheets in an inbox, a folder or bucket.

Run as a script, it processes the sheets in the folder `inbox` on the embedded sandbox.
"""

import asyncio

from label_studio_stencil.prefect.inbox import watch_inbox

__all__ = ["watch_inbox"]

if __name__ == "__main__":
    asyncio.run(watch_inbox(inbox="inbox", sandbox=True))
