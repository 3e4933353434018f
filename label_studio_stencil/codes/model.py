"""The entry of a code: what it means, an example, and what to do."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code of a problem with a sheet, or of a row that needs attention.

    Attributes:
        code: Stable slug, such as `title-too-long`; scripts may rely on it.
        title: What is wrong, in one sentence.
        why: Why that is a problem, and when it occurs.
        remedy: What to do about it.
        sheet: A sheet that has the problem, with the template `Sentiment Analysis` and the workspace `Customer Feedback`.
        files: Files beside that sheet, by name.
        example: When it occurs, for a code that no small sheet shows; an entry has this or a `sheet`.
    """

    code: str
    title: str
    why: str
    remedy: str
    sheet: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    def __str__(self) -> str:
        """The page of `stencil explain`."""
        parts = [f"{self.code}: {self.title}", self.why, self.shown_example, f"What to do: {self.remedy}"]
        return "\n\n".join(parts)

    @property
    def shown_example(self) -> str:
        """The example as plain text, with sheets and files indented."""
        if not self.sheet:
            return f"Example: {self.example}"
        shown = {"a sheet": self.sheet, **self.files}
        return "\n\n".join(
            f"Example: {name}\n\n{textwrap.indent(text.strip(), '    ')}" for name, text in shown.items()
        )
