"""What the command line writes for a machine."""

import json

import pytest

from stencil.cli.display import Display
from stencil.report import Outcome, RowReport
from tests.report.reports import report, row


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param((), id="no row"),
        pytest.param((row(2),), id="one"),
        pytest.param(
            (row(2), row(3, Outcome.FAILED, title='a "b"\n[] {}', error="no\nmore")), id="several, with line breaks"
        ),
    ],
)
def test_a_report_is_one_document_though_it_is_written_row_by_row(
    rows: tuple[RowReport, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    told = report(*rows)
    Display(machine=True).report(told)
    assert capsys.readouterr().out == json.dumps(told.to_json(), ensure_ascii=False, indent=2) + "\n"
