"""The steps of docs/get-started.md on a Community server of their own, typed into bash as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.label_studio import copy_of, free_port, running

pytestmark = pytest.mark.real

ROOT = Path(__file__).resolve().parents[2]


def test_the_steps_on_community_lead_to_fifty_projects_and_back(
    label_studio_executable: Path, community_data_template: Path, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "get-started.md").read_text(encoding="utf-8")
    part = page.partition("\n## On Label Studio Community\n")[2]
    typed = re.findall(r"^\$ (.*)$", part.split("```console\n")[2].split("```")[0], flags=re.MULTILINE)
    undo = re.findall(r"`(stencil remove [^`]*)`", part)
    steps = [step for step in [*typed, *undo] if "activate" not in step]
    assert len(steps) == 7
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    data = copy_of(community_data_template, tmp_path / "data")
    with running(label_studio_executable, data, free_port()) as label_studio:
        environment = {**os.environ, "LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.token}
        said = []
        for step in steps:
            program = f'stencil() {{ {sys.executable} -m label_studio_stencil "$@"; }}\nset -e\n{step}'
            done = subprocess.run(
                ["bash", "-c", program],
                cwd=tmp_path,
                env={**environment, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert done.returncode == 0, (step, done.stderr)
            said.append(done.stdout)
    counts = ("6 created", "", "", "50 would be created", "50 created", "50 exists, nothing written", "50 removed")
    assert [step for step, out, count in zip(steps, said, counts, strict=True) if count not in out] == []
