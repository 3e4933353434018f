"""Reads the files that cells of text name with `@path`, as far as rows may open them."""

from pathlib import Path
from typing import NamedTuple

from label_studio_stencil.files import Asker, Missing, NotAllowed, TooLarge, Unusable, file_name, locate, read
from label_studio_stencil.problems import shown
from label_studio_stencil.rows.markup import html_of_markdown, is_markdown
from label_studio_stencil.rows.steps import BadStep, TaskFile
from label_studio_stencil.rows.task_files import open_tasks
from label_studio_stencil.sheet.encodings import text_of

#: Largest file that a cell may refer to, in bytes.
MOST_IN_TEXT = 10_000_000
#: Codes by the error of reading a file.
_CODES: dict[type[Unusable], str] = {
    NotAllowed: "outside-folder",
    Missing: "file-not-found",
    TooLarge: "file-too-large",
}


class Text(NamedTuple):
    """The text that a cell stands for; with a `code`, the sentence of its problem."""

    value: str
    code: str = ""
    hint: str = ""


class References:
    """Reads what cells refer to, each file once.

    Args:
        folder: Where relative paths start; `None` if the source has no folder.
        asker: What the sheet's rows may open.
    """

    def __init__(self, folder: Path | None, asker: Asker) -> None:
        self._folder = folder
        self._asker = asker
        self._read: dict[str, Text] = {}
        self._contents: dict[str, Text] = {}
        self._as_html: dict[str, str] = {}
        self._tasks: dict[str, TaskFile | BadStep] = {}
        self.notes: list[str] = []

    def instructions(self, cell: str) -> Text:
        """Like `resolved`, but Markdown is converted to HTML, which Label Studio shows."""
        found = self.resolved(cell)
        if found.code or cell.strip().startswith("@@") or not is_markdown(cell):
            return found
        if found.value not in self._as_html:
            self._as_html[found.value] = html_of_markdown(found.value)
            self.notes.append(
                f"{file_name(cell.strip()[1:])} is Markdown: it was converted to HTML, which Label Studio shows."
            )
        return Text(self._as_html[found.value])

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
        """The file of tasks that a cell names by path or URL; each file is read once.

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
        if "://" not in where:
            if self._folder is None:
                raise BadStep("tasks names a file, but this sheet has no folder to read it from", hint="Give a URL.")
            where = str(self._folder / where)
        try:
            found = open_tasks(where, self._asker)
        except Unusable as error:
            raise BadStep(error.message.rstrip("."), hint=error.hint) from None
        self.notes += [f"{file_name(where)}: {note}" for note in found.notes]
        return TaskFile(where, len(found.tasks), found.digest, self._asker, found.keys, found.labelled)

    def _file(self, reference: str) -> Text:
        if self._folder is None:
            message = "@ names a file, but this sheet has no folder to read it from"
            return Text(message, "file-reference", "To start a text with @, write @@.")
        try:
            found = self._asker.check(locate(str(self._folder / reference))).path
            if found not in self._contents:
                # A file may have several names, and its text is in memory once.
                self._contents[found] = self._content(found)
            return self._contents[found]
        except Unusable as error:
            hint = "To start a text with @, write @@." if isinstance(error, Missing) else error.hint
            message = f"{shown(reference)} can't be read: {error.reason.rstrip('.')}"
            return Text(message, _CODES.get(type(error), "file-unreadable"), hint)

    def _content(self, path: str) -> Text:
        content = read(path, self._asker, most=MOST_IN_TEXT)
        try:
            return Text(text_of(content))
        except UnicodeDecodeError:
            return Text(f"{file_name(path)} is not UTF-8 text", "file-not-text", "Save it as UTF-8.")
