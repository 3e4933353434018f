"""Resolves template references, each once a batch, however many rows name it."""

import dataclasses
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from label_studio_stencil.concurrency import together
from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.problems import Problem
from label_studio_stencil.rows.comparison import differing
from label_studio_stencil.rows.fields import ENTERPRISE_ONLY_FIELDS
from label_studio_stencil.templates.files import is_file, read_template
from label_studio_stencil.templates.model import Template
from label_studio_stencil.templates.projects import (
    GALLERY,
    PROJECT,
    enterprise_only,
    from_gallery,
    from_project,
    from_server,
)


async def resolve_templates(
    references: Iterable[str],
    label_studio: LabelStudio,
    edition: Edition,
    *,
    folder: Path | None,
    asker: Callable[[str], Asker] = lambda reference: PERSON,
) -> dict[str, Template | Problem]:
    """The template of each reference, or its problem.

    Args:
        references: Distinct references of a sheet.
        label_studio: Where to look them up.
        edition: Edition of the Label Studio.
        folder: Where relative paths of template files start; `None` means the current folder.
        asker: Who named a reference, which decides what it may open.

    Raises:
        LabelStudioError: Label Studio did not answer.
    """
    found: dict[str, Template | Problem] = {}
    named: list[str] = []
    gallery: list[str] = []
    projects: list[str] = []
    for reference in references:
        if reference.startswith(PROJECT):
            projects.append(reference)
        elif reference.startswith(GALLERY):
            gallery.append(reference)
        elif is_file(reference):
            found[reference] = _for_edition(read_template(reference, folder, asker(reference)), edition)
        else:
            named.append(reference)
    read = [from_gallery(gallery, label_studio, edition)] if gallery else []
    if named:
        on_community = edition is Edition.COMMUNITY
        read += [enterprise_only(named, label_studio) if on_community else from_server(named, label_studio)]
    read += [_by_reference(reference, from_project(reference, label_studio, edition)) for reference in projects]
    for each in await together(read):
        found |= each
    return found


async def _by_reference(
    reference: str, found: Coroutine[Any, Any, Template | Problem]
) -> dict[str, Template | Problem]:
    return {reference: await found}


def _for_edition(template: Template | Problem, edition: Edition) -> Template | Problem:
    """A file's template, or a problem if it has settings that Community would ignore.

    A setting that has its default changes nothing on Community, and is left out there.
    """
    if isinstance(template, Problem) or edition is Edition.ENTERPRISE:
        return template
    unknown = [name for name in template.fields if name in ENTERPRISE_ONLY_FIELDS]
    set_here = differing({name: template.fields[name] for name in unknown}, {}, whole=True)
    problems = [community_problem(name) for name in set_here]
    if not problems:
        kept = {name: value for name, value in template.fields.items() if name not in unknown}
        return dataclasses.replace(template, fields=kept) if unknown else template
    reasons = "; ".join(f"{problem.column}: {problem.text}" for problem in problems)
    message = f"the template file is invalid: {reasons}"
    return Problem("template-invalid", message, column="template", value=template.reference)


def community_problem(field: str, *, line: int | None = None) -> Problem:
    """The problem of a field that Community ignores (measured on 1.23.2)."""
    message = f"only Label Studio Enterprise has {field}; Community would ignore it without an error."
    return Problem("enterprise-only-field", message, line=line, column=field, hint="Leave it out.")
