"""The commands `template list|show|preview|export|publish`."""

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from label_studio_stencil.access import Instance
from label_studio_stencil.api import PlanOptions, label_studio_of
from label_studio_stencil.batch import provision
from label_studio_stencil.cli.commands import chosen_options, listed
from label_studio_stencil.cli.display import Display
from label_studio_stencil.codes import CODES
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import check, filled_by
from label_studio_stencil.problems import Problem, StencilError, grouped, shortened, shown
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.titles import LONGEST_TITLE
from label_studio_stencil.sheet.sources import read_sheet
from label_studio_stencil.templates.exporting import exported, left_out
from label_studio_stencil.templates.files import is_file, read_template
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.resolution import resolve_templates

#: What the project is called that a project template is taken from.
_SOURCE = " (template source)"


class TemplateUnusable(StencilError):
    """A template can't be found, or can't be used for this command."""


def show_all(chosen: argparse.Namespace, display: Display) -> int:
    """List the templates of Label Studio, as references."""

    async def rows(label_studio: Instance) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        if label_studio.edition is Edition.ENTERPRISE:
            found += [
                {"reference": str(each.id), "name": each.name, "description": each.description or "project template"}
                for each in await label_studio.client.project_templates()
            ]
        return found + [
            {"reference": f"gallery:{each.title}", "name": each.title, "description": each.group}
            for each in await label_studio.client.gallery()
        ]

    code = listed("templates", chosen, display, rows)
    display.note("Also: project:ID or project:TITLE, an existing project; and a template file or its URL.")
    return code


def show(chosen: argparse.Namespace, display: Display) -> int:
    """Show what a template sets, and its variables."""
    template = asyncio.run(_resolved(chosen, chosen.reference, display))
    variables = [
        {
            "variable": f"var.{each.name}",
            "type": each.type,
            "default": "required" if each.required else str(each.default),
            "choices": ", ".join(str(choice) for choice in each.choices),
            "help": each.help,
        }
        for each in template.variables.values()
    ]
    settings = {**template.fields, **template.texts}
    if template.title:
        settings["title"] = template.title
    if template.description:
        settings["description"] = template.description
    if display.machine:
        display.json(
            {"reference": template.reference, "name": template.name, "settings": settings, "variables": variables}
        )
        return 0
    if template.id is not None:
        display.say(f"{template.name}: project template {template.id}; Label Studio sets what it holds.")
        return 0
    display.say(f"{template.name} ({template.reference})")
    if variables:
        display.table(tuple(variables[0]), [list(each.values()) for each in variables])
    display.table(("setting", "value"), [(name, _one_line(value)) for name, value in settings.items()])
    return 0


def _one_line(value: object) -> str:
    text = " ".join(str(value).split())
    return shortened(text, 100)


def preview(chosen: argparse.Namespace, display: Display) -> int:
    """Print the labelling interface that a template makes of values, or of a row of a sheet."""
    if bool(chosen.sheet) != bool(chosen.row):
        raise TemplateUnusable("--sheet and --row go together: the sheet, and the line of its row.")
    template = asyncio.run(_resolved(chosen, chosen.reference, display))
    by_row = bool(chosen.sheet)
    filled = _filled_by_row(template, chosen.sheet, chosen.row) if by_row else _filled(template, _values(chosen.var))
    interface = filled.fields.get("label_config")
    if not isinstance(interface, str):
        raise TemplateUnusable(f"{template.name} sets no labelling interface of its own to show.")
    if display.machine:
        display.json({"title": filled.title, "description": filled.description, "settings": dict(filled.fields)})
    else:
        sys.stdout.write(interface.rstrip() + "\n")
    return 0


def _filled_by_row(template: Template, sheet: str, line: int) -> Template:
    checked = check(read_sheet(sheet), Options(template=template.reference))
    for request in checked.requests:
        if request.line == line:
            _, filled, problems = filled_by(request, template, cut_titles=False)
            return _without(problems, filled)
    problems = [problem for problem in checked.problems if problem.line in (line, None)]
    if problems:
        return _without(problems, template)
    lines = [request.line for request in checked.requests]
    span = f"; its rows are lines {lines[0]} to {lines[-1]}" if lines else ""
    raise TemplateUnusable(f"{sheet} has no row at line {line}{span}.")


