"""The variables of a template file: their declarations, and their values from cells."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from pydantic_core import PydanticCustomError

from label_studio_stencil.json_value import JSON, NotJSONError, json_of
from label_studio_stencil.problems import shown
from label_studio_stencil.rows.values import boolean, integer, number, text

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_KEYS = ("type", "default", "choices", "help")


class BadVariable(ValueError):
    """A declaration or a value is wrong; the text says why."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A declared variable.

    Attributes:
        name: As placeholders and `var.` columns write it.
        type: `text`, `integer`, `number`, `boolean` or `list` (of texts).
        default: Its value if a row does not set it; `None` if every row has to.
        choices: Its possible values, or those of a list's items; empty allows any.
        help: What it is for.
    """

    name: str
    type: str = "text"
    default: JSON = None
    choices: tuple[JSON, ...] = ()
    help: str = ""

    @property
    def required(self) -> bool:
        """Whether every row must set it."""
        return self.default is None

    def value(self, cell: object) -> JSON:
        """The value of a cell.

        Raises:
            BadVariable: The cell doesn't fit.
        """
        try:
            found = _TYPES[self.type](cell)
        except PydanticCustomError as error:
            raise BadVariable(error.message()) from None
        items = found if isinstance(found, list) else [found]
        strange = [item for item in items if self.choices and item not in self.choices]
        if strange:
            allowed = ", ".join(str(choice) for choice in self.choices)
            raise BadVariable(
                f"takes {'some' if self.type == 'list' else 'one'} of: {allowed}; not {shown(strange[0])!r}"
            )
        return found


def variable(name: str, declared: object) -> Variable:
    """A variable as a template file declares it: only by its default, or by type, default, choices and help.

    Raises:
        BadVariable: The declaration is wrong.
    """
    if not _NAME.fullmatch(name):
        raise BadVariable(f"variable {shown(name)!r}: a name has letters, digits and _, and starts with a letter")
    if declared is None:
        return Variable(name)
    if not isinstance(declared, Mapping):
        found = Variable(name, _type_of(declared))
        return _checked(Variable(name, found.type, default=_taken(found, declared)))
    unknown = [str(key) for key in declared if key not in _KEYS]
    if unknown:
        raise BadVariable(f"variable {name}: a declaration can't have {shown(unknown[0])!r}, only {', '.join(_KEYS)}")
    default, choices = declared.get("default"), declared.get("choices") or ()
    kind = declared.get("type") or _type_of(default if default is not None else next(iter(choices), ""))
    if kind not in _TYPES:
        raise BadVariable(f"variable {name}: type is {shown(kind)!r}; it is one of {', '.join(_TYPES)}")
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        raise BadVariable(f"variable {name}: choices is a list")
    plain = Variable(name, kind, help=str(declared.get("help") or ""))
    item = Variable(name, "text") if kind == "list" else plain
    return _checked(
        Variable(
            name,
            kind,
            default=None if default is None else _taken(plain, default),
            choices=tuple(_taken(item, choice) for choice in choices),
            help=plain.help,
        )
    )


def _checked(found: Variable) -> Variable:
    if found.default is not None:
        _taken(found, found.default)
    return found


def _taken(variable: Variable, value: object) -> JSON:
    try:
        return variable.value(value)
    except BadVariable as error:
        raise BadVariable(f"variable {variable.name}: {error}") from None


def _type_of(value: object) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (list, "list")):
        if isinstance(value, kind):
            return name
    return "text"


def _text(value: object) -> JSON:
    return text(value)


def _number(value: object) -> JSON:
    found: Decimal = number(value)
    return int(found) if found == found.to_integral_value() else float(found)


def _list(value: object) -> JSON:
    """The items of a list: from a list, a JSON list, or a text split at semicolons or line breaks, else at commas."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json_of(value)
        except NotJSONError as error:
            raise PydanticCustomError(
                "not-json", "starts like a JSON list, but {reason}", {"reason": str(error)}
            ) from None
    if isinstance(value, str):
        separators = r"[;\n]" if re.search(r"[;\n]", value) else ","
        value = [item for part in re.split(separators, value) if (item := part.strip())]
    if not isinstance(value, Sequence):
        value = [value]
    return [text(item) for item in value]


_TYPES: Mapping[str, Callable[[object], JSON]] = {
    "text": _text,
    "integer": integer,
    "number": _number,
    "boolean": boolean,
    "list": _list,
}
