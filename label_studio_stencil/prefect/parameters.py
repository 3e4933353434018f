"""What a flow is given: parameters from people, forms and events, checked, with a message for each that can't be taken."""

import contextlib
import difflib
import functools
import inspect
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import CodeType, MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

from prefect.blocks.core import Block
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import exception_to_failed_state
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from label_studio_stencil.files import DEPLOYMENT, PERSON, Asker, file_name
from label_studio_stencil.prefect.states import failed_state
from label_studio_stencil.problems import StencilError, shown, taken

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)

Source = str | bytes | Sequence[Mapping[str, object]]

#: Parameters that hold rows of a sheet, and so perhaps a password, or a token by mistake: no message shows their values.
_HIDDEN = frozenset({"rows", "csv_text", "event", "pinned", "credentials"})

#: Who named the sheet, the template or the output of a run, if it was not the source of its other parameters.
_named_by: ContextVar[Mapping[str, Asker]] = ContextVar("named_by", default=MappingProxyType({}))


class BadParameters(StencilError):
    """A parameter of a run has a name or a value that it can't have."""


class SourceUnclear(StencilError):
    """Not exactly one source of rows was given."""


# The source of a run's rows


def one_source(sheet: str, csv_text: str, rows: Sequence[Mapping[str, object]]) -> Source:
    """Return the one source that was given.

    Raises:
        SourceUnclear: None was given, or more than one.
    """
    given = {
        name: source
        for name, source in (("sheet", sheet.strip()), ("csv_text", csv_text.strip()), ("rows", rows))
        if source
    }
    if len(given) != 1:
        found = f"these are: {', '.join(given)}" if given else "none is"
        raise SourceUnclear(f"exactly one of sheet, csv_text and rows must be given; {found}.")
    if "csv_text" in given:
        return csv_text.encode()
    return str(given["sheet"]) if "sheet" in given else rows


