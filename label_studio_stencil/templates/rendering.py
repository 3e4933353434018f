"""Fills placeholders in the texts of template files: Jinja in its sandbox, strict, with values escaped for XML."""

import functools
import math
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Set, Sized
from contextvars import ContextVar
from typing import Any, Literal

from jinja2 import (
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    UndefinedError,
    filters,
    meta,
    nodes,
    pass_environment,
    pass_eval_context,
)
from jinja2.compiler import CodeGenerator, Frame
from jinja2.runtime import Context, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import soft_str

from label_studio_stencil.json_value import JSON

#: Texts that may hold placeholders.
FIELDS = ("title", "description", "expert_instruction", "label_config")

#: Seconds to fill a text, at most.
LONGEST_SECONDS = 5.0
#: Most placeholders in a text: each takes time before the first one is filled.
MOST_PLACEHOLDERS = 2_000
#: Largest whole number in an expression, in bits.
_MOST_BITS = 10_000

#: Longest text after filling, in characters.
_LONGEST = 2_000_000
_HAS_PLACEHOLDERS = re.compile(r"\{\{|\{%")
_PLACEHOLDER = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_RAW = re.compile(r"(\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\})", re.DOTALL)


class Unrenderable(ValueError):
    """The placeholders of a text can't be filled; the text says why."""


class TooSlow(Unrenderable):
    """Filling a text takes too long."""


#: Deadline of the text that this context fills, by the monotonic clock.
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


def _check_time() -> None:
    if time.monotonic() > _deadline.get():
        raise TooSlow(f"it takes more than {LONGEST_SECONDS:g} seconds to fill")


#: Jinja's filters that texts need. Among the others are some that make a gigabyte of a letter.
_FILTERS = frozenset(
    [
        "abs",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "forceescape",
        "groupby",
        "int",
        "items",
        "join",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "replace",
        "reverse",
        "round",
        "safe",
        "select",
        "selectattr",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "tojson",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
    ]
)
#: Methods of texts that do the same.
_WIDENING = frozenset({"center", "expandtabs", "format", "format_map", "join", "ljust", "replace", "rjust", "zfill"})


