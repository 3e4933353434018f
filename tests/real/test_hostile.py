"""A sheet of a stranger on the real Community server: no byte of a file outside of its folder gets into any output."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from scripts.label_studio import Instance
from tests.real.test_create import stencil

pytestmark = pytest.mark.real

SECRET = "s3cr3t-of-others"
CONFIG = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'


@pytest.fixture
def sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a stranger's, beside files with secrets, and a working folder elsewhere."""
    (tmp_path / "secret.json").write_text(json.dumps([{"other": SECRET}]))
    (tmp_path / "secret.csv").write_text(f"{SECRET},x\n{SECRET},y\n")
    (tmp_path / "secret.yaml").write_text(f"name: {SECRET}\nlabel_config: {SECRET}\n")
    (tmp_path / "secret.txt").write_text(f"<View>{SECRET}")
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "link.json").symlink_to(tmp_path / "secret.json")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "mine.yaml").write_text(f"name: Mine\nlabel_config: '{CONFIG}'\n")
    (folder / "extends.yaml").write_text("extends: link.yaml\n")
    (folder / "config.yaml").write_text("name: x\nlabel_config_file: out/secret.txt\n")
    # Label Studio refuses it, and its reason quotes it.
    annotation = {"result": [], "completed_by": {"email": SECRET}}
    (folder / "other.json").write_text(json.dumps([{"data": {"text": "x"}, "annotations": [annotation]}]))
    (folder / "broken.json").write_text(f'[{{"text": "{SECRET}"}}, {SECRET}]')
    (folder / "broken.xml").write_text(f"<View><{SECRET}>")
    (folder / "refused.xml").write_text(f'<View><Choices name="{SECRET}" toName="{SECRET}"/></View>')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder / "sheet.csv"


@pytest.fixture
def http(label_studio: Instance) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=label_studio.url, headers={"authorization": f"Token {label_studio.token}"}) as client:
        yield client


def rows(folder: Path) -> list[dict[str, str]]:
    above = folder.parent
    tasks = [
        f"{above}/secret.json",
        f"file://{above}/secret.json",
        f"local://{above}/secret.json",
        f"simplecache::file://{above}/secret.json",
        f"reference://x?fo={above}/secret.json",
        "../secret.json",
        "link.json",
        "out/secret.csv",
        "other.json",
        "broken.json",
    ]
    templates = [
        "link.yaml",
        "extends.yaml",
        "config.yaml",
        f"{above}/secret.yaml",
        "../secret.yaml",
        f"file:{above}/secret.yaml",
    ]
    texts = [f"@{above}/secret.txt", "@out/secret.txt", "@broken.xml", "@refused.xml"]
    cells = [{"tasks": cell} for cell in tasks]
    cells += [{"template": cell} for cell in templates]
    cells += [{"label_config": cell} for cell in texts]
    return [{"title": f"Hostile {number}", "template": "mine.yaml", **cell} for number, cell in enumerate(cells)]


def test_no_byte_of_a_file_outside_gets_into_any_output(
    sheet: Path, label_studio: Instance, http: httpx.Client
) -> None:
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["title", "template", "tasks", "label_config"])
        writer.writeheader()
        writer.writerows(rows(sheet.parent))
    results = sheet.parent.parent / "results"
    said = [
        stencil(label_studio, "check", str(sheet)),
        stencil(label_studio, "plan", str(sheet), "--skip-invalid", "--json"),
        stencil(label_studio, "create", str(sheet), "--skip-invalid", "--output", str(results), "--verbose"),
    ]
    # Of the command that creates: some rows need attention.
    assert said[2].returncode == 1, said[2].stderr
    outputs = [text for each in said for text in (each.stdout, each.stderr)]
    outputs += [(results / name).read_text() for name in ("results.csv", "failed.csv")]
    made = [
        each
        for each in http.get("/api/projects/", params={"page_size": 100}).json()["results"]
        if "Hostile" in each["title"]
    ]
    outputs += [json.dumps(each) for each in made]
    outputs += [
        http.get(f"/api/projects/{each['id']}/export", params={"exportType": "JSON", "download_all_tasks": "true"}).text
        for each in made
    ]
    assert [each["title"] for each in made] == ["Hostile 8"]
    assert not [text for text in outputs if SECRET in text]
    assert {(results / name).stat().st_mode & 0o777 for name in ("results.csv", "failed.csv")} == {0o600}
