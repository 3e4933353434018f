"""A resolved template, and how a row's variables fill a template file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from label_studio_stencil.json_value import JSON
from label_studio_stencil.names import nearest, or_listed
from label_studio_stencil.problems import Problem, shown
from label_studio_stencil.rows.payload import parse_overrides
from label_studio_stencil.templates.rendering import TooSlow, Unrenderable, render
from label_studio_stencil.templates.variables import BadVariable, Variable


@dataclass(frozen=True, slots=True)
class Template:
    """A resolved template.

    Attributes:
        reference: The reference in the sheet.
        name: Name in messages.
        identity: Kind, id and version in one string, which changes with the content of the template.
        id: Id of the project template that Label Studio instantiates; `None` if the settings are in `fields`.
        fields: Settings that Stencil writes, for kinds that Label Studio can't instantiate.
        description: Description of projects whose row sets none.
        title: Title of projects whose row sets none; only a template file has one.
        variables: Variables that rows can set; only a template file has any.
        texts: Texts with placeholders, by field; these are not in `fields`, `description` and `title`.
        slow: The problem of the first row for which filling it took too long; the other rows don't try again.
    """

    reference: str
    name: str
    identity: str
    id: int | None = None
    fields: Mapping[str, JSON] = field(default_factory=dict)
    description: str = ""
    title: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    slow: list[Problem] = field(default_factory=list, compare=False, repr=False)

    def filled(self, cells: Mapping[str, object]) -> "tuple[Template, list[Problem]]":
        """The template as a row fills it, and the problems of that.

        Args:
            cells: Cell by variable; blank cells are left out.
        """
        problems = [self._unknown(name) for name in cells if name not in self.variables]
        values: dict[str, JSON] = {}
        for variable in self.variables.values():
            if variable.name not in cells:
                if variable.required:
                    problems.append(self._missing(variable))
                else:
                    values[variable.name] = variable.default
                continue
            try:
                values[variable.name] = variable.value(cells[variable.name])
            except BadVariable as error:
                message = f"{variable.name} {error}."
                value = shown(cells[variable.name])
                problems.append(Problem("variable-invalid", message, column=f"var.{variable.name}", value=value))
        if problems or not self.texts:
            return self, problems
        return self._rendered(values)

    def _rendered(self, values: Mapping[str, JSON]) -> "tuple[Template, list[Problem]]":
        if self.slow:
            return self, self.slow[:1]
        texts: dict[str, str] = {}
        for name, text in self.texts.items():
            try:
                texts[name] = render(name, text, values)
            except Unrenderable as error:
                found = Problem("template-invalid", f"{name} of {self.name}: {error}.", column="template")
                if isinstance(error, TooSlow):
                    self.slow.append(found)
                return self, [found]
        title, description = texts.pop("title", self.title), texts.pop("description", self.description)
        fields, problems = parse_overrides({**self.fields, **texts}, line=None, allow_unknown=True)
        problems = [
            replace(
                each,
                message=f"{each.column} of {self.name}, as this row fills it, {each.message}",
                column="template",
                value=None,
            )
            for each in problems
        ]
        identity = f"{self.identity}:{values_digest(values)}"
        filled = replace(self, fields=fields, description=description, title=title.strip(), identity=identity, texts={})
        return filled, problems

    def _unknown(self, name: str) -> Problem:
        close = nearest(name, self.variables)
        if close:
            hint = f"Did you mean {or_listed(close)}?"
        elif self.variables:
            hint = f"It has {', '.join(self.variables)}."
        else:
            hint = "It has none."
        message = f"the template {shown(self.name)} has no variable {shown(name)}."
        return Problem("variable-unknown", message, column=f"var.{name}", hint=hint)

    def _missing(self, variable: Variable) -> Problem:
        about = f" ({variable.help})" if variable.help else ""
        name = variable.name
        message = f"the template {shown(self.name)} needs a value for {name}{about}."
        return Problem("variable-missing", message, column=f"var.{name}", hint=f"Fill the column var.{name}.")


#: The template of a row that has a labelling interface of its own.
NO_TEMPLATE = Template(reference="", name="no template", identity="none")


def values_digest(value: Mapping[str, JSON]) -> str:
    """16 hex digits for the content of a mapping."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
