"""What `--json` prints for scripts."""

import json
from pathlib import Path

from label_studio_sandbox import Sandbox
from label_studio_stencil.cli.display import SCHEMA
from tests.cli.running import DEFAULTS, ROOT, Stencil, started


def test_a_machine_gets_one_json_document(stencil: Stencil) -> None:
    report = json.loads(stencil("create", "-", *DEFAULTS, "--json", stdin="title\nFor a machine\n").stdout)
    assert (report["ok"], report["rows"][0]["outcome"]) == (True, "created")
    refused = stencil("create", "-", *DEFAULTS, "--json", stdin="title,color\nOne,red\n")
    assert refused.code == 2
    assert [each["column"] for each in json.loads(refused.stdout)["problems"]] == ["color"]
    listed = json.loads(stencil("template", "list", "--json").stdout)
    assert {"reference": "1", "name": "Sentiment Analysis"}.items() <= listed["templates"][0].items()


def test_each_document_has_the_keys_of_its_schema(stencil: Stencil, tmp_path: Path) -> None:
    """A key that is renamed or gone breaks scripts: then `SCHEMA` grows, and docs/command-line.md says so."""
    rows = {"stdin": "title\nOne of one\n"}
    sheet = ("-", *DEFAULTS)
    report = (
        "sheet label_studio edition sandbox batch mode dry_run started seconds planning_seconds requests retries pauses "
        "paused_seconds counts ok stopped notes"
    )
    row = "line title workspace outcome project_id project_url attempts seconds error_code error steps changes"
    documents: list[tuple[str, tuple[str, ...], dict[str, str], str, str]] = [
        ("rows", ("plan", *sheet), rows, f"{report} output_error rows", row),
        ("rows", ("create", *sheet, "--output", str(tmp_path)), rows, f"{report} output_error rows", row),
        (
            "problems",
            ("plan", *sheet),
            {"stdin": "title\nab\n"},
            "sheet problems notes",
            "line column value code message hint",
        ),
        (
            "problems",
            ("check", *sheet),
            {"stdin": "title\nab\n"},
            "sheet problems notes",
            "line column value code message hint",
        ),
        ("templates", ("template", "list"), {}, "templates", "reference name description"),
        ("workspaces", ("workspace", "list"), {}, "workspaces", "id title archived"),
        ("codes", ("explain",), {}, "codes", "code title why remedy sheet files example"),
        ("", ("explain", "title-too-short"), {}, "code title why remedy sheet files example", ""),
        (
            "variables",
            ("template", "show", str(ROOT / "examples/templates/contracts.yaml")),
            {},
            "reference name settings variables",
            "variable type default choices help",
        ),
        (
            "",
            ("template", "preview", str(ROOT / "examples/templates/sentiment.yaml")),
            {},
            "title description settings",
            "",
        ),
        ("", ("template", "export", "One of one"), {}, "name file", ""),
        (
            "rows",
            ("remove", str(tmp_path / "results.csv"), *DEFAULTS),
            {},
            "results label_studio sandbox dry_run seconds requests counts ok stopped rows",
            "line title project_id project_url outcome code why tasks",
        ),
    ]
    assert SCHEMA == 1
    for listed, command, given, keys, of_each in documents:
        document = json.loads(stencil(*command, "--json", **given).stdout)
        assert " ".join(document) == f"schema {keys}", command
        assert document["schema"] == SCHEMA
        assert not listed or " ".join(document[listed][0]) == of_each, command


def test_who_closes_the_output_early_gets_the_exit_code_anyway(sandbox: Sandbox, tmp_path: Path) -> None:
    sheet = tmp_path / "many.csv"
    sheet.write_text("title,color\n" + "".join(f"Row {number},red\n" for number in range(3000)))
    with started("plan", str(sheet), *DEFAULTS, "--skip-invalid", "--json") as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
    assert running.returncode == 1
