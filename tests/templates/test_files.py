"""Template files: their variables, what rows make of them, and what builds upon what."""

import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import fsspec
import pytest

from label_studio_stencil.files import PERSON
from label_studio_stencil.problems import Problem
from label_studio_stencil.templates.exporting import exported
from label_studio_stencil.templates.files import read_template
from label_studio_stencil.templates.model import Template

NER = """
name: Entities
title: "{{ customer }} {{ year }}"
description: "{{ customer }}: {{ labels | length }} labels"
expert_instruction: "<b>{{ customer }}</b>"
label_config: |
  <View><Text name="text" value="$text"/>
  <Labels name="label" toName="text">{% for label in labels %}<Label value="{{ label }}"/>{% endfor %}</Labels></View>
variables:
  customer: {help: whose texts these are}
  year: {type: integer}
  labels: {type: list, default: [Party, Date]}
  language: {choices: [en, de], default: en}
"""
USED = NER.replace("{{ year }}", "{{ year }} {{ language }}")


def template(folder: Path, **files: str) -> Template | Problem:
    """The template of the first file."""
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content, encoding="utf-8")
    return read_template(f"{next(iter(files))}.yaml", folder)


def usable(found: Template | Problem) -> Template:
    assert isinstance(found, Template), found
    return found


def labels(filled: Template) -> list[str]:
    root = ElementTree.fromstring(str(filled.fields["label_config"]))
    return [label.attrib["value"] for label in root.iter("Label")]


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("Person;Place", ["Person", "Place"]),
        ("a, b", ["a", "b"]),
        ('["x", "y,z"]', ["x", "y,z"]),
        (["from", "JSON lines"], ["from", "JSON lines"]),
        ("<Evil/>;\"&'", ["<Evil/>", "\"&'"]),
        ('"/></Labels><Text name="x" value="$y"/>', ['"/></Labels><Text name="x" value="$y"/>']),
    ],
)
def test_a_list_becomes_a_label_each_whatever_is_in_it(tmp_path: Path, cell: object, values: list[str]) -> None:
    found = usable(template(tmp_path, ner=USED))
    filled, problems = found.filled({"customer": "A", "year": "2026", "labels": cell})
    assert problems == []
    assert labels(filled) == values


def test_a_row_fills_title_description_and_instructions_and_only_markup_is_escaped(tmp_path: Path) -> None:
    filled, _ = usable(template(tmp_path, ner=USED)).filled({"customer": "A & <B>", "year": "2026.0"})
    assert (filled.title, filled.description) == ("A & <B> 2026 en", "A & <B>: 2 labels")
    assert filled.fields["expert_instruction"] == "<b>A &amp; &lt;B&gt;</b>"


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"year": 1}, ("variable-missing", "var.customer", "whose texts these are")),
        ({"customer": "A", "year": "soon"}, ("variable-invalid", "var.year", "takes a number")),
        ({"customer": "A", "year": 1, "language": "fr"}, ("variable-invalid", "var.language", "one of: en, de")),
        ({"customer": "A", "year": 1, "labls": "x"}, ("variable-unknown", "var.labls", "Did you mean labels?")),
    ],
)
def test_what_a_row_sets_wrongly_is_named(
    tmp_path: Path, cells: dict[str, object], problem: tuple[str, str, str]
) -> None:
    _, problems = usable(template(tmp_path, ner=USED)).filled(cells)
    assert [(each.code, each.column) for each in problems] == [problem[:2]]
    assert problem[2] in problems[0].text


