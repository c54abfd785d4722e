"""What linters cannot say about our code. Each finding names where it is, and what to use instead.

A rule is one test, which tells all that breaks it: a test of each rule and module would be thousands.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
PACKAGE = REPOSITORY / "pbxbill"
CODE_FOLDERS = ("pbxbill", "lab", "demo", "bench", "tests")
TOP_FOLDERS = (*CODE_FOLDERS, "docs", "dialplan", "freeswitch-conf")

EXACT = ("money.py", "clock.py", "ids.py", "rating", "ledger", "charging")
"""Where money and charged time are reckoned: integers only."""
WAITS = {Path("pbxbill/charging/engine.py")}
"""How long a thread waits is no charged time."""

LONGEST_MODULE = 450
BANNED_FILE_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}
NAMED_BY_OTHERS = {Path("pbxbill/ami/manager.py"), Path("tests/switch/ami/test_manager.py")}
"""AMI is Asterisk's Manager Interface."""

READS_THE_TIME = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "monotonic_ns"),
    ("time", "perf_counter"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
TIME_IS_READ_BY = {Path("pbxbill/clock.py"), Path("pbxbill/ids.py")}
"""An id begins with the moment it was made; nothing is decided by it."""
READING_FUNCTIONS = {name for module, name in READS_THE_TIME if module == "time"}

RETIRED = {
    "customer": "account (of the kind customer) for the billed party",
    "tenant": "account",
    "purse": "wallet",
    "hold": "reserve or reservation",
    "quota": "slice",
    "billsec": "billable duration",
    "pulse": "increment",
    "ticket": "cdr",
    "package": "plan or bundle",
    "recharge": "top up",
    "rate_table": "rate deck",
    "call_object": "call session",
}
"""Words of the glossary's last column, as parts of an identifier, and what to say."""
ANOTHER_MEANING = {"holds", "held"}
"""An invariant holds."""


def modules(*folders: str) -> list[Path]:
    """Every Python file of these folders of the repository."""
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def exact_modules() -> list[Path]:
    """The modules that reckon money and charged time."""
    found: list[Path] = []
    for name in EXACT:
        path = PACKAGE / name
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return found


def syntax_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@cache
def learned_from(path: Path) -> tuple[bool, tuple[str, ...]]:
    """Whether a module says what it owns, and where it reads the time; to parse them all takes seconds."""
    tree = syntax_of(path)
    return bool(ast.get_docstring(tree)), tuple(readings_of_time_in(tree))


def faults(paths: Iterable[Path], rule: Callable[[Path], Iterable[str]], *but: Path) -> list[str]:
    """What breaks a rule in these modules, but for some; each says in which."""
    judged = [path for path in paths if path.relative_to(REPOSITORY) not in but]
    assert judged, "a rule that judges nothing proves nothing"
    return [f"{path.relative_to(REPOSITORY)}: {fault}" for path in judged for fault in rule(path)]


def test_money_and_charged_time_are_integers() -> None:
    """No binary fraction comes near them: use integers of the unit's scale, `//` and money.py."""
    assert faults(exact_modules(), lambda path: floats_in(syntax_of(path)), *WAITS) == []


def floats_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=float()):
                yield f"line {node.lineno}: {ast.unparse(node)}; use an integer, or Decimal for a price"
            case ast.Call(func=ast.Name(id="float")):
                yield f"line {node.lineno}: float(); use int or Decimal"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield f"line {node.lineno}: /; use // or a rounding function of money.py"
            case ast.Call(func=ast.Name(id="round")):
                yield f"line {node.lineno}: round(); use a rounding function of money.py"
            case _:
                pass


def test_only_the_clock_reads_the_time() -> None:
    """Take a Clock, so that a test can run a month."""
    assert faults(modules("pbxbill"), lambda path: learned_from(path)[1], *TIME_IS_READ_BY) == []


def readings_of_time_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=module) | ast.Attribute(attr=module), attr=name) if (
                module,
                name,
            ) in READS_THE_TIME:
                yield f"line {node.lineno}: {module}.{name}; take a Clock"
            case ast.ImportFrom(module="time", names=names):
                wanted = {alias.name for alias in names} & {
                    name for module, name in READS_THE_TIME if module == "time"
                }
                if wanted:
                    yield f"line {node.lineno}: from time import {', '.join(sorted(wanted))}; take a Clock"
            case _:
                pass


def test_one_name_per_concept() -> None:
    """The glossary's names, in code as in the documents."""
    assert faults(exact_modules(), lambda path: retired_names_in(syntax_of(path))) == []


def retired_names_in(tree: ast.AST) -> set[str]:
    names = set(identifiers_in(tree))
    return {f"{name}: say {RETIRED[word]}" for name in names for word in retired_words_of(name)}


def identifiers_in(tree: ast.AST) -> Iterator[str]:
    """The names that this module gives, not those that it uses."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                yield name
            case _:
                pass


def retired_words_of(identifier: str) -> list[str]:
    if identifier in ANOTHER_MEANING:
        return []
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower()
    return [word for word in RETIRED if re.search(rf"(^|_){word}s?(_|$)", snake)]


def test_a_module_can_be_read_in_one_sitting() -> None:
    def too_long(path: Path) -> Iterator[str]:
        lines = len(path.read_text().splitlines())
        if lines > LONGEST_MODULE:
            yield f"{lines} lines; split it where it speaks of two things"

    assert faults(modules(*CODE_FOLDERS), too_long) == []


def test_a_module_is_named_for_what_it_holds() -> None:
    def banned(path: Path) -> Iterator[str]:
        if path.stem.removeprefix("test_").strip("_") in BANNED_FILE_NAMES:
            yield "name the noun that it is about"

    assert faults(modules(*CODE_FOLDERS), banned, *NAMED_BY_OTHERS) == []


def test_a_module_says_what_it_owns() -> None:
    def silent(path: Path) -> Iterator[str]:
        if not learned_from(path)[0]:
            yield "say what it owns and its place in the flow"

    assert faults(modules("pbxbill", "lab", "demo", "bench"), silent) == []


@pytest.mark.parametrize("name", [name for name in TOP_FOLDERS if (REPOSITORY / name).is_dir()])
def test_a_top_folder_explains_itself(name: str) -> None:
    folder = REPOSITORY / name
    package = folder / "__init__.py"
    explained = package.exists() and ast.get_docstring(syntax_of(package))
    assert explained or (folder / "README.md").exists(), "add a README.md, or a docstring to __init__.py"


@pytest.mark.parametrize("line", ["x = 0.5", "x = a / b", "x /= 2", "x = float(a)", "x = round(a)"])
def test_floats_are_found(line: str) -> None:
    assert list(floats_in(ast.parse(line)))


@pytest.mark.parametrize(
    "line",
    [
        "import time; time.time()",
        "datetime.datetime.now()",
        "datetime.now(UTC)",
        "from time import monotonic",
    ],
)
def test_readings_of_time_are_found(line: str) -> None:
    assert list(readings_of_time_in(ast.parse(line)))


@pytest.mark.parametrize(
    "identifier,words",
    [("customer_id", ["customer"]), ("CustomerRow", ["customer"]), ("threshold", []), ("hold_us", ["hold"])],
)
def test_retired_words_are_found(identifier: str, words: list[str]) -> None:
    assert retired_words_of(identifier) == words
