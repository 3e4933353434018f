"""The rooms of the house, who may use whom, and what no tracked file may hold.

Imports are read from the source, the ones inside functions included, so nothing hides behind a late import.
"""

import ast
import fnmatch
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PACKAGE = "label_studio_stencil"

# From top to bottom: each may import what stands on its own line or below, never above.
HOUSE = ("deployments", "flows", "tasks", PACKAGE)
ROOMS = (
    {"__init__", "__main__", "cli"},
    {"prefect"},
    {"api", "inbox"},
    {"batch", "removal"},
    {"engine"},
    {"plans"},
    {"access"},
    {"options"},
    {"report", "settings", "templates"},
    {"rows"},
    {"labelstudio", "names", "policy", "sheet"},
    {"files"},
    {"codes", "concurrency", "json_value", "letters", "problems", "redaction"},
    {"version"},
)
# Stands apart: it imports nothing else of ours, or it would share the client's mistakes.
APART = "label_studio_sandbox"
# The command line starts without Prefect, and imports that part only where it is used: inside functions.
DOOR = f"{PACKAGE}.cli"
PREFECT = f"{PACKAGE}.prefect"
# What only these may import.
RESERVED = {
    APART: {DOOR, f"{PACKAGE}.access", APART},
    "fsspec": {f"{PACKAGE}.files"},
    "httpx": {f"{PACKAGE}.files", f"{PACKAGE}.labelstudio"},
    "prefect": {"deployments", PREFECT, DOOR},
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


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / PACKAGE).rglob("*.py")
    }
    uses = {
        module: {name if name in graph else name.rpartition(".")[0] for name in imported_everywhere(path)}
        & graph.keys()
        for module, path in graph.items()
    }

    TopologicalSorter(uses).prepare()  # raises CycleError, which names the circle


def test_one_module_alone_opens_files_and_urls() -> None:
    """But for parts of archives."""
    opening = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "urlopen", "fdopen"}
    found = {
        f"{path.relative_to(ROOT / PACKAGE)}: {ast.unparse(node.func)}"
        for path in (ROOT / PACKAGE).rglob("*.py")
        if path != ROOT / PACKAGE / "files.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in opening
    }
    assert found == {
        "sheet/formats.py: archive.open",
        "sheet/workbooks.py: archive.open",
    }


def test_every_room_of_the_library_has_its_place() -> None:
    rooms = {path.stem for path in (ROOT / PACKAGE).iterdir() if is_room(path)}

    assert rooms <= {name for line in ROOMS for name in line}


@pytest.mark.parametrize(
    ("file", "source", "breach"),
    [
        pytest.param("tasks/a.py", "import flows.b", "tasks imports flows", id="a task imports a flow"),
        pytest.param("PACKAGE/sheet.py", "from tasks import a", "PACKAGE.sheet imports tasks", id="library to task"),
        pytest.param("PACKAGE/problems.py", "from .sheet import a", "imports PACKAGE.sheet", id="relative, upwards"),
        pytest.param("PACKAGE/sheet/a.py", "from ..cli import b", "imports PACKAGE.cli", id="two levels up"),
        pytest.param("PACKAGE/sheet.py", "from PACKAGE import cli", "imports PACKAGE.cli", id="from the package"),
        pytest.param("APART/a.py", "import PACKAGE.problems", "imports PACKAGE.problems", id="sandbox out"),
        pytest.param("PACKAGE/sheet.py", "import APART", "imports APART", id="sandbox in"),
        pytest.param("PACKAGE/sheet.py", "import httpx", "imports httpx", id="httpx in the library"),
        pytest.param("flows/a.py", "def f():\n import httpx", "flows imports httpx", id="httpx inside a function"),
        pytest.param("PACKAGE/batch.py", "from prefect import flow", "imports prefect", id="Prefect in the library"),
        pytest.param("PACKAGE/cli.py", "import PACKAGE.prefect", "imports PACKAGE.prefect", id="the door, at once"),
    ],
)
def test_an_import_that_goes_elsewhere_is_found(tmp_path: Path, file: str, source: str, breach: str) -> None:
    write_house(tmp_path, {named(file): named(source)})

    assert [named(breach) in found for found in breaches(tmp_path)] == [True]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        pytest.param("flows/a.py", "import tasks.b, PACKAGE.sheet", id="a flow downwards"),
        pytest.param("PACKAGE/cli.py", "def f():\n import PACKAGE.prefect\n import prefect", id="the door, when used"),
        pytest.param("PACKAGE/labelstudio/a.py", "import httpx\nfrom . import b", id="the client's httpx"),
        pytest.param("APART/a.py", "from .b import c\nfrom APART import d", id="within the sandbox"),
        pytest.param("PACKAGE/sheet.py", "from PACKAGE import problems", id="a module of the package"),
    ],
)
def test_an_import_that_goes_downwards_is_fine(tmp_path: Path, file: str, source: str) -> None:
    write_house(tmp_path, {named(file): named(source)})

    assert list(breaches(tmp_path)) == []


