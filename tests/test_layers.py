"""The rooms of the house, who may use whom, and what no tracked file may hold.

Imports are read from the source, the ones inside functions included, so nothing hides behind a late import.
"""

import ast
import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From top to bottom: each may import what stands on its own line or below, never above.
HOUSE = ("deployments", "flows", "tasks", "stencil")
ENGINE = (
    {"__main__", "cli"},
    {"inbox"},
    {"batch", "removal"},
    {"checking", "survey"},
    {"studio"},
    {"options"},
    {"marks", "planning", "provisioning", "report", "settings", "sheet", "templates"},
    {"json_value", "labelstudio", "names", "overrides", "pacing", "spreadsheet", "steps", "together"},
    {"files"},
    {"letters", "problems", "redaction"},
    {"__init__"},
)
# Stands apart: it imports nothing else of ours, or it would share the client's mistakes.
APART = "stencil.sandbox"
# The command line is the door to the whole house, and opens it only when it is used: inside functions.
DOOR = "stencil.cli"
# What only these may import.
RESERVED = {
    APART: {"stencil.cli", "stencil.studio", APART},
    "fsspec": {"stencil.files"},
    "httpx": {"stencil.files", "stencil.labelstudio"},
    "prefect": {"deployments", "flows", "tasks", DOOR},
}


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name as seen from the room that imports it."""

    importer: str
    imported: str
    in_function: bool
    where: str


def test_imports_go_downwards_only() -> None:
    assert list(breaches(ROOT)) == []


def test_one_module_alone_opens_files_and_urls() -> None:
    """But for Prefect's profiles and server, the sandbox, which stands apart, parts of archives, and a frame's own spool."""
    opening = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "urlopen", "fdopen"}
    found = {
        f"{path.relative_to(ROOT)}: {ast.unparse(node.func)}"
        for package in ("stencil", "flows", "tasks")
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "stencil" / "files.py" and "sandbox" not in path.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in opening
    }
    assert found == {
        "flows/create_projects.py: path.open",
        "stencil/cli/prefect_server.py: file.read_text",
        "stencil/cli/prefect_server.py: opener.open",
        "stencil/sheet/formats.py: archive.open",
        "stencil/sheet/workbooks.py: archive.open",
    }


def test_every_room_of_the_engine_has_its_place() -> None:
    rooms = {room_of(ROOT, f"stencil.{path.stem}") for path in (ROOT / "stencil").iterdir() if is_room(path)}

    assert rooms - {APART} <= {f"stencil.{name}" for line in ENGINE for name in line}


@pytest.mark.parametrize(
    ("file", "source", "breach"),
    [
        pytest.param("tasks/a.py", "import flows.b", "tasks imports flows", id="a task imports a flow"),
        pytest.param("stencil/sheet.py", "from tasks import a", "stencil.sheet imports tasks", id="engine to task"),
        pytest.param("stencil/problems.py", "from .sheet import a", "imports stencil.sheet", id="relative, upwards"),
        pytest.param("stencil/sheet/a.py", "from ..cli import b", "imports stencil.cli", id="two levels up"),
        pytest.param("stencil/sheet.py", "from stencil import cli", "imports stencil.cli", id="from the package"),
        pytest.param("stencil/sandbox/a.py", "import stencil.problems", "imports stencil.problems", id="sandbox out"),
        pytest.param("stencil/sheet.py", "import stencil.sandbox", "imports stencil.sandbox", id="sandbox in"),
        pytest.param("stencil/sandbox/a.py", "import httpx", "imports httpx", id="httpx in the sandbox"),
        pytest.param("flows/a.py", "def f():\n import httpx", "flows imports httpx", id="httpx inside a function"),
        pytest.param("stencil/batch.py", "from prefect import flow", "imports prefect", id="Prefect in the engine"),
        pytest.param("stencil/cli.py", "import flows.a", "stencil.cli imports flows", id="the door, at once"),
    ],
)
def test_an_import_that_goes_elsewhere_is_found(tmp_path: Path, file: str, source: str, breach: str) -> None:
    write_house(tmp_path, {file: source})

    assert [breach in found for found in breaches(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        pytest.param("flows/a.py", "import tasks.b, stencil.sheet, prefect", id="a flow downwards"),
        pytest.param("stencil/cli.py", "def f():\n from flows.a import b\n import prefect", id="the door, when used"),
        pytest.param("stencil/labelstudio/a.py", "import httpx\nfrom . import b", id="the client's httpx"),
        pytest.param(
            "stencil/sandbox/a.py", "from .b import c\nfrom stencil.sandbox import d", id="within the sandbox"
        ),
        pytest.param("stencil/sheet.py", "from stencil import __version__, problems", id="names of the package"),
    ],
)
def test_an_import_that_goes_downwards_is_fine(tmp_path: Path, file: str, source: str) -> None:
    write_house(tmp_path, {file: source})

    assert list(breaches(tmp_path)) == []


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    folders = re.compile(r"(?<![\w.}])/(?:work|root|home)/")

    assert [f"{path}:{number}" for path, number, line in tracked_lines() if folders.search(line)] == []


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-label-studio.txt"])
def test_constraints_hold_pinned_versions_alone(name: str) -> None:
    pin = re.compile(r'[a-z0-9-]+==[\w.+!]+(; python_version [=<>]+ "[\d.]+"( or python_version [=<>]+ "[\d.]+")*)?')
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not pin.fullmatch(line)] == []
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])


def breaches(root: Path) -> Iterator[str]:
    """A sentence for each import that goes where it must not."""
    for found in (
        found for package in HOUSE for path in (root / package).rglob("*.py") for found in imports(root, path)
    ):
        if not (may_use_reserved(found) and (goes_down(found) or uses_the_door(found))):
            yield f"{found.where}: {found.importer} imports {found.imported}"


def goes_down(found: Import) -> bool:
    if found.importer == found.imported or floor(found.imported) is None:
        return True
    if APART in (found.importer, found.imported):
        # Who may import it is said by RESERVED.
        return found.importer != APART
    above, below = floor(found.importer), floor(found.imported)
    return above is not None and below is not None and above <= below


def uses_the_door(found: Import) -> bool:
    return found.importer == DOOR and found.in_function and found.imported in ("flows", "tasks")


def may_use_reserved(found: Import) -> bool:
    allowed = RESERVED.get(found.imported)
    late = found.importer == DOOR and found.imported == "prefect"
    return allowed is None or (found.importer in allowed and (found.in_function or not late))


def floor(room: str) -> tuple[int, int] | None:
    """The place of a room of ours, lower is greater; None for everybody else's packages."""
    package, _, name = room.partition(".")
    if package not in HOUSE:
        return None
    lines = [number for number, line in enumerate(ENGINE) if name in line]
    return HOUSE.index(package), lines[0] if lines else 0


