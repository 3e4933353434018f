"""The deployment `on-demand` as a person runs it from the Prefect UI."""

import contextlib
import inspect
import re
from typing import Any

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from label_studio_sandbox import Sandbox
from label_studio_stencil.prefect.flows import FIRST, create_projects
from tests.soak.batches import placeholders, projects
from tests.ui.person import (
    add_item,
    choices,
    comes_to,
    field,
    open_form,
    open_summary,
    paste,
    picture,
    picture_of_run,
    press,
    run,
    run_to_its_end,
    state_message,
    submit,
)

PARAMETERS = inspect.signature(create_projects.fn).parameters
DEFAULTS = {name: parameter.default for name, parameter in PARAMETERS.items()}


def described() -> dict[str, str]:
    """What the docstring says of each parameter."""
    arguments = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", inspect.getdoc(create_projects.fn) or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in arguments}


def of_title(label_studio: Sandbox, *titles: str) -> dict[str, dict[str, Any]]:
    return {project["title"]: project for project in projects(label_studio) if project["title"] in titles}


def test_the_form_shows_the_fields_as_signed_with_their_descriptions(page: Page) -> None:
    shown = " ".join(open_form(page).inner_text().split())
    assert list(PARAMETERS)[: len(FIRST)] == list(FIRST)
    assert list(described()) == list(PARAMETERS)
    places = [shown.find(f"{name} (Optional) {text}") for name, text in described().items()]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(("name", "offered"), [("mode", {"create", "update"}), ("fail_when", {"any", "all", "never"})])
def test_the_form_offers_choices(page: Page, name: str, offered: set[str]) -> None:
    assert set(choices(page, open_form(page), name)) == offered


def test_the_form_holds_bounds(page: Page) -> None:
    form = open_form(page)
    concurrency = field(form, "max_concurrency")
    concurrency.fill("65")
    submit(page)
    # Where it is invalid, the browser leads back to it, and nothing is sent.
    expect(concurrency).to_be_focused()
    assert "64" in concurrency.evaluate("input => input.validationMessage")


def test_the_form_untouched_sends_the_defaults(page: Page) -> None:
    # What is sent goes nowhere.
    page.route("**/create_flow_run", lambda route: route.abort())
    open_form(page)
    with page.expect_request("**/create_flow_run") as request:
        submit(page)
    sent = request.value.post_data_json
    assert sent is not None
    assert sent["parameters"] == {**DEFAULTS, "credentials": "label-studio"}


def test_pasted_rows_become_projects_that_the_summary_links(page: Page, label_studio: Sandbox) -> None:
    titles = ("Reviews January", "Reviews February", "Reviews March")
    pasted = "\n".join(["title,maximum_annotations", *(f"{title},3" for title in titles)])
    form = open_form(page)
    paste(page, field(form, "csv_text"), pasted)
    field(form, "template").fill("Sentiment Analysis")
    field(form, "workspace").fill("Customer Feedback")
    picture(page, "form", whole=True)
    assert run_to_its_end(page) == "Completed"
    picture_of_run(page, "run")

    created = of_title(label_studio, *titles)
    assert len(created) == 3
    summary = open_summary(page)
    expect(summary.get_by_role("heading", level=1)).to_have_text("3 rows: 3 created")
    for title, project in created.items():
        link = summary.get_by_role("row").filter(has_text=title).get_by_role("link", name=title)
        expect(link).to_have_attribute("href", f"{label_studio.url}/projects/{project['id']}")
    # For the picture alone: links are the last thing in the summary, which the page may be drawing anew.
    with contextlib.suppress(PlaywrightError):
        summary.get_by_role("link").last.scroll_into_view_if_needed()
    picture(page, "summary")


def test_a_dry_run_creates_nothing_and_its_summary_says_so(page: Page, label_studio: Sandbox) -> None:
    label_studio.clear_requests()
    form = open_form(page)
    paste(page, field(form, "csv_text"), "title,template,workspace\nOnly planned,1,1\n")
    field(form, "dry_run").click()
    assert run_to_its_end(page) == "Completed"

    summary = open_summary(page)
    expect(summary).to_contain_text("nothing was written")
    expect(summary.get_by_role("row").filter(has_text="Only planned")).to_contain_text("would be created")
    asked = [request.method for request in label_studio.requests]
    assert asked.count("GET") == len(asked) > 0


def test_two_sources_fail_and_the_state_names_both(page: Page) -> None:
    form = open_form(page)
    field(form, "sheet").fill("examples/projects.csv")
    paste(page, field(form, "csv_text"), "title\nNever made\n")
    assert run_to_its_end(page) == "Failed"
    assert state_message(page).endswith("sheet, csv_text.")


def test_rows_are_typed_as_items(page: Page, label_studio: Sandbox) -> None:
    form = open_form(page)
    add_item(page, form, '{"title": "Typed by hand", "template": 1, "workspace": "Research", "maximum_annotations": 5}')
    add_item(page, form, '{"title": "Typed as well", "template": "1", "overrides": {"maximum_annotations": 3}}')
    field(form, "workspace").fill("1")
    assert run_to_its_end(page) == "Completed"
    found = of_title(label_studio, "Typed by hand", "Typed as well")
    assert {title: project["maximum_annotations"] for title, project in found.items()} == {
        "Typed by hand": 5,
        "Typed as well": 3,
    }


def test_a_run_is_paused_resumed_and_cancelled_in_the_ui(page: Page, label_studio: Sandbox) -> None:
    titles = [f"Controlled {number}" for number in range(400)]

    def made() -> list[dict[str, Any]]:
        return [project for project in projects(label_studio) if project["title"] in titles]

    def until_made(more_than: int) -> None:
        while len(made()) <= more_than:
            page.wait_for_timeout(200)

    form = open_form(page)
    paste(page, field(form, "csv_text"), "\n".join(["title", *titles]))
    field(form, "template").fill("1")
    field(form, "workspace").fill("1")
    field(form, "requests_per_second").fill("10")
    run(page)
    until_made(10)
    comes_to(page, "Running")

    press(page, "Pause")
    comes_to(page, "Suspended")
    # The process ends once it has set up what it had created.
    while placeholders(label_studio):
        page.wait_for_timeout(200)
    paused = len(made())
    assert paused < len(titles) / 2

    press(page, "Resume")
    until_made(paused + 10)
    comes_to(page, "Running")

    press(page, "Cancel")
    comes_to(page, "Cancelled")
    assert paused < len(made()) < len(titles)
    assert placeholders(label_studio) == []
    assert len({project["title"] for project in made()}) == len(made())
    expect(open_summary(page).get_by_role("heading", level=1)).to_contain_text(f"{paused} exist")
