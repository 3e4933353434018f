"""Secrets are marked where they are parsed, and taken out where text leaves the process."""

import pickle

import pytest

from label_studio_stencil.redaction import MASK, Secret, redact, visible
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.payload import parse_overrides
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.sheet.sources import read_sheet
from tests.report.reports import report, row

PASSWORD = "hunter2-geheim"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://me:pw@host/x?sig=S, and s3://b/k", "see https://host/x?***, and s3://b/k"),
        ("(https://host/x?a=1&b=2)", "(https://host/x?***)"),
        ("'sftp://me@host/x'", "'sftp://host/x'"),
        ("nosuch://user:p@w@host/x?sig=S", "nosuch://host/x?***"),
        ("is it? yes", "is it? yes"),
        ("http://[::1]:80/x", "http://[::1]:80/x"),
    ],
)
def test_users_passwords_and_queries_of_urls_are_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_secrets_are_taken_out_the_longest_first_and_blank_ones_are_none() -> None:
    assert redact("abcd abc x", ["abc", "abcd", "", " "]) == f"{MASK} {MASK} x"


def test_characters_that_do_something_are_shown_as_escapes() -> None:
    assert visible("a\x1b[2J\u202eb\u2066é👩\u200d🔬") == r"a\x1b[2J\u202eb\u2066é👩" + "\u200d🔬"


@pytest.mark.parametrize(
    "cells",
    [
        {"title": "abc", "Task Data Password": PASSWORD},
        {"title": "abc", "overrides": f'{{"task_data_password": "{PASSWORD}"}}'},
        {"title": "abc", "overrides": {"task_data_password": PASSWORD}},
    ],
)
def test_no_repr_shows_a_password(cells: dict[str, object]) -> None:
    sheet = read_sheet([cells])
    requests, problems = requests_of(sheet, template="t")
    assert not problems
    told = report(row(2, Outcome.FAILED, cells=sheet.rows[0].cells, error=f"the server said {PASSWORD}"))
    for thing in (sheet, requests, told, told.rows[0]):
        assert PASSWORD not in repr(thing)


def test_a_report_that_is_built_by_hand_shows_no_password_either() -> None:
    cells = {"title": "abc", "task_data_password": PASSWORD}
    told = report(row(2, Outcome.FAILED, cells=cells, again=cells, error=f"the server said {PASSWORD}"))
    assert PASSWORD not in repr(told)
    assert "title='" in repr(told)


def test_a_marked_password_is_sent_as_it_is() -> None:
    payload, _ = parse_overrides({"task_data_password": PASSWORD}, line=2, allow_unknown=False)
    assert payload == {"task_data_password": PASSWORD}
    assert PASSWORD not in repr(payload)
    assert pickle.loads(pickle.dumps(Secret(PASSWORD))) == PASSWORD