def imports(root: Path, path: Path) -> Iterator[Import]:
    parts = path.relative_to(root).with_suffix("").parts
    importer = room_of(root, ".".join(parts))
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    late = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        for name in imported_names(node, parts):
            where = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
            yield Import(importer, room_of(root, name), id(node) in late, where)


def imported_names(node: ast.AST, parts: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        # A package's own file counts as a part here too, so one level is always the last part.
        base = parts[: len(parts) - node.level] if node.level else ()
        yield from (".".join((*base, *filter(None, [node.module]), alias.name)) for alias in node.names)


def room_of(root: Path, name: str) -> str:
    """The room that a dotted name is in: `stencil.sheet.text.read` -> `stencil.sheet`."""
    package, *rest = name.split(".")
    if package != "stencil":
        return package
    places = [root / "stencil" / name for name in (*rest[:1], *(f"{name}.py" for name in rest[:1]))]
    return f"stencil.{rest[0]}" if any(map(is_room, places)) else "stencil.__init__"


def is_room(path: Path) -> bool:
    return path.is_file() if path.suffix == ".py" else path.is_dir() and path.name != "__pycache__"


def write_house(root: Path, files: dict[str, str]) -> None:
    for room in (
        "problems.py",
        "sheet/b.py",
        "batch.py",
        "cli.py",
        "labelstudio/b.py",
        "sandbox/b.py",
        "__init__.py",
    ):
        files.setdefault(f"stencil/{room}", "")
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")


def tracked_lines() -> Iterator[tuple[Path, int, str]]:
    """Every line of every text file, but those that `.gitignore` leaves out."""
    patterns = [".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").split())]

    def kept(names: list[str]) -> list[str]:
        return [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]

    for folder, folders, names in os.walk(ROOT):
        folders[:] = kept(folders)
        for path in (Path(folder, name) for name in kept(names)):
            for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
                yield path.relative_to(ROOT), number, line
