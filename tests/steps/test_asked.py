"""What rows ask for beyond settings, as their cells say it."""

from pathlib import Path

import pytest

from label_studio_stencil.plans.pending import Claim, Sent, pending_of, with_pending
from label_studio_stencil.rows.requests import requests_of
from label_studio_stencil.rows.steps import BadStep, Member, members_in, tasks_in
from label_studio_stencil.sheet.sources import read_sheet

KEY, INTENT = "0123456789abcdef", "01234567"


@pytest.mark.parametrize(
    ("cell", "members"),
    [
        ("Ann@Example.com", [Member("ann@example.com")]),
        ("a@x.org; b@x.org: Reviewer", [Member("a@x.org"), Member("b@x.org", "RE")]),
        ("a@x.org:an, a@x.org:MA,", [Member("a@x.org", "MA")]),
        ("a@x.org\nb@x.org", [Member("a@x.org"), Member("b@x.org")]),
    ],
)
def test_members_are_addresses_with_roles(cell: str, members: list[Member]) -> None:
    assert list(members_in(cell)) == members


@pytest.mark.parametrize(
    ("cell", "reason"), [("ann", "not an e-mail address"), ("a@x.org: boss", "'boss' is not a role")]
)
def test_what_is_no_member_is_told(cell: str, reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        members_in(cell)


@pytest.mark.parametrize(
    ("content", "name", "number"),
    [
        (b'[{"data": {"text": "a"}}, {"text": "b"}]', "t.json", 2),
        (b'{"text": "a"}\n{"text": "b"}\n', "t.jsonl", 2),
        (b'\xef\xbb\xbf{"text": "a"}', "t.json", 1),
    ],
)
def test_tasks_are_counted_whatever_holds_them(content: bytes, name: str, number: int) -> None:
    assert len(tasks_in(content, name)) == number


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", "no tasks"),
        (b"[1]", "task 1"),
        (b"[{", "can't be read"),
        (b"\xff", "UTF-8"),
        (b"[" * 99999, "read"),
    ],
)
def test_a_file_without_tasks_is_a_problem(content: bytes, reason: str) -> None:
    with pytest.raises(BadStep, match=reason):
        tasks_in(content, "t.json")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("tasks", "../secret.json"),
        ("tasks", "/etc/passwd"),
        ("tasks", "none.json"),
        ("members", "ann"),
        ("publish", "maybe"),
    ],
)
def test_a_step_that_can_not_be_is_a_problem_of_its_row(tmp_path: Path, column: str, cell: str) -> None:
    (tmp_path / "sheet").mkdir()
    (tmp_path / "secret.json").write_text('[{"text": "x"}]', encoding="utf-8")
    sheet = tmp_path / "sheet" / "s.csv"
    sheet.write_text(f"title,template,{column}\nA row,1,{cell}\n", encoding="utf-8")
    requests, problems = requests_of(read_sheet(sheet))
    assert (requests, [(each.code, each.line, each.column) for each in problems]) == ([], [("bad-step", 2, column)])


@pytest.mark.parametrize("claim", [None, Claim("0badcafe", 1_796_000_000)], ids=["nobody's", "claimed"])
@pytest.mark.parametrize(
    "sent",
    [None, Sent("0badcafe"), Sent("0badcafe", 17), Sent("0badcafe", refused=True)],
    ids=["nothing sent", "sent", "import 17", "refused"],
)
@pytest.mark.parametrize("description", ["", "One line", "Two\n\nparagraphs\n"])
def test_the_line_of_steps_that_are_not_done_comes_off_again(
    description: str, claim: Claim | None, sent: Sent | None
) -> None:
    pending = with_pending(description, KEY, INTENT, claim, sent)
    assert pending_of(pending, KEY) == (description.rstrip(), INTENT, claim, sent)
    assert pending_of(pending, "f" * 16) is None
    assert pending_of(f"{pending} and mine", KEY) is None
    assert pending_of(description, KEY) is None
