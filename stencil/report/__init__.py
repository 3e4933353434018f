"""What became of a batch: outcomes turned into counts, sentences, tables and files.

Pure, but for `check_output` and `write_results`. Needs nothing that knows Label Studio or Prefect, so that
the command line, the flow and a notebook show one and the same report.
"""

from stencil.redaction import MASK, SECRET_COLUMNS
from stencil.report.batch import ADDED_COLUMNS, Report
from stencil.report.files import (
    OutputUnwritable,
    ResultFiles,
    check_output,
    failed_csv,
    results_csv,
    write_results,
)
from stencil.report.outcomes import Outcome, RowReport
from stencil.report.summary import progress_text

__all__ = [
    "ADDED_COLUMNS",
    "MASK",
    "SECRET_COLUMNS",
    "Outcome",
    "OutputUnwritable",
    "Report",
    "ResultFiles",
    "RowReport",
    "check_output",
    "failed_csv",
    "progress_text",
    "results_csv",
    "write_results",
]
