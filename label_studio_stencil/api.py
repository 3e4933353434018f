"""The functions for Python callers: `create`, `plan` and `check`, with the options as keywords."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, cast

from pydantic import BeforeValidator, Field, SecretStr

from label_studio_stencil.access import Instance, open_label_studio, open_sandbox
from label_studio_stencil.batch import BatchFailed, prepare
from label_studio_stencil.labelstudio.address import base_address
from label_studio_stencil.labelstudio.environment import BadConnectionSetting, checked_headers
from label_studio_stencil.labelstudio.errors import InvalidAddress, LabelStudioError, Unauthorized
from label_studio_stencil.labelstudio.pacing import SystemClock
from label_studio_stencil.options import BadOption, FailWhen, Options, Output, failed, options_of
from label_studio_stencil.plans.targets import Checked, check_files
from label_studio_stencil.plans.targets import check as check_sheet
from label_studio_stencil.problems import InvalidSheet, Problem, StencilError
from label_studio_stencil.report.files import OutputUnwritable, check_output, write_results
from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings, MissingSettings, has_environment
from label_studio_stencil.sheet.model import SheetUnreadable
from label_studio_stencil.sheet.sources import Source, read_sheet

__all__ = [
    "BadConnectionSetting",
    "BadOption",
    "BatchFailed",
    "CheckReport",
    "InvalidAddress",
    "InvalidSheet",
    "LabelStudioError",
    "MissingSettings",
    "Outcome",
    "OutputUnwritable",
    "Problem",
    "Report",
    "RowReport",
    "SheetUnreadable",
    "StencilError",
    "Unauthorized",
    "check",
    "create",
    "plan",
]

P = ParamSpec("P")
O = TypeVar("O", bound=Options)  # noqa: E741 - the customary letter
R = TypeVar("R")


def _secret(token: object) -> object:
    return SecretStr(token) if isinstance(token, str) else token


class PlanOptions(Options):
    """Options of `plan`: those of a batch, and the Label Studio."""

    url: Annotated[
        str, Field(description="Address of Label Studio; by default the environment variable `LABEL_STUDIO_URL`.")
    ] = ""
    token: Annotated[
        SecretStr | str,
        BeforeValidator(_secret),
        Field(description="Token for this Label Studio; by default the environment variable `LABEL_STUDIO_API_KEY`."),
    ] = SecretStr("")
    headers: Annotated[
        Mapping[str, SecretStr | str],
        Field(
            repr=False,
            description="Additional headers of each request, such as those of a sign-in proxy; without `url`, by default "
            "those of `LABEL_STUDIO_HEADERS`.",
        ),
    ] = {}
    sandbox: Annotated[bool, Field(description="Run on the embedded sandbox, without a Label Studio.")] = False


class CheckOptions(PlanOptions):
    """Options of `check`."""

    offline: Annotated[bool, Field(description="Check without contacting Label Studio.")] = False


class CreateOptions(PlanOptions):
    """Options of `create`."""

    output: Output = ""
    fail_when: Annotated[
        FailWhen,
        Field(description="Which rows that need attention raise `BatchFailed`: `any`, only `all` of them, or `never`."),
    ] = "never"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The problems of a sheet.

    Attributes:
        sheet: Its name.
        rows: Number of rows.
        problems: All problems; empty if there are none.
        notes: Sentences about how it was read.
        online: Whether templates, workspaces and projects were looked up in Label Studio.
    """

    sheet: str
    rows: int
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    online: bool

    @property
    def ok(self) -> bool:
        """Whether there are no problems."""
        return not self.problems


def _keywords(
    model: Callable[P, O],
) -> Callable[[Callable[[Source, O], Awaitable[R]]], Callable[Concatenate[Source, P], Coroutine[Any, Any, R]]]:
    """Give a function that takes a source and options the fields of the options as keywords."""

    def decorate(
        function: Callable[[Source, O], Awaitable[R]],
    ) -> Callable[Concatenate[Source, P], Coroutine[Any, Any, R]]:
        @functools.wraps(function)
        async def call(source: Source, **keywords: Any) -> R:
            return await function(source, options_of(cast("type[O]", model), keywords))

        own = inspect.signature(function)
        source = own.parameters["source"].replace(kind=inspect.Parameter.POSITIONAL_ONLY)
        fields = inspect.signature(model).parameters.values()
        call.__signature__ = own.replace(parameters=[source, *fields])  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[Source, P], Coroutine[Any, Any, R]]", call)

    return decorate


