"""What annotators see of the projects that a sheet makes, in Chromium: the interface, the instructions and the tasks."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from scripts.label_studio import Instance
from tests.browser import SECONDS, chromium
from tests.real.batches import http, made

pytestmark = pytest.mark.real

FILE = """
name: Moods
label_config: |
  <View>
    <Text name="text" value="$text"/>
    <Choices name="mood" toName="text"><Choice value="{{ good }}"/><Choice value="{{ bad }}"/></Choices>
  </View>
expert_instruction: <h1>Rules</h1><p>Read <b>twice</b>.</p><ul><li>First</li><li>Second</li></ul>
show_instruction: true
variables:
  good: {default: Glad}
  bad: {default: Sad}
"""
GUIDE = "# Rules\n\nRead **twice**.\n\n- First\n- Second\n"
TASKS = "text\nThe weather is fine\nIt rains\n"
SOURCE = '<View><Text name="t" value="$text"/><Labels name="l" toName="t"><Label value="Person"/></Labels></View>'
SHEET = """title,template,label_config,expert_instruction,show_instruction
Page of a file,moods.yaml,,,
Page of the gallery,gallery:Named Entity Recognition,,@guide.md,yes
Of a project,project:Source of pages,,,
Of its own,,"<View><Text name=""t"" value=""$text""/><Rating name=""stars"" toName=""t"" maxRating=""4""/></View>",,
Of an answer,saved.json,,,
"""
#: By title: what the interface shows, and whether there are instructions.
SHOWN = {
    "Page of a file": (("Glad", "Sad"), True),
    "Page of the gallery": (("PER", "ORG", "LOC", "MISC"), True),
    "Of a project": (("Person",), False),
    "Of its own": ((), False),
    "Of an answer": (("Person",), False),
}


@pytest.fixture(scope="module")
def pages(label_studio: Instance, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The projects of the sheet, by title."""
    folder: Path = tmp_path_factory.mktemp("pages")
    with http(label_studio.url, label_studio.token) as client:
        source = client.post("/api/projects/", json={"title": "Source of pages", "label_config": SOURCE})
        (folder / "saved.json").write_bytes(client.get(f"/api/projects/{source.json()['id']}/").content)
    for name, text in {"moods.yaml": FILE, "guide.md": GUIDE, "tasks.csv": TASKS}.items():
        (folder / name).write_text(text, encoding="utf-8")
    head, *rows = SHEET.splitlines()
    sheet = folder / "sheet.csv"
    sheet.write_text("\n".join([f"{head},tasks", *(f"{row},tasks.csv" for row in rows)]), encoding="utf-8")
    report = made(label_studio.url, label_studio.token, sheet)
    assert report.ok, report.to_json()
    return {row.title: row.project_id or 0 for row in report.rows}


@pytest.fixture(scope="module")
def page(label_studio: Instance) -> Iterator[Page]:
    """A browser that has signed in."""
    with chromium() as browser, browser.new_context(base_url=label_studio.url, locale="en-GB") as context:
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.goto("/user/login/")
        page.fill("input[name=email]", label_studio.account.email)
        page.fill("input[name=password]", label_studio.account.password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/user/login" not in url)
        yield page


@pytest.mark.parametrize("title", SHOWN)
def test_an_annotator_sees_interface_instructions_and_tasks(pages: dict[str, int], page: Page, title: str) -> None:
    labels, instructed = SHOWN[title]
    page.goto(f"/projects/{pages[title]}/data?labeling=1")
    editor = page.locator(".lsf-editor, .lsf-wrapper").first
    expect(editor.get_by_text("The weather is fine").first).to_be_visible()
    expect(page.get_by_test_id("bottombar-submit-button")).to_be_visible()
    for label in labels:
        expect(editor.get_by_text(label, exact=False).first).to_be_visible()
    if title == "Of its own":
        expect(editor.get_by_role("radio")).to_have_count(4)
    if instructed:
        expect(page.get_by_role("heading", name="Rules", exact=True)).to_be_visible()
        expect(page.locator("b, strong", has_text="twice")).to_be_visible()
        expect(page.locator("li", has_text=re.compile("^(First|Second)$"))).to_have_text(["First", "Second"])


def test_the_tasks_of_a_project_are_listed(pages: dict[str, int], page: Page) -> None:
    page.goto(f"/projects/{pages['Page of a file']}/data")
    for text in ("The weather is fine", "It rains"):
        expect(page.get_by_text(text).first).to_be_visible()
