"""`@path` in a cell of text: the file that it names, from the sheet's own folder and from nowhere else."""

from pathlib import Path
from typing import NamedTuple

from stencil.problems import shown
from stencil.sheet.model import SheetUnreadable
from stencil.steps import BadStep, TaskFile, digest_of, tasks_in
from stencil.steps.asked import MOST_IN_FILE as MOST_IN_TASKS

#: Largest file that a cell may refer to, in bytes.
MOST_IN_FILE = 10_000_000
#: Longest path, in characters, as Linux has it; a longer one takes Python the square of its length to follow.
MOST_IN_PATH = 4_096


class Text(NamedTuple):
    """The text that a cell stands for, or, with a `code`, the sentence that says what is wrong with it."""

    value: str
    code: str = ""


class References:
    """Reads what cells refer to, each file once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder.resolve() if folder is not None else None
        self._read: dict[str, Text] = {}
        self._contents: dict[Path, Text] = {}
        self._tasks: dict[str, TaskFile | BadStep] = {}

    def resolved(self, cell: str) -> Text:
        """The text of the file for `@path`, the literal `@...` for `@@...`, and any other cell as it is."""
        reference = cell.strip()
        if not reference.startswith("@"):
            return Text(cell)
        if reference.startswith("@@"):
            return Text(reference[1:])
        if reference not in self._read:
            self._read[reference] = self._file(reference[1:].strip())
        return self._read[reference]

    def tasks(self, reference: str) -> TaskFile:
        """The file of tasks that a cell names: a path below the sheet's folder, or a URL; read once, to count them.

        Raises:
            BadStep: It can't be read, or holds no tasks.
        """
        where = reference.strip()
        if where not in self._tasks:
            try:
                self._tasks[where] = self._task_file(where)
            except BadStep as error:
                self._tasks[where] = error
        found = self._tasks[where]
        if isinstance(found, BadStep):
            raise found
        return found

    def _task_file(self, where: str) -> TaskFile:
        # Imported here: the sources of sheets import this module.
        from stencil.sheet.sources import content_of, file_name

        path = where
        if "://" not in where:
            if self._folder is None:
                raise BadStep("tasks names a file, and this source has no folder to read from: give a URL")
            try:
                found = (self._folder / where).resolve()
                outside = not found.is_relative_to(self._folder)
            except (OSError, ValueError, RuntimeError) as error:
                raise BadStep(f"{shown(where)} can't be read: {shown(error)}") from None
            if outside:
                raise BadStep(
                    f"{shown(where)} is outside of the sheet's folder {self._folder}: move it into the folder"
                )
            path = str(found)
        try:
            content = content_of(path, most=MOST_IN_TASKS)
        except SheetUnreadable as error:
            raise BadStep(str(error).rstrip(".")) from None
        return TaskFile(path, len(tasks_in(content, file_name(path))), digest_of(content))

    def _file(self, reference: str) -> Text:
        if self._folder is None:
            message = "@ names a file, and this source has no folder to read from; for the text itself write @@"
            return Text(message, "file-reference")
        path = shown(reference)
        if len(reference) > MOST_IN_PATH:
            return Text(
                f"{path} can't be read: the name of a file has at most {MOST_IN_PATH:,} characters", "file-unreadable"
            )
        try:
            found = (self._folder / reference).resolve()
            if not found.is_relative_to(self._folder):
                message = f"{path} is outside of the sheet's folder {self._folder}: move it into the folder"
                return Text(message, "outside-folder")
            if not found.is_file():
                message = f"{path} is not a file in {self._folder}; for a text that starts with @ write @@"
                return Text(message, "file-not-found")
            if found not in self._contents:
                # A file has any number of names, and one text in memory.
                self._contents[found] = _content(path, found)
            return self._contents[found]
        except (OSError, ValueError, RuntimeError) as error:
            # No access, a NUL in the name, a ring of links.
            reason = (error.strerror if isinstance(error, OSError) else None) or shown(error)
            return Text(f"{path} can't be read: {reason}", "file-unreadable")


def _content(path: str, found: Path) -> Text:
    with found.open("rb") as file:
        content = file.read(MOST_IN_FILE + 1)
    if len(content) > MOST_IN_FILE:
        return Text(f"{path} is larger than {MOST_IN_FILE // 1_000_000} MB", "file-too-large")
    try:
        return Text(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Text(f"{path} is not UTF-8 text: save it as UTF-8", "file-not-text")