@_keywords(CreateOptions)
async def create(source: Source, options: CreateOptions) -> Report:
    """Create exactly one Label Studio project per row of a sheet, and report on every row.

    Rows that need attention are in the report and raise no exception, unless `fail_when` says so. If the call is cancelled, it
    first finishes the projects that it has begun; another call with the same sheet does the rest.

    Args:
        source: A path or a URL, the content as bytes, a list of dicts, or a DataFrame of pandas, polars or pyarrow.
        options: As on docs/reference/parameters.md.

    Returns:
        The report on every row.

    Raises:
        InvalidSheet: The sheet has problems; nothing was created.
        BatchFailed: Rows need attention, and `fail_when` asks for an exception; it has the `report`.
        StencilError: Nothing was done; the text says why.
    """
    began = SystemClock().now()
    if options.output and not options.dry_run:
        check_output(options.output)
    checked = await _checked(source, options)
    async with label_studio_of(options) as label_studio:
        batch = await prepare(checked, options, label_studio, began=began)
        if options.dry_run:
            return batch.report()
        try:
            await batch.carry_out()
        finally:
            report = with_files(batch.report(), options.output)
    if failed(report.counts, options.fail_when):
        raise BatchFailed(report)
    return report


@_keywords(PlanOptions)
async def plan(source: Source, options: PlanOptions) -> Report:
    """Show what `create` would do with each row, and write nothing.

    Args:
        source: As for `create`.
        options: As on docs/reference/parameters.md.

    Returns:
        The report with the outcome that each row would have; `dry_run` is true.

    Raises:
        InvalidSheet: The sheet has problems.
        StencilError: It can't be planned; the text says why.
    """
    began = SystemClock().now()
    options = options.model_copy(update={"dry_run": True})
    checked = await _checked(source, options)
    async with label_studio_of(options) as label_studio:
        return (await prepare(checked, options, label_studio, began=began)).report()


@_keywords(CheckOptions)
async def check(source: Source, options: CheckOptions) -> CheckReport:
    """Find all problems of a sheet, and write nothing.

    This includes templates and workspaces in Label Studio, if one is named by `url` and `token`, the environment, or `sandbox`.

    Args:
        source: As for `create`.
        options: As on docs/reference/parameters.md.

    Raises:
        StencilError: The sheet can't be checked; the text says why.
    """
    options = options.model_copy(update={"dry_run": True})
    return await checked_report(await _checked(source, options), options)


async def checked_report(checked: Checked, options: CheckOptions) -> CheckReport:
    """Like `check`, for a sheet that was read."""
    online = not options.offline and bool(options.sandbox or options.url or has_environment())
    problems: Sequence[Problem] = checked.problems
    if online:
        try:
            async with label_studio_of(options) as label_studio:
                await prepare(checked, options, label_studio)
        except InvalidSheet as invalid:
            problems = invalid.problems
    else:
        problems = [*problems, *check_files(checked, options)]
    sheet = checked.sheet
    return CheckReport(sheet.name, len(sheet.rows), tuple(problems), tuple(sheet.notes), online)


async def _checked(source: Source, options: Options) -> Checked:
    def read() -> Checked:
        return check_sheet(read_sheet(source, encoding=options.encoding, worksheet=options.worksheet), options)

    # In a thread, because a large sheet takes seconds.
    return await asyncio.to_thread(read)


def label_studio_of(options: PlanOptions) -> AbstractAsyncContextManager[Instance]:
    """The Label Studio in the options, or else in the environment.

    Raises:
        MissingSettings: Neither names one.
        BadOption: The options name it incompletely, or twice.
        InvalidAddress: The URL is not the address of a Label Studio.
        BadConnectionSetting: The headers can't be sent.
    """
    token = options.token if isinstance(options.token, SecretStr) else SecretStr(options.token)
    if bool(options.url) != bool(token.get_secret_value()):
        missing = "token" if options.url else "url"
        raise BadOption(
            f"url and token go together, and {missing} is missing.",
            hint="Give both, or neither to take those of the environment.",
        )
    if options.url and options.sandbox:
        raise BadOption("url and sandbox exclude each other.", hint="Give one of them.")
    if options.sandbox:
        return open_sandbox(options)
    if not options.url:
        return open_label_studio(LabelStudioSettings.from_environment(), options)
    headers = checked_headers(options.headers, source="headers")
    return open_label_studio(LabelStudioSettings(base_address(options.url), token, headers), options)


def with_files(report: Report, output: str) -> Report:
    """Write the report to `results.csv` and `failed.csv`, and return it; `output_error` says why they can't be written."""
    if not output:
        return report
    try:
        write_results(report, output)
    except OutputUnwritable as unwritable:
        return replace(report, output_error=str(unwritable), notes=(*report.notes, str(unwritable)))
    return report
