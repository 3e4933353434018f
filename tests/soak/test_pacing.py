"""A batch against a server that takes 15 requests a second and answers the others with 429."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from stencil.batch import provision
from stencil.checking import check
from stencil.options import Options
from stencil.sandbox import Sandbox
from stencil.settings import StudioSettings
from stencil.sheet import read_sheet
from stencil.studio import open_studio
from tests.soak.batches import write_sheet

ROWS = 300
LIMIT = 15.0


@pytest.mark.timeout(300)
async def test_a_batch_takes_as_long_as_the_limit_implies_and_is_hardly_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = Options()
    checked = check(read_sheet(write_sheet(tmp_path / "sheet.csv", ROWS)), options)
    with Sandbox(rate_limit=LIMIT) as sandbox:
        settings = StudioSettings(sandbox.url, SecretStr(sandbox.token))
        async with open_studio(settings, options) as studio:
            report = await provision(checked, options, studio)
        requests = sandbox.requests
    refused = sum(request.status == 429 for request in requests)
    implied = (len(requests) - refused) / LIMIT
    took = requests[-1].received_at - requests[0].received_at
    with capsys.disabled():
        print(
            f"\n{ROWS} rows, {len(requests)} requests, {refused} refused ({refused / len(requests):.1%}), "
            f"{took:.1f} s, {took / implied:.2f} times what the limit implies"
        )
    assert report.well
    assert took <= 1.15 * implied
    assert refused < 0.02 * len(requests)
