"""A batch against a server that takes 15 requests a second and answers the others with 429."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from label_studio_sandbox import Sandbox
from label_studio_stencil.access import open_label_studio
from label_studio_stencil.batch import provision
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check
from label_studio_stencil.settings import LabelStudioSettings
from label_studio_stencil.sheet.sources import read_sheet
from tests.soak.batches import write_sheet

ROWS = 300
LIMIT = 15.0


#: A machine that is busy with something else makes a batch slower, never faster: the best of these counts.
RUNS = 3


async def one_run(sheet: Path) -> tuple[float, float]:
    """How many times what the limit implies a batch took, and which share of its requests was refused."""
    options = Options()
    checked = check(read_sheet(sheet), options)
    with Sandbox(rate_limit=LIMIT) as sandbox:
        settings = LabelStudioSettings(sandbox.url, SecretStr(sandbox.token))
        async with open_label_studio(settings, options) as label_studio:
            report = await provision(checked, options, label_studio)
        requests = sandbox.requests
    assert report.ok
    refused = sum(request.status == 429 for request in requests)
    implied = (len(requests) - refused) / LIMIT
    took = requests[-1].received_at - requests[0].received_at
    print(
        f"\n{ROWS} rows, {len(requests)} requests, {refused} refused ({refused / len(requests):.1%}), "
        f"{took:.1f} s, {took / implied:.2f} times what the limit implies",
        end="",
    )
    return took / implied, refused / len(requests)


async def test_a_batch_takes_as_long_as_the_limit_implies_and_is_hardly_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = write_sheet(tmp_path / "sheet.csv", ROWS)
    ratios = []
    with capsys.disabled():
        for _ in range(RUNS):
            ratio, refused = await one_run(sheet)
            assert refused < 0.02
            ratios.append(ratio)
            if ratio <= 1.15:
                break
    assert min(ratios) <= 1.15
