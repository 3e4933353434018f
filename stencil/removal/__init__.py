"""Undoes a batch: deletes the projects that it made, and only those of which that can be proven.

The results that the batch wrote say what it made; the studio says what has become of it. A project is deleted where both
agree in everything that can be compared, and nobody has begun to work in it. In every doubt it is kept, and the doubt is said.
"""

from stencil.removal.proof import Doubt, Expected, doubt
from stencil.removal.removing import Removal
from stencil.removal.report import Fate, RemovalReport, RemovalRow
from stencil.removal.results import NotResults, Result, Results, check_studio, read_results

__all__ = [
    "Doubt",
    "Expected",
    "Fate",
    "NotResults",
    "Removal",
    "RemovalReport",
    "RemovalRow",
    "Result",
    "Results",
    "check_studio",
    "doubt",
    "read_results",
]
