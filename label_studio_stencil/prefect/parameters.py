"""What a flow is given, understood and refused in words: parameters come from people, from forms and from events."""

import difflib
import functools
import inspect
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import CodeType
from typing import Any, ParamSpec, TypeVar, cast

from prefect.blocks.core import Block
from prefect.logging import get_run_logger
from prefect.states import exception_to_failed_state
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from label_studio_stencil.prefect.errors import failed_state
from label_studio_stencil.problems import StencilError, shown

P = ParamSpec("P")
R = TypeVar("R")

#: Their values are rows of a sheet, which may hold a password.
_UNTOLD = frozenset({"rows", "csv_text", "event", "pinned"})


class BadParameters(StencilError):
    """A parameter of a run has a name or a value that it can't have."""


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


def checked_parameters(body: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """The body of a flow that checks its parameters itself, for a flow with `validate_parameters=False`.

    A parameter that can't be taken ends the run in a failed state that names it, with its value. A field of the form that was
    emptied counts as its default. Prefect's own check would print all parameters to the worker's log, and with them the
    passwords in pasted rows. The check is in the body, and not in a subclass of `Flow`, because `Flow.with_options` returns a
    plain `Flow`.

    """
    signature = inspect.signature(body)

    @functools.wraps(body)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            values = await values_of(body, signature.bind(*args, **kwargs).arguments)
        except BadParameters as bad:
            return cast("R", failed_state(bad))
        try:
            return await body(**values)  # type: ignore[call-arg]
        except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the final state
            # As a state: what an attempt raises, Prefect raises at the end, even where a later attempt completes.
            get_run_logger().exception("The run ended in an error that nobody has foreseen.")
            return cast("R", await exception_to_failed_state(error))

    # By its code Prefect finds the file that a flow is in.
    code: CodeType = checked.__code__  # type: ignore[attr-defined] # a plain function, as `body` is
    checked.__code__ = code.replace(co_filename=inspect.getfile(body))  # type: ignore[attr-defined]
    return checked


async def values_of(body: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a flow in the types that its body declares, with the defaults of those that are not given.

    Raises:
        BadParameters: One of them can't be taken; names each.
    """
    model = _model(body)
    names = list(model.model_fields)
    try:
        taken = model.model_validate(await _given(parameters))
    except ValidationError as error:
        raise BadParameters(told(error, names)) from None
    return {name: getattr(taken, name) for name in names}


@functools.cache
def _model(body: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (each.annotation, ... if each.default is each.empty else each.default)
        for name, each in inspect.signature(body).parameters.items()
    }
    return create_model("Parameters", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)


async def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters without those that are empty.

    Raises:
        BadParameters: One names an unknown block, or is a DataFrame.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        if hasattr(value, "to_json") and hasattr(value, "columns"):
            raise BadParameters(
                f"{name} is a DataFrame: call from_dataframe(df, ...) of label_studio_stencil.prefect.flows instead."
            )
        if isinstance(value, dict) and "$ref" in value:
            given[name] = await _block(name, value["$ref"])
    return given


async def _block(name: str, reference: Any) -> Block:
    """The block that a form or a trigger refers to."""
    try:
        block: Block = await Block.aload_from_ref(reference)
    except (ValueError, RuntimeError, TypeError):
        raise BadParameters(f"{name}: there is no such block as {shown(reference)!r}.") from None
    return block


def told(error: ValidationError, known: Sequence[str]) -> str:
    """What is wrong with parameters, by name, with the values of those that hold no rows.

    Args:
        error: What pydantic has against them.
        known: The names that there are.
    """
    reasons: dict[str, str] = {}
    for each in error.errors(include_url=False):
        # A value of one of several types has an error for each of them.
        place = tuple(part for part in each["loc"] if part not in ("str", "int"))
        name = ".".join(map(str, place))
        if each["type"] == "extra_forbidden":
            reasons[name] = _unknown(name, known)
        elif name not in reasons:
            value = "" if place and place[0] in _UNTOLD else f"{shown(each['input'])!r}: "
            reasons[name] = f"{name}: {value}{each['msg']}"
    return "; ".join(reasons.values())


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"there is no parameter {shown(name)!r}" + (f"; the nearest are {', '.join(close)}" if close else "")