def given_to(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a run gives `create_projects`: of an event's run, what the deployment pins and the event sets.

    Args:
        parameters: The parameters of the run, unchecked.
    """
    if "event" not in parameters:
        return parameters
    given = (parameters.get(name) for name in ("pinned", "event"))
    return {name: value for each in given if isinstance(each, dict) for name, value in each.items()}


def source_name(parameters: Mapping[str, Any]) -> str:
    """Return a short name for the source of a run: a file's name without its folder, and without a URL's secrets.

    Args:
        parameters: The parameters of the run, as they were given.
    """
    parameters = given_to(parameters)
    sheet, rows = parameters.get("sheet"), parameters.get("rows")
    if isinstance(sheet, str) and sheet.strip():
        return file_name(sheet.strip())
    return "typed rows" if isinstance(rows, list | str) and rows else "pasted rows"


@contextlib.contextmanager
def named_by(askers: Mapping[str, Asker]) -> Iterator[None]:
    """Open `sheet`, `template` or `output` for somebody else than the run's caller, as long as the block runs."""
    token = _named_by.set(askers)
    try:
        yield
    finally:
        _named_by.reset(token)


def asker_of(parameter: str) -> Asker:
    """Return for whom a parameter's file is opened: a person here or a deployment, unless `named_by` says otherwise."""
    run = FlowRunContext.get()
    # A worker puts the run's id into the environment, where its subflows find it.
    deployed = os.environ.get("PREFECT__FLOW_RUN_ID") or (run and run.flow_run and run.flow_run.deployment_id)
    return _named_by.get().get(parameter, DEPLOYMENT if deployed else PERSON)


# Checking


def from_json(value: object) -> object:
    """Parse a string of JSON; return anything else unchanged, for pydantic to check.

    An event's template renders to a string, and a form may send the value of a JSON field as one.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.strip() or "[]")
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None


def flat(
    model: Callable[P, M], first: Sequence[str] = ()
) -> Callable[[Callable[[M], Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Give a flow that takes a model the model's fields as parameters, each a field of the form with its description.

    Args:
        model: The model.
        first: The first fields of the form; the others follow in the model's order.
    """

    def decorate(body: Callable[[M], Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @functools.wraps(body)
        async def flattened(**fields: Any) -> R:
            return await body(cast("type[M]", model)(**fields))

        fields = cast("type[M]", model).model_fields
        names = [*first, *(name for name in fields if name not in first)]
        parameters = inspect.signature(model).parameters
        flattened.__signature__ = inspect.signature(body).replace(  # type: ignore[attr-defined]
            parameters=[parameters[name].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        )
        # Prefect takes the descriptions from here.
        told = (f"    {name}: {fields[name].description}" for name in names)
        flattened.__doc__ = "\n".join([inspect.getdoc(body) or "", "", "Args:", *told])
        return cast("Callable[P, Coroutine[Any, Any, R]]", flattened)

    return decorate


_Body = Callable[P, Coroutine[Any, Any, R]]
_Refused = Callable[[StencilError, Mapping[str, Any]], Awaitable[None]]


def checked_parameters(*, refused: _Refused | None = None) -> Callable[[_Body[P, R]], _Body[P, R]]:
    """Check the parameters of a flow in its body, for a flow with `validate_parameters=False`, and turn errors into states.

    An invalid parameter ends the run in a failed state that names it and its value. A `StencilError` ends it in one with the
    error's message. A field of the form that was emptied counts as its default.

    Prefect's own check would print all parameters to the worker's log, and with them the passwords in pasted rows. The check is
    in the body, and not in a subclass of `Flow`, because `Flow.with_options` returns a plain `Flow`.

    Args:
        refused: Called with the body's `StencilError` and the checked parameters.
    """

    def decorate(body: _Body[P, R]) -> _Body[P, R]:
        @functools.wraps(body)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                values = await values_of(body, inspect.signature(body).bind(*args, **kwargs).arguments)
            except BadParameters as bad:
                return cast("R", failed_state(bad))
            try:
                return await body(**values)  # type: ignore[call-arg]
            except StencilError as error:
                if refused is not None:
                    await refused(error, values)
                return cast("R", failed_state(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, it becomes the final state
                # As a state: what an attempt raises, Prefect raises at the end, even where a later attempt completes.
                get_run_logger().exception("The run ended in an unexpected error.")
                return cast("R", await exception_to_failed_state(error))

        # By its code Prefect finds the file that a flow is in.
        code: CodeType = checked.__code__  # type: ignore[attr-defined] # a plain function, as `body` is
        file = inspect.getfile(inspect.unwrap(body))
        checked.__code__ = code.replace(co_filename=file)  # type: ignore[attr-defined]
        return checked

    return decorate


async def values_of(body: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a flow in the types that its body declares, with defaults for missing ones.

    Raises:
        BadParameters: Some of them are invalid; the message names each.
    """
    model = _model(body)
    names = list(model.model_fields)
    try:
        taken = model.model_validate(await _given(parameters))
    except ValidationError as error:
        raise BadParameters(validation_message(error, names)) from None
    return {name: getattr(taken, name) for name in names}


@functools.cache
def _model(body: Callable[..., Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        name: (each.annotation, ... if each.default is each.empty else each.default)
        for name, each in inspect.signature(body).parameters.items()
    }
    return create_model("Parameters", __config__=ConfigDict(arbitrary_types_allowed=True), **fields)


async def _given(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters that are empty, and load the blocks that others refer to.

    Raises:
        BadParameters: A parameter names an unknown block, or is a DataFrame.
    """
    given = {name: value for name, value in parameters.items() if value is not None}
    for name, value in given.items():
        if hasattr(value, "to_json") and hasattr(value, "columns"):
            raise BadParameters(
                f"{name} is a DataFrame, which a run can't take: `await label_studio_stencil.create(df, ...)` takes it."
            )
        if isinstance(value, dict) and "$ref" in value:
            given[name] = await _block(name, value["$ref"])
    return given


async def _block(name: str, reference: Any) -> Block:
    """Load the block that a form or a trigger refers to."""
    try:
        block: Block = await Block.aload_from_ref(reference)
    except (ValueError, RuntimeError, TypeError):
        raise BadParameters(f"{name}: there is no such block as {shown(reference)!r}.") from None
    return block


def validation_message(error: ValidationError, known: Sequence[str]) -> str:
    """Describe the errors of parameters, by name, with the values of those that hold no rows.

    Args:
        error: The errors that pydantic found.
        known: The names of all parameters.
    """
    reasons: dict[str, str] = {}
    for each in error.errors(include_url=False):
        # A value of one of several types has an error for each of them.
        place = tuple(part for part in each["loc"] if part not in ("str", "int"))
        name = ".".join(map(str, place))
        if each["type"] == "extra_forbidden":
            reasons[name] = _unknown(name, known)
        elif name not in reasons:
            value = "" if place and place[0] in _HIDDEN else f"{shown(each['input'])!r}: "
            reasons[name] = f"{name}: {value}{taken(each)}"
    return "; ".join(reasons.values())


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"there is no parameter {shown(name)!r}" + (f"; the nearest are {', '.join(close)}" if close else "")
