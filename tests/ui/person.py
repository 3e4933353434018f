"""What a person does in the Prefect UI, found by what a person reads there: labels, buttons, headings."""

import os
import re
from http import HTTPStatus
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

#: Milliseconds that a run may take on a busy machine, its start by the worker included.
RUN_MILLISECONDS = 300_000

#: Where pictures go, if they are asked for: tests alone change nothing in the tree.
PICTURES = os.environ.get("STENCIL_SCREENSHOTS", "")

ENDED = re.compile(r"^(Completed|CompletedWithFailures|Failed|Crashed|Cancelled)$")


def open_form(page: Page) -> Locator:
    """The form of a custom run of `on-demand`, reached from the page that is open."""
    page.get_by_role("link", name="Deployments", exact=True).click()
    page.get_by_role("main").get_by_role("link", name="on-demand", exact=True).click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Custom run").click()
    form = page.get_by_role("main")
    expect(form.get_by_role("heading", name="Parameters")).to_be_visible()
    expect(field(form, "sheet")).to_be_visible()
    return form


def field(form: Locator, name: str) -> Locator:
    """The input of a parameter."""
    return form.get_by_label(f"{name} (Optional)", exact=True)


def paste(page: Page, into: Locator, text: str) -> None:
    """Put a text on the clipboard, and from there into an input."""
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    into.click()
    page.keyboard.press("Control+V")


def choices(page: Page, form: Locator, name: str) -> list[str]:
    """What a parameter's menu offers."""
    form.get_by_role("button", name=f"Select {name}", exact=True).click()
    offered = page.get_by_role("listbox").get_by_role("option")
    expect(offered.first).to_be_visible()
    texts = offered.all_inner_texts()
    page.keyboard.press("Escape")
    return texts


def add_item(page: Page, form: Locator, text: str) -> None:
    """Add an item to the only list of the form, `rows`, and type it."""
    button = page.get_by_role("button", name="Add item")
    button.click()
    # Items have no label of their own; the new one is the last.
    form.get_by_role("group").filter(has=button).get_by_role("textbox").last.click()
    page.keyboard.insert_text(text)


def submit(page: Page) -> None:
    page.get_by_role("button", name="Submit", exact=True).click()


def submitted(page: Page) -> bool:
    """Submit the form. Not every submission is taken: with its database on SQLite, a busy server may answer 503 and
    start nothing (seen with Prefect 3.8.8; its client tries again by itself, its UI leaves that to the person)."""
    with page.expect_response("**/create_flow_run") as answer:
        submit(page)
    assert answer.value.ok or answer.value.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.value.text()
    return answer.value.ok


def run(page: Page) -> None:
    """Start the run that the form describes, and open its page."""
    while not submitted(page):
        pass
    page.get_by_role("link", name="View run").click()
    # The page before shows the states of earlier runs.
    expect(page.get_by_role("tab", name="Job Variables")).to_be_visible()


def comes_to(page: Page, state: str | re.Pattern[str]) -> str:
    """The state of the run whose page is open, once it is this one, or one of these."""
    found = page.get_by_role("main").get_by_text(state, exact=True)
    expect(found).to_be_visible(timeout=RUN_MILLISECONDS)
    return found.inner_text()


def run_to_its_end(page: Page) -> str:
    """The state in which the run ends that the form describes; its page is open then."""
    run(page)
    return comes_to(page, ENDED)


def press(page: Page, action: str) -> None:
    """Choose an action from the menu of the run whose page is open, and confirm it."""
    page.get_by_role("main").get_by_role("button").filter(has=page.locator("svg.lucide-ellipsis-vertical")).click()
    page.get_by_role("menuitem", name=action, exact=True).click()
    dialog = page.get_by_role("dialog").or_(page.get_by_role("alertdialog"))
    while True:
        with page.expect_response(re.compile(r"/flow_runs/[^/]+/(set_state|resume)$")) as answer:
            dialog.get_by_role("button", name=re.compile(f"^{action}")).last.click()
        if answer.value.ok:
            break
        assert answer.value.status == HTTPStatus.SERVICE_UNAVAILABLE, answer.value.text()
    expect(dialog).to_have_count(0)


def state_message(page: Page) -> str:
    """The message of the run's state, as its page tells it."""
    page.get_by_role("tab", name="Details").click()
    details = page.get_by_role("tabpanel", name="Details")
    return details.locator("dt:text-is('State Message') + dd").inner_text()


def open_summary(page: Page) -> Locator:
    """The summary of the run whose page is open, as text, tables and links."""
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_role("tabpanel").get_by_role("link", name=re.compile("stencil-summary-")).click()
    summary = page.get_by_role("tabpanel", name="Artifact")
    expect(summary.get_by_role("heading", level=1)).to_be_visible()
    return summary


def picture(page: Page, name: str, *, whole: bool = False) -> None:
    """A picture of what is visible, or of the whole page, where pictures are asked for."""
    if not PICTURES:
        return
    size = page.viewport_size
    assert size is not None
    if whole:
        # The page scrolls within itself.
        height = page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(each => each.scrollHeight))")
        page.set_viewport_size({**size, "height": height})
    page.screenshot(path=Path(PICTURES, f"{name}.png"))
    page.set_viewport_size(size)


def picture_of_run(page: Page, name: str) -> None:
    """A picture of the run whose page is open, where pictures are asked for: all of its log, its graph drawn."""
    if not PICTURES:
        return
    # The log of a page that saw the run end stays as it was.
    page.reload(wait_until="networkidle")
    graph, before = page.locator("canvas"), b""
    while (drawn := graph.screenshot()) != before:
        before = drawn
    picture(page, name)
