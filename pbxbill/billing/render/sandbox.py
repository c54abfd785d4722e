"""Jinja for authors who need not be trusted: they read the document, format it, and can do nothing else.

What is allowed is listed: kinds of statements, filters, fields of the document's dataclasses. What a template
may spend is counted: turns of loops, length of what it writes. A fault says the line and the reason.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import fields
from datetime import date
from functools import wraps
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from markupsafe import Markup, escape

from pbxbill.billing.invoices.document import (
    Document,
    DocumentCall,
    DocumentLine,
    DocumentPayment,
    DocumentTax,
    PartyBlock,
)
from pbxbill.billing.render.template import Colours, Layout
from pbxbill.errors import InputRefused, check
from pbxbill.money import Unit

OUTPUT_MAX_CHARACTERS = 20_000_000
WORK_MAX = 1_000_000
"""Turns of loops, calls, and blocks of 256 characters written or joined, that one document may take."""
VALUE_MAX_CHARACTERS = 200_000
"""Of a text that a template puts together."""
_BLOCK = 256

_READABLE: dict[type, frozenset[str]] = {
    kind: frozenset(part.name for part in fields(kind))
    for kind in (
        Document,
        DocumentLine,
        DocumentTax,
        DocumentCall,
        DocumentPayment,
        PartyBlock,
        Unit,
        Colours,
        Layout,
    )
} | {
    date: frozenset(("year", "month", "day")),
    LoopContext: frozenset(("index", "index0", "revindex", "revindex0", "first", "last", "length", "depth")),
}
_STATEMENTS = (
    nodes.Template,
    nodes.Output,
    nodes.For,
    nodes.If,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.With,
    nodes.Macro,
)
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "e", "escape", "first", "int", "last", "length", "lower",
    "trim", "upper",
)  # fmt: skip
_TESTS = (
    "defined", "undefined", "none", "eq", "ne", "lt", "le", "gt", "ge", "==", "!=", "<", "<=", ">", ">=",
    "in", "even", "odd", "divisibleby", "number", "string", "true", "false",
)  # fmt: skip


FORMATS = (
    "amount", "country", "date", "duration", "iban", "measured", "money", "moment", "number", "percent",
    "period",
)  # fmt: skip
"""Filters that html.py gives for each document."""


class TemplateFault(InputRefused):
    """A template that cannot be used: where, and why."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        self.reason = reason
        self.line = line
        super().__init__(f"line {line}: {reason}" if line else reason)


class _Budget:
    """What is left of the work that one rendering may do."""

    def __init__(self, work: int) -> None:
        self.work = work

    def spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            raise SecurityError("the template does too much: a loop in a loop, or one that never ends")


_BUDGET: ContextVar[_Budget] = ContextVar("budget")


def _counted(values: Iterable[Any], cost: int) -> Iterator[Any]:
    budget = _BUDGET.get()
    if not isinstance(values, tuple | list | Mapping | range):
        raise SecurityError("only lists can be looped over")
    for value in values:
        budget.spend(cost)
        yield value


def _joined(parts: Iterable[Any], separator: Any = "") -> str:
    between = escape(separator)
    joined = between.join(escape(_printed(part)) for part in _counted(parts, 1))
    return _within(joined)


def _joined_plain(parts: Iterable[Any], separator: Any = "") -> str:
    return _within(str(separator).join(str(_printed(part)) for part in _counted(parts, 1)))


