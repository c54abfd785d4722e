"""Finds the refusals of the domain in its code, for translators: f-strings become texts with named places.

The domain says in English why it refuses something, as `InputRefused(f"no plan {code!r}")`; the panel finds
the text that such a sentence was made from, here `no plan %(code)s`, and says it in the reader's
language (pbxbill/web/refusals.py).
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pbxbill.cli.configuration_reference import TABLES

FOLDERS = (
    "access", "billing", "gateways", "jobs", "listing", "mediation", "notify", "rating", "reports", "store",
)  # fmt: skip
FILES = (
    "money.py", "quote.py", "charging/arithmetic.py", "charging/authorizing.py", "charging/chain.py",
    "charging/levels.py", "charging/limits.py", "charging/offline.py", "charging/reconcile.py",
    "charging/settling.py", "charging/statement.py", "charging/writing.py", "cli/diagnosis.py",
    "cli/switch_checks.py",
)  # fmt: skip
"""Where sentences stand that a page may show; what only a command line says is English."""
ANSWERING = {"jobs", "charging"}
"""Folders whose functions return what is told: what a job did, why a call is refused."""
REFUSING = frozenset(
    {
        "InputRefused",
        "FilterRefused",
        "FieldRefused",
        "TemplateFault",
        "TermRefused",
        "ParameterRefused",
        "TooLarge",
        "UnknownMeter",
        "MomentRefused",
        "Nothing",
        "NotQueued",
        "NotIssued",
        "NotDone",
        "RefusedLine",
        "RefusedRow",
        "RefusedCells",
        "RefusedDid",
        "Refused",
        "Refusal",
        "Applied",
        "NewAlert",
        "raise_alert",
        "happened",
        "note_event",
        "hold",
        "_alert",
        "_tell_invoice",
        "Line",
        "Unusable",
        "KindTerms",
        "GatewayKind",
        "Job",
        "Finding",
    }
)
"""What takes such a sentence: faults, outcomes with a reason, alerts and events."""
NAMES = frozenset(
    {
        "reason",
        "why",
        "message",
        "problem",
        "detail",
        "fault",
        "subject",
        "told",
        "words",
        "remedy",
        "lacks",
        "said",
    }
)
"""Names of values that hold one."""
_NO_NAMES = {"repr", "str", "len", "join", "sorted", "for", "in", "self", "if", "else"}
PLACE = re.compile(r"%\(\w+\)s")
LEAST_LETTERS = 4
"""A text with fewer of its own would be found in any other."""


def refusals(package: Path) -> Iterator[tuple[Path, str]]:
    """Each text once, with where it stands first; what a place is called makes no other text."""
    seen: set[str] = set()
    paths = [package / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted((package / folder).rglob("*.py"))
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for text in _texts(tree, answers=path.parent.name in ANSWERING):
            bare = PLACE.sub("%()s", text)
            if bare not in seen:
                seen.add(bare)
                yield path, text


def explanations() -> Iterator[tuple[Path, str]]:
    """What the panel says of each option of the configuration, as docs/configuration.md has it."""
    seen: set[str] = set()
    for _heading, section in TABLES:
        lines = [(section.__doc__ or "").strip().splitlines()[0]]
        lines += [field.description or "" for field in section.model_fields.values()]
        for text in (x.replace("%", "%%") for x in lines if x):
            if text not in seen:
                seen.add(text)
                yield Path("sections.py"), text


def _texts(tree: ast.Module, *, answers: bool) -> Iterator[str]:
    named = _phrases(tree)
    answered = [x.value for x in ast.walk(tree) if answers and isinstance(x, ast.Return) and x.value]
    for value in (*_places(tree), *answered):
        yield from _said([value])
        for part in ast.walk(value):
            if isinstance(part, ast.FormattedValue):
                inner = part.value
                yield from _put_in([inner, *named.get(ast.unparse(inner), ())])


def _places(tree: ast.Module) -> Iterator[ast.expr]:
    """Where a sentence may be made."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in REFUSING:
                yield from args
                yield from (x.value for x in keywords)
            case ast.Call(func=ast.Attribute(attr="append" | "extend"), args=args) if _holds(node.func):
                yield from args
            case ast.keyword(arg=name, value=value) if name in NAMES:
                yield value
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if _is_named(name):
                yield value
            case ast.AugAssign(target=ast.Name(id=name), value=value) if name in NAMES:
                yield value


def _phrases(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What names stand for that a module gives phrases to: they may be put into its sentences."""
    named: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                named.setdefault(name, []).append(value)
            case ast.For(target=ast.Tuple(elts=names), iter=ast.Tuple(elts=rows)):
                for row in (x for x in rows if isinstance(x, ast.Tuple)):
                    for target, phrase in zip(names, row.elts, strict=False):
                        named.setdefault(ast.unparse(target), []).append(phrase)
            case _:
                pass
    return named


def _put_in(values: Iterable[ast.expr]) -> Iterator[str]:
    """Phrases of a place: of several words, or one of two that a condition chooses between."""
    for value in values:
        match value:
            case ast.IfExp(body=one, orelse=other):
                yield from (x.value for x in (one, other) if _is_word(x))  # type: ignore[attr-defined]
                yield from _said([one, other])
            case ast.Constant() | ast.JoinedStr():
                yield from _said([value])
            case _:
                pass


def _is_word(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and re.fullmatch(r"[a-z]{3,}", str(value.value)) is not None


def _is_named(name: str) -> bool:
    return name.strip("_") in NAMES or (name.startswith("_") and name.strip("_").lower() in NAMES)


def _holds(appended: ast.expr) -> bool:
    holder = appended.value if isinstance(appended, ast.Attribute) else None
    return isinstance(holder, ast.Name) and holder.id.rstrip("s") in NAMES


def _said(values: Iterable[ast.expr]) -> Iterator[str]:
    for value in values:
        match value:
            case ast.IfExp(body=one, orelse=other):
                yield from _said([one, other])
            case ast.Dict(values=several):
                yield from _said(several)
            case ast.Subscript(value=whole):  # shortened
                yield from _said([whole])
            case ast.Constant(value=str(text)) if " " in text:
                yield from _useful(text.replace("%", "%%"))
            case ast.JoinedStr(values=parts):
                yield from _useful(_text_of(parts))
            case _:
                pass  # made elsewhere, where it is found as well


def _useful(text: str) -> Iterator[str]:
    own = PLACE.sub("", text)
    is_key = own != text and " " not in own
    if len(re.findall(r"[a-z]", own)) >= LEAST_LETTERS and not is_key:
        yield text


def _text_of(parts: list[ast.expr]) -> str:
    places: dict[str, str] = {}
    text = ""
    for part in parts:
        if isinstance(part, ast.FormattedValue):
            text += f"%({_place(ast.unparse(part.value), places)})s"
        elif isinstance(part, ast.Constant):
            text += str(part.value).replace("%", "%%")
    return text


def _place(expression: str, places: dict[str, str]) -> str:
    """A name for what stands there, which tells a translator what it is: `row.code[:64]` becomes `code`."""
    words = re.findall(r"[a-z_]{2,}", re.sub(r"\[[^\]]*\]|\(\)|'[^']*'", "", expression).lower()) or ["value"]
    ours = [x.strip("_") for x in words if x.strip("_") and x not in _NO_NAMES] or ["value"]
    base: str = ours[0 if "(" in expression else -1]
    name, number = base, 1
    while places.setdefault(name, expression) != expression:
        number += 1
        name = f"{base}_{number}"
    return name