def test_no_file_holds_a_path_of_somebodys_machine() -> None:
    folders = re.compile(r"(?<![\w.}])/(?:work|root|home)/")

    assert [f"{path}:{number}" for path, number, line in tracked_lines() if folders.search(line)] == []


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-docs.txt", "constraints-label-studio.txt"])
def test_constraints_hold_pinned_versions_alone(name: str) -> None:
    pin = re.compile(r'[a-z0-9-]+==[\w.+!]+(; python_version [=<>]+ "[\d.]+"( or python_version [=<>]+ "[\d.]+")*)?')
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not pin.fullmatch(line)] == []
    assert lines == sorted(lines, key=lambda line: line.split("==")[0])


def breaches(root: Path) -> Iterator[str]:
    """A sentence for each import that goes where it must not."""
    for package in (*HOUSE, APART):
        for path in (root / package).rglob("*.py"):
            for found in imports(root, path):
                if not (may_use_reserved(found) and (goes_down(found) or uses_the_door(found))):
                    yield f"{found.where}: {found.importer} imports {found.imported}"


def goes_down(found: Import) -> bool:
    if found.importer == found.imported or floor(found.imported) is None:
        return found.importer != APART or found.imported not in HOUSE
    above, below = floor(found.importer), floor(found.imported)
    return above is not None and below is not None and above <= below


def uses_the_door(found: Import) -> bool:
    return found.importer == DOOR and found.in_function and found.imported == PREFECT


def may_use_reserved(found: Import) -> bool:
    allowed = RESERVED.get(found.imported)
    late = found.importer == DOOR and found.imported in ("prefect", PREFECT)
    return (allowed is None or found.importer in allowed) and (found.in_function or not late)


def floor(room: str) -> tuple[int, int] | None:
    """The place of a room of ours, lower is greater; None for everybody else's packages."""
    package, _, name = room.partition(".")
    if package not in HOUSE:
        return None
    lines = [number for number, line in enumerate(ROOMS) if name in line]
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


def imported_everywhere(path: Path) -> Iterator[str]:
    """The names that a module imports, in functions and for types too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        yield from imported_names(node, ())


def room_of(root: Path, name: str) -> str:
    """The room that a dotted name is in: `label_studio_stencil.sheet.text.read` -> `label_studio_stencil.sheet`."""
    package, *rest = name.split(".")
    if package != PACKAGE:
        return package
    places = [root / PACKAGE / name for name in (*rest[:1], *(f"{name}.py" for name in rest[:1]))]
    return f"{PACKAGE}.{rest[0]}" if any(map(is_room, places)) else f"{PACKAGE}.__init__"


def is_room(path: Path) -> bool:
    return path.is_file() if path.suffix == ".py" else path.is_dir() and path.name != "__pycache__"


def named(text: str) -> str:
    return text.replace("PACKAGE", PACKAGE).replace("APART", APART)


def write_house(root: Path, files: dict[str, str]) -> None:
    for room in ("problems.py", "sheet/b.py", "batch.py", "cli.py", "labelstudio/b.py", "prefect/b.py", "__init__.py"):
        files.setdefault(f"{PACKAGE}/{room}", "")
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
