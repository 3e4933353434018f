"""Creates the projects of the new sheets in an inbox, a folder or bucket.

    python flows/watch_inbox.py INBOX                    # the sheets that are there now, on the embedded sandbox
    python flows/watch_inbox.py INBOX serve              # every five minutes until Ctrl-C, on your Label Studio

A deployment with a schedule does the same on a worker (`prefect.yaml`).
"""

import asyncio
import sys

from label_studio_stencil.prefect import watch_inbox

__all__ = ["watch_inbox"]


def main() -> None:
    """Process an inbox once, or serve the flow."""
    inbox, *rest = sys.argv[1:] or ["inbox"]
    if rest == ["serve"]:
        watch_inbox.serve(name="served", interval=300, parameters={"inbox": inbox})
        return
    print(asyncio.run(watch_inbox(inbox=inbox, sandbox=True)).sentence)


if __name__ == "__main__":
    main()
