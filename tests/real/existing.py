"""Puts projects into Label Studio's database at once, past its API: it takes minutes for as many as an old server has.

Run by the interpreter of Label Studio's own environment, with its settings: `existing(label_studio, 3000)` does so.
"""

import subprocess
from pathlib import Path

from scripts.label_studio import Instance

_PROGRAM = """
import os, sys
import django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
sys.path.insert(0, PACKAGE)
django.setup()
from projects.models import Project, ProjectSummary
from users.models import User
user = User.objects.order_by("id").first()
config = '<View><Text name="text" value="$text"/><Choices name="mood" toName="text"><Choice value="Glad"/></Choices></View>'
made = Project.objects.bulk_create([
    Project(
        title=f"{NAME} {number:05}", description="Was there before.", label_config=config,
        parsed_label_config={}, control_weights={}, created_by=user, organization=user.active_organization,
    )
    for number in range(COUNT)
], batch_size=500)
ProjectSummary.objects.bulk_create([ProjectSummary(project=project) for project in made], batch_size=500)
"""


def existing(label_studio: Instance, count: int, name: str = "Archive") -> None:
    """Let Label Studio have `count` more projects, named `{name} 00000` and so on; it may run meanwhile."""
    python = Path(label_studio.command[0]).with_name("python")
    (package,) = python.parents[1].glob("lib/python*/site-packages/label_studio")
    known = f"PACKAGE, NAME, COUNT = {str(package)!r}, {name!r}, {count}\n"
    done = subprocess.run(
        [python, "-c", known + _PROGRAM],
        env=label_studio.environment,
        cwd=label_studio.data,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