class _Code(CodeGenerator):
    """Compiles `~` and loops to calls that check limits."""

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:  # noqa: N802 - likewise
        """Write the template with checked loops."""
        for loop in node.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, _WATCHED, [], [], None, None, lineno=loop.lineno)
        super().visit_Template(node, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja calls it by this name
        """Write the call that joins the parts."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox whose expressions can't fill the memory."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    code_generator_class = _Code

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may use an attribute."""
        return attr not in _WIDENING and super().is_safe_attribute(obj, attr, value)

    def wrap_str_format(self, value: Any) -> None:
        """Do nothing: `is_safe_attribute` forbids formatting methods, and Jinja's own check would come before it."""

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - names of Jinja's
        """Make a call, until the deadline: macros can call themselves twice."""
        _check_time()
        return super().call(__context, __obj, *args, **kwargs)

    def joined(self, parts: Iterable[Any]) -> str:
        """Join texts with `~`, up to the limit."""
        texts = [soft_str(part) for part in parts]
        _refuse(sum(map(len, texts)))
        return markup_join(texts) if self.autoescape else str_join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operator, up to the limit."""
        whole = isinstance(left, int) and isinstance(right, int)
        if operator == "%" and isinstance(left, str):
            # `'%1000000000d' % 1` is a gigabyte.
            raise Unrenderable("% can't be used with texts: put placeholders next to each other")
        if operator == "+":
            _refuse(sum(len(value) for value in (left, right) if isinstance(value, Sized)))
            return super().call_binop(context, operator, left, right)
        if operator == "**":
            large = whole and (abs(left) > 1000 or abs(right) > 100)
        elif whole:
            large = left.bit_length() + right.bit_length() > _MOST_BITS
        else:
            sizes = [len(value) if isinstance(value, Sized) else value for value in (left, right)]
            large = not whole and all(isinstance(size, int) for size in sizes) and sizes[0] * sizes[1] > _LONGEST
        if large:
            much = "a number that is too large" if whole else f"more than {_LONGEST:,} characters"
            raise Unrenderable(f"{operator} makes {much}")
        return super().call_binop(context, operator, left, right)


def _refuse(length: int) -> None:
    if length > _LONGEST:
        raise Unrenderable(f"it grows beyond {_LONGEST:,} characters")


@pass_eval_context
def _replaced(context: nodes.EvalContext, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Jinja's `replace`, up to the limit."""
    text = str(s)
    _refuse(len(text) + text.count(str(old)) * len(str(new)))
    return filters.do_replace(context, s, old, new, count)


@pass_eval_context
def _joined(context: nodes.EvalContext, value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    """Jinja's `join`, up to the limit."""
    parts = list(value)
    _refuse(sum(len(part) for part in parts if isinstance(part, Sized)) + len(parts) * len(str(d)))
    return filters.sync_do_join(context, parts, d, attribute)


#: The filter that loops go through; no template can name it.
_WATCHED = "parts of a loop"


def _watched(parts: Iterable[Any]) -> Iterator[Any]:
    """The items of a loop, until the deadline."""
    for part in parts:
        _check_time()
        yield part


def _timed(work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that is applied until the deadline."""

    @functools.wraps(work)
    def timed(*arguments: Any, **options: Any) -> Any:
        _check_time()
        return work(*arguments, **options)

    return timed


@pass_environment
def _summed(
    environment: Environment, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0
) -> Any:
    """Jinja's `sum`, until the deadline: lists are copied for each one that is added."""
    return filters.sync_do_sum(environment, _watched(iterable), attribute, start)


@functools.cache
def _environment(*, escaped: bool, newline: Literal["\n", "\r\n"] = "\n") -> _Environment:
    # CSS has `{#`, so comments get delimiters that nobody types by chance.
    environment = _Environment(
        undefined=StrictUndefined,
        autoescape=escaped,
        comment_start_string="{##",
        comment_end_string="##}",
        keep_trailing_newline=True,
        newline_sequence=newline,
    )
    # Only what labels need; other globals read the clock, or grow without end.
    environment.filters = {name: each for name, each in environment.filters.items() if name in _FILTERS}
    environment.filters |= {"replace": _replaced, "join": _joined, "sum": _summed}
    environment.filters = {name: _timed(each) for name, each in environment.filters.items()} | {_WATCHED: _watched}
    for name in ("lipsum", "cycler", "joiner", "namespace", "range", "dict"):
        environment.globals.pop(name, None)
    return environment


def has_placeholders(text: str) -> bool:
    """Whether a text has placeholders."""
    return _HAS_PLACEHOLDERS.search(text) is not None


def names_in(text: str) -> frozenset[str]:
    """The variables that a text uses.

    Raises:
        Unrenderable: It is malformed.
    """
    count = len(_HAS_PLACEHOLDERS.findall(text))
    if count > MOST_PLACEHOLDERS:
        raise Unrenderable(f"it has {count:,} placeholders, and at most {MOST_PLACEHOLDERS:,} are filled")
    try:
        return frozenset(meta.find_undeclared_variables(_environment(escaped=False).parse(text)))
    except TemplateSyntaxError as error:
        raise Unrenderable(f"line {error.lineno}: {error.message}") from None
    except RecursionError:
        raise Unrenderable("its placeholders nest too deeply") from None


def foreign_kept(text: str, declared: Container[str]) -> str:
    """The text with each placeholder that uses an undeclared name marked as raw.

    In a labelling interface such a placeholder is Label Studio's own: the tag Repeater numbers its parts by `{{idx}}`.

    Raises:
        Unrenderable: The text is malformed.
    """
    foreign = {name for name in names_in(text) if name not in declared}
    if not foreign:
        return text
    parts = _RAW.split(text)
    parts[::2] = [_PLACEHOLDER.sub(lambda found: _raw_if(found[0], foreign), part) for part in parts[::2]]
    return "".join(parts)


def _raw_if(placeholder: str, foreign: Set[str]) -> str:
    try:
        uses = names_in(placeholder)
    except Unrenderable:
        return placeholder
    return f"{{% raw %}}{placeholder}{{% endraw %}}" if uses & foreign else placeholder


def render(field: str, text: str, values: Mapping[str, JSON]) -> str:
    """A text with its placeholders filled; in XML and in instructions, which are HTML, values are escaped.

    Raises:
        Unrenderable: A value is missing, or the text would exceed a limit.
    """
    # Jinja writes all line ends of a template in one way.
    newline: Literal["\n", "\r\n"] = "\r\n" if "\r\n" in text else "\n"
    environment = _environment(escaped=field not in ("title", "description"), newline=newline)
    token = _deadline.set(time.monotonic() + LONGEST_SECONDS)
    try:
        return "".join(_limited(environment.from_string(text).generate(**values)))
    except UndefinedError as error:
        raise Unrenderable(str(error.message)) from None
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise Unrenderable(f"line {line}: {error.message}" if line else str(error.message)) from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AssertionError, RecursionError, MemoryError) as error:
        if isinstance(error, Unrenderable):
            raise
        # An error of an expression in the template, such as `1 / 0`.
        raise Unrenderable(f"{type(error).__name__}: {error}") from None
    finally:
        _deadline.reset(token)


def _limited(parts: Iterator[str]) -> Iterator[str]:
    length = 0
    for part in parts:
        length += len(part)
        _refuse(length)
        _check_time()
        yield part


def literal(text: str) -> str:
    """The text, escaped so that a template file renders it unchanged."""
    if not has_placeholders(text):
        return text
    return "{% raw %}" + text.replace("{% endraw %}", "{% endraw %}{{ '{% endraw %}' }}{% raw %}") + "{% endraw %}"