def _within(text: str) -> str:
    _BUDGET.get().spend(1 + len(text) // _BLOCK)
    if len(text) > VALUE_MAX_CHARACTERS:
        raise SecurityError(f"a text of more than {VALUE_MAX_CHARACTERS} characters")
    return text


def _metered(work: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's that costs what the texts are long that it works on."""

    @wraps(work)
    def metered(*arguments: Any, **named: Any) -> Any:
        texts = [len(value) for value in (*arguments, *named.values()) if isinstance(value, str)]
        _BUDGET.get().spend(sum(texts) // _BLOCK)
        return work(*arguments, **named)

    return metered


def _lines(text: Any) -> Markup:
    return Markup("<br>").join(escape(line) for line in str(text).splitlines())


def _given(values: Any) -> tuple[Any, ...]:
    return tuple(value for value in _counted(values, 1) if value)


def _printed(value: Any) -> Any:
    """What a template may write: texts and numbers. Anything else would show how the program is made."""
    if isinstance(value, str):
        return _within(value)
    if isinstance(value, int) and value.bit_length() <= 128:
        return value
    if isinstance(value, StrictUndefined):
        return str(value)  # raises, with its name
    if value is None:
        return ""
    raise SecurityError(f"{_named(value)} cannot be written; take one of its fields, or a filter")


def _named(value: object) -> str:
    return f"a {type(value).__name__.lower()}" if type(value).__module__ != "builtins" else "this value"


_FORMATS_NOW: ContextVar[Mapping[str, Any]] = ContextVar("formats")


def _format_filter(name: str) -> Any:
    """A filter whose work the document being rendered gives: each has its own language and unit."""

    def formatted(value: Any, *arguments: Any) -> Any:
        check(name in _FORMATS_NOW.get(), "no format {}", name)
        _BUDGET.get().spend(1)
        if isinstance(value, StrictUndefined):
            str(value)
        return _FORMATS_NOW.get()[name](value, *arguments)

    return formatted


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment; one serves any number of templates."""

    intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)

    def __init__(self, *, html: bool = True) -> None:
        """html: what templates are given is escaped; otherwise they are of plain text."""
        super().__init__(
            autoescape=html,
            undefined=StrictUndefined,
            optimized=False,  # constants too are reckoned within the budget
            finalize=_printed,
            trim_blocks=html,  # in plain text a line's end is meant
            lstrip_blocks=True,
        )
        self.globals = {"range": self._range, "namespace": Namespace}
        self.filters = {name: _metered(FILTERS[name]) for name in _FILTERS}
        self.filters |= {
            "join": _joined if html else _joined_plain,
            "lines": _lines,
            "select_given": _given,
            "_counted": _counted,
        }
        self.filters |= {name: _format_filter(name) for name in FORMATS}
        self.tests = {name: TESTS[name] for name in _TESTS}

    @staticmethod
    def _range(*bounds: int) -> range:
        made = range(*bounds)
        if len(made) > 10_000:
            raise SecurityError("range() gives at most 10000 numbers")
        return made

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field of the document; a text by its name; nothing else has attributes."""
        if attribute in _READABLE.get(type(obj), ()):
            return getattr(obj, attribute)
        if isinstance(obj, Mapping) and not attribute.startswith("_"):
            return self._entry(obj, attribute)
        if isinstance(obj, Namespace) and not attribute.startswith("_"):
            return self._entry(obj._Namespace__attrs, attribute)
        if isinstance(obj, StrictUndefined):
            str(obj)  # raises, with its name
        if type(obj) in _READABLE:
            raise SecurityError(f"there is no field {attribute!r}")
        raise SecurityError(f"{attribute!r} cannot be read here")

    def getitem(self, obj: Any, argument: Any) -> Any:
        """An element of a list or text by its number or slice, or a text by its name."""
        if isinstance(obj, Mapping):
            return self._entry(obj, argument)
        if isinstance(obj, str | tuple | list) and isinstance(argument, int | slice):
            return obj[argument]
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        raise SecurityError(f"[{str(argument)[:40]}] cannot be read here")

    @staticmethod
    def _entry(obj: Mapping[str, Any], name: Any) -> Any:
        try:
            return obj[name]
        except (KeyError, TypeError):
            raise SecurityError(f"there is no text or value named {str(name)[:40]!r}") from None

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        """Macros of the template and the functions that we give it."""
        budget = _BUDGET.get()
        budget.spend(1)
        for name in ("_loop_vars", "_block_vars"):  # what Jinja passes along inside of loops
            named.pop(name, None)
        if isinstance(obj, Macro):
            budget.spend(context.environment.macro_cost)
            return _within(obj(*arguments, **named))
        if obj == self._range or obj is Namespace:
            return obj(*arguments, **named)
        raise SecurityError("this cannot be called")

    macro_cost = 16

    def call_binop(self, _context: Any, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic of whole numbers; texts are joined by ~ or |join."""
        if not (isinstance(left, int) and isinstance(right, int)) or operator in ("**", "/"):
            raise SecurityError(f"{operator} is for whole numbers; join texts by ~, and divide by //")
        if max(left.bit_length(), right.bit_length()) > 128:
            raise SecurityError("a number that is too large")
        result = self.binop_table[operator](left, right)
        if result.bit_length() > 128:
            raise SecurityError("a number that is too large")
        return result


def _allowed(tree: nodes.Template) -> nodes.Template:
    """The tree with counters in it, if every part of it is allowed."""
    for node in tree.find_all(nodes.Stmt):
        if not isinstance(node, _STATEMENTS):
            raise TemplateFault(
                f"{{% {type(node).__name__.lower()} %}} is not for invoice templates", node.lineno
            )
    for loop in tree.find_all(nodes.For):
        if loop.recursive:
            raise TemplateFault("a loop cannot be recursive", loop.lineno)
        written = sum(len(data.data) for data in loop.find_all(nodes.TemplateData))
        cost = nodes.Const(1 + written // _BLOCK, lineno=loop.lineno)
        loop.iter = nodes.Filter(loop.iter, "_counted", [cost], [], None, None, lineno=loop.lineno)
    _Joining().visit(tree)
    return tree


class _Joining:
    """Puts |join in place of ~, which Jinja would do without asking."""

    def visit(self, node: nodes.Node) -> nodes.Node:
        for name, value in list(node.iter_fields()):
            if isinstance(value, nodes.Node):
                setattr(node, name, self.visit(value))
            elif isinstance(value, list):
                setattr(node, name, [self.visit(x) if isinstance(x, nodes.Node) else x for x in value])
        if isinstance(node, nodes.Concat):
            parts = nodes.List(node.nodes, lineno=node.lineno)
            return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)
        return node


class CompiledTemplate:
    """A template's text, checked and ready to be filled in."""

    def __init__(self, source: str, environment: Sandbox | None = None) -> None:
        self._environment = environment or Sandbox()
        try:
            tree = _allowed(self._environment.parse(source))
            tree.set_environment(self._environment)
            code = self._environment.compile(tree, filename="<invoice template>")
            self._template = Template.from_code(self._environment, code, dict(self._environment.globals))
        except TemplateSyntaxError as fault:
            raise TemplateFault(str(fault.message), fault.lineno) from None
        except (RecursionError, MemoryError, SyntaxError, ValueError) as fault:
            # Python's own limits: blocks in blocks, digits of a number.
            raise TemplateFault(f"the template is nested too deeply: {str(fault)[:80]}") from None

    def filled(self, values: Mapping[str, Any], filters: Mapping[str, Any], work: int = WORK_MAX) -> str:
        """The text, with these values and formatting filters; TemplateFault says line and reason."""
        pieces: list[str] = []
        length = 0
        token = _BUDGET.set(_Budget(work))
        formats = _FORMATS_NOW.set(dict(filters))
        try:
            for piece in self._template.root_render_func(self._template.new_context(dict(values))):
                length += len(piece)
                if length > OUTPUT_MAX_CHARACTERS:
                    raise SecurityError(f"the document has more than {OUTPUT_MAX_CHARACTERS} characters")
                pieces.append(piece)
        except UndefinedError as fault:
            raise TemplateFault(str(fault.message), self._line(fault.__traceback__)) from None
        except SecurityError as fault:
            raise TemplateFault(str(fault), self._line(fault.__traceback__)) from None
        except RecursionError as fault:
            raise TemplateFault("a macro calls itself without end", self._line(fault.__traceback__)) from None
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as fault:
            reason = str(fault)[:200] or type(fault).__name__
            raise TemplateFault(reason, self._line(fault.__traceback__)) from None
        finally:
            _BUDGET.reset(token)
            _FORMATS_NOW.reset(formats)
        return "".join(pieces)

    def _line(self, traceback: TracebackType | None) -> int | None:
        """The template's line in whose code it happened, the innermost."""
        line = None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == "<invoice template>":
                line = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line