def _filled(template: Template, values: Mapping[str, object]) -> Template:
    filled, problems = template.filled(values)
    return _without(problems, filled)


def _without(problems: Sequence[Problem], template: Template) -> Template:
    if problems:
        raise _unusable(problems)
    return template


def _unusable(problems: Sequence[Problem]) -> TemplateUnusable:
    hints = dict.fromkeys(problem.hint or CODES[problem.code].remedy for problem in problems)
    return TemplateUnusable("; ".join(each.without_hint for each in grouped(problems)), hint=" ".join(hints))


def _values(given: Sequence[str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise TemplateUnusable(f"--var {shown(each)!r}.", hint="Write NAME=VALUE.")
        values[name.strip()] = value
    return values


def export(chosen: argparse.Namespace, display: Display) -> int:
    """Print a project as a template file, which makes projects like it."""
    wanted = chosen.project.removeprefix("project:")
    template = asyncio.run(_resolved(chosen, f"project:{wanted}", display))
    text = exported(template.name, template.fields, template.description)
    for message in left_out(template.fields):
        display.note(f"Left out: {message}")
    if display.machine:
        display.json({"name": template.name, "file": text})
    else:
        sys.stdout.write(text)
    return 0


def publish(chosen: argparse.Namespace, display: Display) -> int:
    """Make a project template from a template file, by way of a project, which Label Studio's API requires."""
    if not is_file(chosen.reference):
        raise TemplateUnusable(
            f"{chosen.reference}: a template file is published.", hint="Write its path, or file:PATH."
        )
    template = _filled(_read(chosen.reference), _values(chosen.var))
    made, project = asyncio.run(_published(chosen, template, display))
    if display.machine:
        display.json({"template": made, "project": project, "name": template.name})
    display.say(f"Made the project template {template.name!r}, id {made}, of project {project}.")
    display.note(
        f"Project {project} stays: what deleting it would do to the project template is not documented by the vendor."
    )
    return 0


async def _published(chosen: argparse.Namespace, template: Template, display: Display) -> tuple[int, int]:
    options = chosen_options(PlanOptions, chosen, display).model_copy(update={"template": chosen.reference})
    async with label_studio_of(options) as label_studio:
        if label_studio.edition is Edition.COMMUNITY:
            raise TemplateUnusable("Only Label Studio Enterprise has project templates, and this is Community.")
        taken = [each.id for each in await label_studio.client.project_templates() if each.name == template.name]
        if taken:
            raise TemplateUnusable(
                f"there is a project template {template.name!r} already, id {taken[0]}.",
                hint="Give the file another `name`.",
            )
        title = template.name[: LONGEST_TITLE - len(_SOURCE)].rstrip() + _SOURCE
        row = {"title": title, "vars": _values(chosen.var)} if chosen.var else {"title": title}
        report = await provision(check(read_sheet([row], name="publish"), options), options, label_studio)
        made = report.rows[0]
        if not made.outcome.ok or made.project_id is None:
            raise TemplateUnusable(f"the project that it is to be taken from was not made: {made.error}")
        if made.outcome is Outcome.EXISTS:
            raise TemplateUnusable(
                f"project {made.project_id} is called {title!r} already, and may be something else.",
                hint="Rename or delete it.",
            )
        found = await label_studio.client.create_project_template(
            template.name, project=made.project_id, description=template.description
        )
        return found.id, made.project_id


async def _resolved(chosen: argparse.Namespace, reference: str, display: Display) -> Template:
    if is_file(reference):
        return _read(reference)
    async with label_studio_of(chosen_options(PlanOptions, chosen, display)) as label_studio:
        found = (await resolve_templates([reference], label_studio.client, label_studio.edition, folder=None))[
            reference
        ]
    return _usable(found)


def _read(reference: str) -> Template:
    return _usable(read_template(reference, None))


def _usable(found: Template | Problem) -> Template:
    if isinstance(found, Problem):
        raise _unusable([replace(found, column=None)])
    return found
