"""Faults as people write them: a file of JSON, or one line of text.

    lost-after=0.2,429=0.05:retry-after=3,replay:requests=1+4:copies=5,seed=7

A part is a kind, with a probability where it is not certain, and after colons whatever else is said of it; `+` joins
several values. A file holds the same words:

    {"seed": 7, "faults": [{"kind": "lost-after", "probability": 0.2, "on": ["create"]}]}
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from label_studio_sandbox._json import JSON, loads
from label_studio_sandbox.faults.model import KINDS, OF_MANY, BadFaults, Fault, Faults

_T = TypeVar("_T")
_OF_MANY = frozenset({"probability", "requests", "on", "limit"})
#: Parameters that the header of a request may set; it can't choose other requests.
_OF_ONE = frozenset(
    {"seconds", "copies", "count", "retry-after", "date", "header", "reserve", "order", "keys", "share", "error"}
)
_WHOLE = ("limit", "copies", "count", "after", "retry-after")
#: Parameters of kinds that concern many requests.
_OF_KINDS = frozenset({"after", "at", "stripped", "rate"})


def from_argument(argument: str) -> Faults:
    """Read faults from an argument: the path of a file that exists or ends in `.json`, or else the text itself.

    Raises:
        BadFaults: The file can't be read, or something in it or in the text is not valid.
    """
    path = Path(argument)
    try:
        is_file = path.suffix == ".json" or path.is_file()
    except (OSError, ValueError):
        is_file = False
    return from_file(path) if is_file else from_text(argument)


def from_file(path: Path) -> Faults:
    """Read faults from a JSON file.

    Raises:
        BadFaults: The file can't be read, or something in it is not valid; the sentence begins with the file's name.
    """
    try:
        content = loads(path.read_bytes())
    except OSError as exc:
        raise BadFaults(f"{path}: the file can't be read ({exc.strerror or exc})") from None
    except ValueError as exc:
        raise BadFaults(f"{path}: the file is not JSON ({exc})") from None
    except RecursionError:
        raise BadFaults(f"{path}: the file is nested too deeply") from None
    try:
        return _from_json(content)
    except BadFaults as exc:
        raise BadFaults(f"{path}: {exc}") from None


def from_text(text: str) -> Faults:
    """Read faults from one line of text.

    Raises:
        BadFaults: A part of it is not valid; the sentence begins with that part.
    """
    faults: list[Fault] = []
    seed = 0
    for part in _parts(text):
        try:
            if part.startswith("seed="):
                seed = _whole("seed", part.removeprefix("seed="))
            else:
                faults.append(_from_part(part))
        except BadFaults as exc:
            raise BadFaults(f"in {part!r}, {exc}") from None
    if not faults:
        raise BadFaults("no faults are named: give for example lost-after=0.2,429=0.05,seed=7, or a file of JSON")
    return Faults(tuple(faults), seed)


def from_header(text: str) -> Faults:
    """Read the faults in the header of a request; `none` means none.

    Raises:
        BadFaults: As for `from_text`, or a part chooses requests.
    """
    if text.strip() == "none":
        return Faults()
    for part in _parts(text):
        head, *settings = part.split(":")
        others = [setting for setting in settings if setting.partition("=")[0].strip() not in _OF_ONE]
        if "=" in head or others:
            raise BadFaults(f"in {part!r}, the header is about its own request: give a kind and its parameters alone")
    faults = from_text(text)
    for fault in faults.faults:
        if fault.kind in OF_MANY:
            raise BadFaults(f"{fault.kind} is about many requests: start the sandbox with it")
    return faults


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _from_part(part: str) -> Fault:
    head, *settings = part.split(":")
    kind, certain, probability = (word.strip() for word in head.partition("="))
    given: dict[str, JSON] = {"probability": probability} if certain else {}
    for setting in settings:
        name, _, value = (word.strip() for word in setting.partition("="))
        given[name] = list(value.split("+")) if name in {"requests", "on", "keys"} else value
    return _fault(kind, given)


def _from_json(content: JSON) -> Faults:
    example = '{"seed": 7, "faults": [{"kind": "lost-after", "probability": 0.2}]}'
    if not isinstance(content, dict) or not isinstance(listed := content.get("faults"), list):
        raise BadFaults(f"the file has no list of faults: it looks like {example}")
    if unknown := set(content) - {"seed", "faults"}:
        raise BadFaults(f"{min(unknown)!r} means nothing here: give seed and faults, as in {example}")
    faults: list[Fault] = []
    for number, item in enumerate(listed, 1):
        try:
            faults.append(_from_item(item))
        except BadFaults as exc:
            raise BadFaults(f"in fault {number}, {exc}") from None
    return Faults(tuple(faults), _whole("seed", content.get("seed", 0)))


def _from_item(item: JSON) -> Fault:
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise BadFaults('it has no kind: give {"kind": "lost-after"}')
    return _fault(str(item["kind"]), {name: value for name, value in item.items() if name != "kind"})


def _fault(kind: str, given: Mapping[str, JSON]) -> Fault:
    Fault(kind)  # A wrong kind is said before anything that its parameters can't be judged by.
    for name in given:
        if name not in _OF_MANY | _OF_ONE | _OF_KINDS:
            takes = ", ".join(name.replace("_", "-") for name in KINDS[Fault(kind).kind])
            raise BadFaults(
                f"{name!r} means nothing: give probability, requests, on, limit" + (f", {takes}" if takes else "")
            )
    whole = {name.replace("-", "_"): _read(_whole, name, given) for name in _WHOLE}
    keys = _several(given["keys"]) if "keys" in given else None
    return Fault(
        kind,
        probability=_number("probability", given.get("probability", 1.0)),
        requests=tuple(_whole("requests", number) for number in _several(given.get("requests", []))),
        on=tuple(str(name).strip() for name in _several(given.get("on", []))),
        seconds=_read(_number, "seconds", given),
        at=_read(_number, "at", given),
        share=_read(_number, "share", given),
        rate=_read(_number, "rate", given),
        date=_read(_flag, "date", given),
        header=_read(_flag, "header", given),
        stripped=_read(_flag, "stripped", given),
        reserve=_read(_flag, "reserve", given),
        order=_read(_text, "order", given),
        error=_read(_text, "error", given),
        keys=None if keys is None else tuple(_text("keys", key) for key in keys),
        **whole,
    )


def _read(reader: Callable[[str, JSON], _T], name: str, given: Mapping[str, JSON]) -> _T | None:
    return reader(name, given[name]) if name in given else None


def _several(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else [value]


def _number(name: str, value: JSON) -> float:
    try:
        number = math.nan if isinstance(value, bool | list | dict) or value is None else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise BadFaults(f"{name} is {value!r}: give a number")
    return number


def _whole(name: str, value: JSON) -> int:
    if isinstance(value, int | str) and re.fullmatch(r"-?[0-9]{1,30}", str(value).strip()):
        return int(value)
    number = _number(name, value)
    if number != int(number):
        raise BadFaults(f"{name} is {value!r}: give a whole number")
    return int(number)


def _text(name: str, value: JSON) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadFaults(f"{name} is {value!r}: give a text")
    return value.strip()


def _flag(name: str, value: JSON) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("yes", "no"):
        return value == "yes"
    raise BadFaults(f"{name} is {value!r}: give yes or no (in a file true or false)")
