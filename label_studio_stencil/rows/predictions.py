"""Counts the predictions and annotations within tasks, and checks them against the labelling interface.

What Label Studio rejects is a problem, and so are predictions that make it answer 500 after it imported their tasks (measured
on Community 1.23.2). It accepts results with any name, type and value, so doubts about these are only notes. Messages name
places, and quote nothing from the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

from label_studio_stencil.json_value import JSON
from label_studio_stencil.problems import counted

#: Most kinds of results in a file that are checked; real files have a few.
MOST_KINDS = 1000

#: Controls whose results have the control's tag as their type.
_TYPED = frozenset(
    (
        "brush",
        "brushlabels",
        "choices",
        "datetime",
        "ellipse",
        "ellipselabels",
        "hypertextlabels",
        "keypoint",
        "keypointlabels",
        "number",
        "pairwise",
        "paragraphlabels",
        "polygon",
        "polygonlabels",
        "ranker",
        "rating",
        "rectangle",
        "rectanglelabels",
        "taxonomy",
        "textarea",
        "timeserieslabels",
    )
)
_SHOWN_BY_NOBODY = "Label Studio may refuse them, and does not show them if it accepts them"


class BadLabels(ValueError):
    """Predictions or annotations that Label Studio rejects, with their place."""


class ResultKind(NamedTuple):
    """The checked fields of a result; a field is empty if it is missing or not text."""

    from_name: str
    to_name: str
    type: str
    has_value: bool


class Seen(NamedTuple):
    """The number of results of a kind, and the place of the first."""

    number: int
    place: str


class Labelled(NamedTuple):
    """The predictions and annotations in a file of tasks.

    Attributes:
        predictions: Number of predictions.
        annotations: Number of annotations.
        kinds: Their results, by kind.
        notes: Sentences about content that Label Studio may read differently.
        annotators: Annotators by e-mail address or id, with the place of the first annotation of each.
    """

    predictions: int = 0
    annotations: int = 0
    kinds: tuple[tuple[ResultKind, Seen], ...] = ()
    notes: tuple[str, ...] = ()
    annotators: tuple[tuple[str | int, Seen], ...] = ()

    @property
    def told(self) -> str:
        """The counts: ` with 2 predictions and 1 annotation`; empty if there are none."""
        parts = [(self.predictions, "prediction"), (self.annotations, "annotation")]
        told = " and ".join(counted(number, noun) for number, noun in parts if number)
        return told and f" with {told}"


NOTHING = Labelled()


def labelled(tasks: Sequence[JSON]) -> Labelled:
    """Find the predictions and annotations of tasks.

    Raises:
        BadLabels: Label Studio would reject them.
    """
    numbers = {"predictions": 0, "annotations": 0}
    kinds: dict[ResultKind, Seen] = {}
    annotators: dict[str | int, Seen] = {}
    notes: dict[str, str] = {}
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, Mapping):
            continue
        for key in numbers:
            if key not in task:
                continue
            if "data" not in task:
                notes.setdefault(
                    key, f"Task {number} has {key} but no data: Label Studio treats them as part of its data."
                )
                continue
            listed = task[key]
            if not isinstance(listed, list):
                raise BadLabels(f"the {key} of task {number} are not a list")
            numbers[key] += len(listed)
            for position, each in enumerate(listed, start=1):
                place = f"{key[:-1]} {position} of task {number}"
                by = _annotator(each, place) if key == "annotations" else None
                if by is not None and (by in annotators or len(annotators) < MOST_KINDS):
                    before = annotators.get(by, Seen(0, place))
                    annotators[by] = before._replace(number=before.number + 1)
                for kind, where in _results(each, place, predicted=key == "predictions"):
                    seen = kinds.get(kind)
                    if seen or len(kinds) < MOST_KINDS:
                        kinds[kind] = Seen(seen.number + 1, seen.place) if seen else Seen(1, where)
    return Labelled(
        numbers["predictions"],
        numbers["annotations"],
        tuple(kinds.items()),
        tuple(notes.values()),
        tuple(annotators.items()),
    )


def _annotator(each: JSON, place: str) -> str | int | None:
    """The annotator's e-mail address or id; empty if the annotation names none, so that it becomes the importer's."""
    by = each.get("completed_by") if isinstance(each, Mapping) else None
    if isinstance(by, Mapping):
        by = by.get("email")
        if not isinstance(by, str):
            raise BadLabels(f"the completed_by of {place} has no email")
    elif by is not None and not isinstance(by, int):
        raise BadLabels(f"the completed_by of {place} is neither the id of a user nor an object with an email")
    return by


def _results(each: JSON, place: str, *, predicted: bool) -> Iterator[tuple[ResultKind, str]]:
    if not isinstance(each, Mapping):
        raise BadLabels(f"{place} is not an object")
    if "result" not in each:
        raise BadLabels(f"{place} has no result")
    results = each["result"]
    if predicted and isinstance(results, Mapping | str | int):
        # Label Studio turns these into a list itself.
        return
    if not isinstance(results, list):
        raise BadLabels(f"the result of {place} is not a list")
    for position, result in enumerate(results, start=1):
        where = f"result {position} in {place}"
        if not isinstance(result, Mapping):
            if predicted:
                raise BadLabels(f"{where} is not an object")
            result = {}
        if result.get("type") == "relation":
            continue
        from_name, to_name, kind = (_text(result.get(key)) for key in ("from_name", "to_name", "type"))
        has_value = isinstance(result.get("value"), Mapping)
        yield ResultKind(from_name, to_name, kind, has_value), where


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def unknown_annotators(found: Labelled, users: Mapping[str, int]) -> list[str]:
    """Notes on annotations of users whom Label Studio doesn't list.

    Args:
        found: Predictions and annotations of a file.
        users: User ids by e-mail address in lower case.
    """
    known = {*users, *users.values()}
    # Label Studio compares addresses case-sensitively.
    unknown = [seen for by, seen in found.annotators if by not in known]
    if not unknown:
        return []
    number = counted(sum(seen.number for seen in unknown), "annotation")
    return [
        f"{number} by users that Label Studio does not list (first: {unknown[0].place}). It refuses a file whose completed_by "
        "names an unknown user: invite these users first, or remove completed_by."
    ]


def doubts(found: Labelled, interface: str) -> list[str]:
    """Notes on results that don't fit the labelling interface."""
    names = _named_in(interface) if found.kinds else {}
    if not names:
        return []
    faults: dict[str, Seen] = {}
    for kind, seen in found.kinds:
        fault = _fault(kind, names)
        if fault:
            before = faults.get(fault)
            faults[fault] = Seen(before.number + seen.number, before.place) if before else seen
    return [
        f"{counted(seen.number, 'result')} {fault} (first: {seen.place}): {_SHOWN_BY_NOBODY}."
        for fault, seen in faults.items()
    ]


def _fault(kind: ResultKind, names: Mapping[str, str]) -> str:
    tag = names.get(kind.from_name, "")
    if not tag:
        return "with a from_name that no control of the labelling interface has"
    if kind.to_name not in names:
        return "with a to_name that nothing in the labelling interface has"
    if tag in _TYPED and kind.type.lower() != tag:
        return "with another type than the control's"
    return "" if kind.has_value else "whose value is not an object"


@lru_cache(maxsize=4)
def _named_in(interface: str) -> dict[str, str]:
    """The names in an interface, each with the tag of its control in lower case; empty if names are generated for each task."""
    try:
        elements = list(ElementTree.fromstring(interface).iter())  # noqa: S314  # one with a document type was refused
    except ElementTree.ParseError:
        # The server reports what is wrong with it.
        return {}
    named = {element.get("name", ""): element for element in elements if element.get("name")}
    if any("{{" in name for name in named):
        return {}
    return {name: element.tag.lower() if element.get("toName") else "" for name, element in named.items()}