def test_a_template_without_variables_takes_none() -> None:
    _, problems = Template("1", "Sentiment", "template:1", id=1).filled({"customer": "A"})
    assert [each.code for each in problems] == ["variable-unknown"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("description: '{{ nobody }}'", "description uses nobody, which `variables` does not declare"),
        ("description: x\nvariables: {unused: 1}", "declares unused, which no text uses"),
        ("description: '{{ a '\nvariables: {a: 1}", "description: line 1"),
        ("description: '{{ a }}'\nvariables: {a: {type: date}}", "type is 'date'; it is one of text, integer"),
        ("description: '{{ a }}'\nvariables: {a: {kind: text}}", "a declaration can't have 'kind'"),
        ("description: '{{ a }}'\nvariables: {a: {choices: [x], default: y}}", "takes one of: x; not 'y'"),
        ("description: '{{ a-b }}'\nvariables: {a-b: 1}", "a name has letters, digits and _"),
        ("extends: ../base.yaml", "a template file names others in its own folder or below it"),
        ("extends: https://example.com/base.yaml", "in its own folder or below it"),
        ("extends: first.yaml", "or in a circle"),
        ("label_config: <View/>\nlabel_config_file: a.xml", "both label_config and label_config_file"),
        ("label_config_file: missing.xml", "can't be read"),
        ("maximum_anotations: 2", "maximum_anotations"),
    ],
)
def test_a_file_that_is_not_right_says_why(tmp_path: Path, content: str, reason: str) -> None:
    found = template(tmp_path, first=content)
    assert isinstance(found, Problem)
    assert reason in found.message


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}{{ a }}",
        "{{ 'x' * 99999999999 }}{{ a }}",
        "{{ a * 99999999999 }}",
        "{{ 9 ** 9 ** 9 }}{{ a }}",
        "{{ '%1500000000d' % 1 }}{{ a }}",
        "{{ 'x' | center(999999999) }}{{ a }}",
        "{{ '%999999999d' | format(1) }}{{ a }}",
        "{{ 'x'.ljust(999999999) }}{{ a }}",
        "{{ 'x'.join(a * 9999) }}{{ a }}",
        "{{ a | join | replace('x', a | join * 9999) }}",
        "{{ (a * 9999) | join('y' * 999) }}",
        "{% set b = a | join %}" + "{% set b = b ~ b %}" * 21 + "{{ b }}",
        "{% set b = a | join %}" + "{% set b = b + b %}" * 21 + "{{ b }}",
        "{{ 'x' | truncate(-1) }}{{ a }}",
        "{{ '{:>999999999}'.format(1) }}{{ a }}",
        "{% for x in a %}{% for y in a %}{% for z in a %}{{ a * 9999 }}{% endfor %}{% endfor %}{% endfor %}",
        "{{ a.append(1) }}{{ a }}",
        "{{ 1 // 0 }}{{ a }}",
        "{{ a.nothing }}",
        "{{ a | nofilter }}",
    ],
)
def test_a_template_can_neither_break_out_nor_grow_without_end(tmp_path: Path, text: str) -> None:
    tracemalloc.start()
    try:
        found = template(
            tmp_path, first=f"description: |\n  {text}\nvariables: {{a: {{type: list, default: [{'x,' * 99} x]}}}}"
        )
        problems = [found] if isinstance(found, Problem) else found.filled({})[1]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [problem.code for problem in problems] == ["template-invalid"]
    assert most < 60_000_000


def test_what_a_value_breaks_in_the_interface_is_a_problem_of_the_row(tmp_path: Path) -> None:
    found = usable(template(tmp_path, first="label_config: '<View>{{ raw | safe }}</View>'\nvariables: {raw: ok}"))
    _, problems = found.filled({"raw": "<Broken"})
    assert [each.code for each in problems] == ["bad-xml"]
    assert "XML line 1" in problems[0].message


def test_a_file_builds_upon_others_and_its_own_word_counts(tmp_path: Path) -> None:
    (tmp_path / "ner.xml").write_text("<View><Text name='t' value='$t'/></View>", encoding="utf-8")
    found = usable(
        template(
            tmp_path,
            top="extends: middle.yaml\nmaximum_annotations: 3\nvariables: {b: 2}\ndescription: '{{ a }}{{ b }}'",
            middle="name: Middle\nextends: base.yaml\nlabel_config_file: ner.xml",
            base="maximum_annotations: 1\nshow_instruction: true\nvariables: {a: 1, b: 1}",
        )
    )
    assert found.name == "top"
    assert found.fields["maximum_annotations"] == 3
    assert found.fields["show_instruction"] is True
    assert "name='t'" in str(found.fields["label_config"])
    assert found.filled({})[0].description == "12"


def test_a_file_at_a_url_is_read_with_what_stands_beside_it() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/kinds/ner.yaml", b"extends: base.yaml\nlabel_config_file: ner.xml")
    memory.pipe("/kinds/base.yaml", b"maximum_annotations: 2")
    memory.pipe("/kinds/ner.xml", b"<View/>")
    found = usable(read_template("memory://kinds/ner.yaml", None))
    assert found.fields == {"maximum_annotations": 2, "label_config": "<View/>"}


