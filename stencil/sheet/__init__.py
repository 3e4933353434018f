"""A sheet from any source: read into rows, then checked into requests, with every problem found at once."""

from stencil.sheet.codes import CODES
from stencil.sheet.feedback import self_contained
from stencil.sheet.model import Request, Row, Sheet, SheetUnreadable
from stencil.sheet.requests import find_duplicates, requests_of
from stencil.sheet.sources import EXTENSIONS, Source, read_sheet, split_worksheet
from stencil.sheet.titles import BadPattern, TitlePattern, cut, fault_of_title, folded

__all__ = [
    "CODES",
    "EXTENSIONS",
    "BadPattern",
    "Request",
    "Row",
    "Sheet",
    "SheetUnreadable",
    "Source",
    "TitlePattern",
    "cut",
    "fault_of_title",
    "find_duplicates",
    "folded",
    "read_sheet",
    "requests_of",
    "self_contained",
    "split_worksheet",
]
