"""A sheet from any source: read into rows, then checked into requests, with every problem found at once."""

from stencil.sheet.codes import CODES
from stencil.sheet.feedback import self_contained
from stencil.sheet.model import Request, Row, Sheet, SheetUnreadable
from stencil.sheet.requests import find_duplicates, requests_of
from stencil.sheet.sources import Source, read_sheet

__all__ = [
    "CODES",
    "Request",
    "Row",
    "Sheet",
    "SheetUnreadable",
    "Source",
    "find_duplicates",
    "read_sheet",
    "requests_of",
    "self_contained",
]
