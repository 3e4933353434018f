"""What a flow is given, understood and refused in words: parameters come from people, from forms and from events."""

import difflib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.exceptions import ParameterTypeError
from pydantic import ValidationError

from stencil.problems import StencilError, shown

P = ParamSpec("P")
R = TypeVar("R")

#: The parameter that takes an event's payload.
EVENT = "event"

#: Their values are rows of a sheet, which may hold a password.
_UNTOLD = frozenset({"rows", "csv_text"})


class BadParameters(StencilError):
    """A parameter of a run has a name or a value that it can't have."""


def event_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that an event brought.

    Raises:
        BadParameters: It brought something else.
    """
    try:
        event = from_json(parameters.get(EVENT) or {})
    except ValueError as error:
        raise BadParameters(f"{EVENT}: {error}") from None
    if not isinstance(event, dict):
        raise BadParameters(f"{EVENT}: {shown(event)!r}: an object of parameters is needed.")
    return {str(name): value for name, value in event.items()}


def with_event(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a run: an event's win over the others."""
    return {name: value for name, value in {**parameters, **event_of(parameters)}.items() if name != EVENT}


def from_json(value: object) -> object:
    """What a string of JSON says; anything else as it is, for pydantic to judge.

    An event's template renders to text, and a form's field for JSON may send it as one.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.strip() or "[]")
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None


class WordedFlow(Flow[P, R]):
    """A flow that says in words which parameter it can't take.

    An emptied field of a form counts as its default. Where the flow has a parameter `event`, what that holds are parameters
    too: Prefect itself crashes a run that is given a parameter that the flow does not have.
    """

    def validate_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters in their types, those that an event brought among them.

        Raises:
            BadParameters: One of them can't be taken; names each.
        """
        known = [name for name in self.parameters.properties if name != EVENT]
        unknown = sorted(event_of(parameters).keys() - set(known))
        if unknown:
            raise BadParameters("; ".join(_unknown(name, known) for name in unknown))
        try:
            return super().validate_parameters(
                {name: value for name, value in with_event(parameters).items() if value is not None}
            )
        except ParameterTypeError as error:
            raise BadParameters(_told(error)) from None

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters as Prefect's server gets them.

        Raises:
            BadParameters: One of them is a DataFrame, which the server would take as text, if it is not too large.
        """
        for name, value in parameters.items():
            if hasattr(value, "to_json") and hasattr(value, "columns"):
                raise BadParameters(
                    f"{name} is a DataFrame: call from_dataframe(df, ...) of flows.create_projects instead."
                )
        # Prefect would import FastAPI for it, which takes a tenth of a second.
        return dict(parameters) if _is_plain(parameters) else super().serialize_parameters(parameters)


def _is_plain(value: object) -> bool:
    """Whether JSON has this as it is."""
    if type(value) is dict:
        return all(type(key) is str and _is_plain(part) for key, part in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, bool, int, float)


def worded_flow(**options: Any) -> Callable[[Callable[P, R]], WordedFlow[P, R]]:
    """A decorator, as `flow` is one, that makes a `WordedFlow`."""
    return functools.partial(WordedFlow, **options)  # type: ignore[arg-type]


def _unknown(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"{EVENT}: there is no parameter {shown(name)!r}" + (
        f"; the nearest are {', '.join(close)}" if close else ""
    )


def _told(error: ParameterTypeError) -> str:
    cause = error.__cause__ or error.__context__
    if not isinstance(cause, ValidationError):
        return str(error)
    return "; ".join(_reason(each["loc"], each["input"], each["msg"]) for each in cause.errors())


def _reason(place: tuple[int | str, ...], value: object, message: str) -> str:
    name = ".".join(str(part) for part in place)
    value = "" if place and place[0] in _UNTOLD else f"{shown(value)!r}: "
    return f"{name}: {value}{message}"
