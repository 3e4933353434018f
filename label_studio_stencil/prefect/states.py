"""How runs end: a failure with a known cause becomes a state with one sentence, instead of a traceback."""

from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from label_studio_stencil.batch import BatchFailed
from label_studio_stencil.engine.stop import CANCELLED
from label_studio_stencil.options import FailWhen, failed
from label_studio_stencil.problems import StencilError, shortened
from label_studio_stencil.redaction import redact
from label_studio_stencil.report.report import Report

R = TypeVar("R")

#: Longest message of a state; a sheet may have a hundred thousand problems.
_LONGEST = 2000


def failed_state(error: StencilError) -> State[Any]:
    """Return a failed state with the error's sentence as its message, and the error as its result."""
    return Failed(message=message_of(error), data=error)


def message_of(error: StencilError) -> str:
    """Return what a state or a log says of an error."""
    text = redact(str(error))
    return shortened(text, _LONGEST)


def fails(report: Report, fail_when: FailWhen) -> bool:
    """Return whether the rows that need attention make the run a failed one."""
    return report.stopped != CANCELLED and failed(report.counts, fail_when)


def final_state(report: Report, fail_when: FailWhen, interruption: BaseException | None = None) -> State[Any]:
    """Return the final state of a run from the outcomes of its rows, or raise what interrupted it."""
    if interruption is not None:
        raise interruption
    if report.stopped == CANCELLED:
        return Cancelled(message=report.sentence, data=BatchFailed(report))
    if fails(report, fail_when):
        return failed_state(BatchFailed(report))
    return completed(report.sentence, report, ok=report.ok)


def completed(message: str, data: R, *, ok: bool) -> State[R]:
    """Return a completed state, which is named `CompletedWithFailures` unless everything is ok."""
    return Completed(name=None if ok else "CompletedWithFailures", message=message, data=data)
