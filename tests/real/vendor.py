"""The API tests that Label Studio's package ships, read so that they can be pointed at any address.

Their own runner starts Django with a database. Here the stages of a `*.tavern.yml` are sent as they are written, up to the
first one that asks for what the sandbox doesn't have; and the tests of the official SDK are called with an address and a token.
"""

import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from label_studio_sandbox.app import _PUBLIC, _ROUTES


class _Loader(yaml.SafeLoader):
    """Takes the tags of the runner's own as the values behind them."""


def _plain(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _plain)

_KNOWN = [
    (re.compile(re.sub(r"\{\w+:int\}", r"(\\d+|\\{[^}]*\\})", path.rstrip("/")) + "/?"), frozenset(handlers))
    for path, handlers in (*_ROUTES, *_PUBLIC)
]


@dataclass(frozen=True)
class Story:
    """The stages of a test that can be sent, in order."""

    name: str
    stages: Sequence[Mapping[str, Any]]


def stories(package: Path) -> Iterator[Story]:
    """The tests of all files below the package's `tests` that have stages which can be sent."""
    for file in sorted((package / "tests").rglob("*.tavern.yml")):
        try:
            documents = list(yaml.load_all(file.read_text(encoding="utf-8"), _Loader))
        except yaml.YAMLError:
            # It refers from one document to another, which the runner allows.
            continue
        for number, document in enumerate(documents):
            stages = list(_sendable(document.get("stages", []) if document else []))
            if stages:
                yield Story(f"{file.name.removesuffix('.tavern.yml')}-{number} {document.get('test_name')}", stages)


def _sendable(stages: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for stage in stages:
        if stage.get("type") == "ref" and stage.get("id") == "signup":
            continue
        request = stage.get("request", {})
        path = str(request.get("url", "")).removeprefix("{django_live_url}").partition("?")[0]
        method = request.get("method", "GET")
        if "files" in request or not any(known.fullmatch(path) and method in methods for known, methods in _KNOWN):
            return
        yield stage


def play(story: Story, client: httpx.Client) -> None:
    """Send each stage, and compare the answer with what the stage expects."""
    saved: dict[str, Any] = {"django_live_url": str(client.base_url).rstrip("/")}
    for stage in story.stages:
        request, expected = stage["request"], stage.get("response", {})
        answer = client.request(
            request.get("method", "GET"),
            _filled(request["url"], saved),
            params=_filled(request.get("params"), saved),
            json=_filled(request.get("json"), saved),
            data=_filled(request.get("data"), saved),
        )
        where = (
            f"{stage.get('name')} {request.get('method')} {request['url']}: {answer.status_code} {answer.text[:300]}"
        )
        if (status := expected.get("status_code", 200)) is not None:
            assert answer.status_code in (status if isinstance(status, list) else [status]), where
        if "json" in expected:
            assert _holds(answer.json(), _filled(expected["json"], saved)), where
        for name, path in (expected.get("save") or {}).get("json", {}).items():
            saved[name] = _at(answer.json(), path)


def _filled(value: Any, saved: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(part, saved) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, saved) for part in value]
    if not isinstance(value, str):
        return value
    if (whole := re.fullmatch(r"\{(\w+)(?::\w)?\}", value)) and whole[1] in saved:
        return saved[whole[1]]
    return re.sub(r"\{(\w+)\}", lambda name: str(saved.get(name[1], name[0])), value)


def _at(value: Any, path: str) -> Any:
    for part in re.findall(r"\w+", path):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def _holds(actual: Any, expected: Any) -> bool:
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(key in actual and _holds(actual[key], part) for key, part in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(actual) >= len(expected) and all(map(_holds, actual, expected))
    return bool(actual == expected)


def sdk_tests(package: Path) -> dict[str, Callable[..., None]]:
    """The tests of the official SDK that the package ships, by file and name."""
    folder = package / "tests" / "sdk"
    for name in ("label_studio", "label_studio.tests", "label_studio.tests.sdk"):
        # Not the package itself, which needs Django.
        sys.modules.setdefault(name, types.ModuleType(name))
    for name in ("common", "utils"):
        _module(f"label_studio.tests.sdk.{name}", folder / f"{name}.py")
    found: dict[str, Callable[..., None]] = {}
    for file in sorted(folder.glob("test_*.py")):
        try:
            module = _module(f"label_studio.tests.sdk.{file.stem}", file)
        except ImportError:
            # It reaches into the database.
            continue
        found |= {f"{file.stem}.{name}": test for name, test in vars(module).items() if name.startswith("test_")}
    return found


def _module(name: str, file: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