def test_braces_of_a_text_come_through_an_export_as_they_are(tmp_path: Path) -> None:
    odd = "<View><Style>.a{color:red}{# b #}</Style><Text name='t' value='$t'/><!-- {{ x }} {% endraw %} --></View>"
    text = exported("Odd", {"label_config": odd, "maximum_annotations": 2}, "two\nlines {{ y }}")
    again = usable(template(tmp_path, odd=text)).filled({})[0]
    assert (again.fields["label_config"], again.description) == (odd, "two\nlines {{ y }}")


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ("color: #FF0000\nmaximum_annotations: 2 #two", ["color is empty on line 1, since YAML takes what follows #"]),
        ("description: Fix #12 now", ["description ends early on line 1, since YAML takes what follows #"]),
        (
            "label_config:\nsampling: ~\ndescription: null",
            ["label_config is empty", "sampling is empty", "description is"],
        ),
        ("name:\ntitle: ~\ncolor: ''", ["name is empty", "title is empty", "color is empty"]),
        ("color: '#000000'\ncolor: '#111111'", ["color is there twice, the second time on line 2"]),
        (
            "description: '{{ a }}{{ b }}'\nzork: 1\ncolor: red",
            ["uses a", "uses b", "zork", "color takes a colour"],
        ),
        ("variables: {a: {kind: 1}, b: {type: day}}", ["variable a", "variable b", "declares a", "declares b"]),
    ],
    ids=["comment", "cut", "null", "blank", "twice", "settings", "variables"],
)
def test_all_problems_of_a_file_are_reported_together(tmp_path: Path, content: str, reasons: list[str]) -> None:
    found = template(tmp_path, first=content)
    assert isinstance(found, Problem)
    assert [reason for reason in reasons if reason not in found.message] == []


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("12:30", "12:30"),
        ("no", "no"),
        ("On", "On"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("0777", "777"),
        ("0o17", "15"),
        ("1e3", "1000"),
        ("yes  # as ever", "yes"),
        ("a#b", "a#b"),
    ],
)
def test_a_file_is_yaml_1_2(tmp_path: Path, text: str, read: str) -> None:
    found = usable(template(tmp_path, first=f"description: {text}\nshow_instruction: no"))
    assert (found.description.removesuffix(".0"), found.fields["show_instruction"]) == (read, False)


@pytest.mark.parametrize("text", ["1e3", "0o17", "12:30", "no", "~", "null", "2026-01-02", "1_000", "#x", "a #b"])
def test_a_text_that_looks_like_something_else_comes_through_an_export(tmp_path: Path, text: str) -> None:
    again = usable(template(tmp_path, first=exported("Odd", {"expert_instruction": text}, text)))
    assert (again.description, again.fields["expert_instruction"]) == (text, text)


def test_an_interface_beside_the_file_may_be_as_large_as_a_text_that_a_cell_refers_to(tmp_path: Path) -> None:
    (tmp_path / "large.xml").write_text(f"<View><!-- {'x' * 5_000_000} --></View>")
    assert usable(template(tmp_path, first="label_config_file: large.xml"))
    found = template(tmp_path, second=f"description: {'x' * 1_100_000}")
    assert isinstance(found, Problem)
    assert "1 MB" in found.message


REPEATER = """<View>
  <Repeater on="$pages" indexFlag="{{idx}}" mode="pagination">
    <Image name="page_{{idx}}" value="$pages[{{idx}}].url"/>
    <RectangleLabels name="b_{{ idx }}" toName="page_{{idx}}">LABELS</RectangleLabels>
  </Repeater>
</View>
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_what_an_interface_has_in_braces_and_the_file_does_not_declare_is_label_studios_own(
    tmp_path: Path, ends: str
) -> None:
    interface = REPEATER.replace("LABELS", '<Label value="Title"/>').replace("\n", ends)
    (tmp_path / "repeater.xml").write_bytes(interface.encode())
    found = usable(template(tmp_path, plain="label_config_file: repeater.xml"))
    assert (found.fields["label_config"], found.texts) == (interface, {})
    # And beside variables of the file's own.
    own = REPEATER.replace("LABELS", "{% for x in labels %}<Label value='{{ x }}'/>{% endfor %}").replace("\n", ends)
    (tmp_path / "own.xml").write_bytes(own.encode())
    declared = "label_config_file: own.xml\nvariables: {labels: {type: list}}"
    filled, problems = usable(template(tmp_path, own=declared)).filled({"labels": ["A", "B"]})
    assert problems == []
    both = REPEATER.replace("LABELS", "<Label value='A'/><Label value='B'/>").replace("\n", ends)
    assert filled.fields["label_config"] == both


@pytest.mark.parametrize(
    "text", [REPEATER, REPEATER.replace("\n", "\r\n"), "<View>{% x %}</View>", "<View>\u2028\x85</View>"]
)
def test_an_interface_comes_through_an_export_letter_for_letter(tmp_path: Path, text: str) -> None:
    found = usable(template(tmp_path, first=exported("Odd", {"label_config": text}, "")))
    filled, problems = found.filled({})
    assert (filled.fields["label_config"], problems) == (text, [])


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("name: T\ndescription: a: b\n", "put a value that holds a colon and a space in quotes"),
        ("name: T\n\tcolor: x\n", "indent with spaces, not with tabs"),
        ("name: T\ndescription: @x\n", "starts with @"),
    ],
)
def test_what_yaml_does_not_take_comes_with_advice(tmp_path: Path, text: str, advice: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    found = read_template(str(tmp_path / "t.yaml"), None, PERSON)
    assert isinstance(found, Problem)
    assert advice in found.message
