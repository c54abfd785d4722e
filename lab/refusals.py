"""Finds the refusals of the domain in its code, for translators: f-strings become texts with named places.

The domain says in English why it refuses something, as `InputRefused(f"no plan {code!r}")`; the panel finds
the text that such a sentence was made from, here `no plan %(code)s`, and says it in the reader's
language (pbxbill/web/refusals.py).
"""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = ("access", "billing", "gateways", "listing", "mediation", "notify", "rating", "reports", "store")
FILES = ("money.py", "quote.py")
"""Where refusals stand that a page may show; what only a command line says is English."""
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
    }
)
"""What takes such a sentence: faults, and outcomes with a reason."""
NAMES = frozenset({"reason", "why", "message", "problem", "detail", "fault"})
"""Names of values that hold one."""
_NO_NAMES = {"repr", "str", "len", "join", "sorted", "for", "in", "self", "if", "else"}
PLACE = re.compile(r"%\(\w+\)s")
LEAST_LETTERS = 6
"""A text with fewer of its own would be found in any other."""


def refusals(package: Path) -> Iterator[tuple[Path, str]]:
    """Each text once, with where it stands first; what a place is called makes no other text."""
    seen: set[str] = set()
    paths = [package / name for name in FILES]
    for folder in FOLDERS:
        paths += sorted((package / folder).rglob("*.py"))
    for path in paths:
        for text in _texts(ast.parse(path.read_text(encoding="utf-8"))):
            bare = PLACE.sub("%()s", text)
            if bare not in seen:
                seen.add(bare)
                yield path, text


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in REFUSING:
                yield from _said([*args, *(x.value for x in keywords)])
            case ast.Call(func=ast.Attribute(attr="append" | "extend"), args=args) if _holds(node.func):
                yield from _said(args)
            case ast.keyword(arg=name, value=value) if name in NAMES:
                yield from _said([value])
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.strip("_") in NAMES:
                yield from _said([value])


def _holds(appended: ast.expr) -> bool:
    holder = appended.value if isinstance(appended, ast.Attribute) else None
    return isinstance(holder, ast.Name) and holder.id.rstrip("s") in NAMES


def _said(values: Iterable[ast.expr]) -> Iterator[str]:
    for value in values:
        match value:
            case ast.IfExp(body=one, orelse=other):
                yield from _said([one, other])
            case ast.Subscript(value=whole):  # shortened
                yield from _said([whole])
            case ast.Constant(value=str(text)) if " " in text:
                yield from _useful(text.replace("%", "%%"))
            case ast.JoinedStr(values=parts):
                yield from _useful(_text_of(parts))
            case _:
                pass  # made elsewhere, where it is found as well


def _useful(text: str) -> Iterator[str]:
    if len(re.findall(r"[a-z]", PLACE.sub("", text))) >= LEAST_LETTERS:
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
