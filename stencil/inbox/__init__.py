"""An inbox: a folder or bucket whose new sheets are run once each, and then moved to `done/` or `failed/` below it.

Which files are sheets, which of them are still being written, where each goes with its results, and how it gets there so that
nothing is lost. Works on this machine's disk and on every store that `stencil.files` opens; who runs the sheets is
somebody else's business.
"""

from stencil.inbox.errors import InboxTaken, InboxUnusable
from stencil.inbox.fates import Fate, Handled, Poll, SheetsLeft, fate_of
from stencil.inbox.folder import PROBLEMS, Inbox, WaitingSheet, is_sheet, problems_csv

__all__ = [
    "PROBLEMS",
    "Fate",
    "Handled",
    "Inbox",
    "InboxTaken",
    "InboxUnusable",
    "Poll",
    "SheetsLeft",
    "WaitingSheet",
    "fate_of",
    "is_sheet",
    "problems_csv",
]
