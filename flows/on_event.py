"""Creates the projects of a sheet that an event `stencil.sheet.ready` names or carries.

    python flows/on_event.py                             # handles one such event, on the embedded sandbox

To handle the events of a Prefect server, deploy it (`prefect.yaml` has the trigger).
"""

import asyncio

from label_studio_stencil.prefect import on_event

__all__ = ["on_event"]


def main() -> None:
    """Handle one event."""
    event = {"csv_text": "title\nFrom an event\n", "template": 1}
    print(asyncio.run(on_event(event, pinned={"sandbox": True, "workspace": "1"})).sentence)


if __name__ == "__main__":
    main()
