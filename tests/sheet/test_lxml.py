"""Openpyxl parses by lxml where that is installed, and else by Python's own parser, as for those who install the extra `excel`.

The tests run without; here those of sheets run once more with it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openpyxl.xml import LXML

AGAIN = "import openpyxl.xml, pytest, sys; assert openpyxl.xml.LXML; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.mark.slow
def test_what_holds_for_workbooks_holds_where_lxml_is_installed() -> None:
    assert not LXML
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, "-q", "-p", "no:cacheprovider", "-m", "not slow", Path(__file__).parent],
        env={**os.environ, "OPENPYXL_LXML": "True"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
