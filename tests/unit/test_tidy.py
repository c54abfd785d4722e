"""What linters cannot say about our code. Each finding names what to use instead."""

import ast
import re
from collections.abc import Iterator
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


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def syntax_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


@pytest.mark.parametrize("path", exact_modules(), ids=name_of)
def test_money_and_charged_time_are_integers(path: Path) -> None:
    """No binary fraction comes near them: use integers of the unit's scale, `//` and money.py."""
    if path.relative_to(REPOSITORY) in WAITS:
        return
    assert list(floats_in(syntax_of(path))) == []


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


@pytest.mark.parametrize("path", modules("pbxbill"), ids=name_of)
def test_only_the_clock_reads_the_time(path: Path) -> None:
    """Take a Clock, so that a test can run a month."""
    if path.relative_to(REPOSITORY) in TIME_IS_READ_BY:
        return
    assert list(readings_of_time_in(syntax_of(path))) == []


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


@pytest.mark.parametrize("path", exact_modules(), ids=name_of)
def test_one_name_per_concept(path: Path) -> None:
    """The glossary's names, in code as in the documents."""
    found = {
        f"{name}: say {RETIRED[word]}"
        for name in identifiers_in(syntax_of(path))
        for word in retired_words_of(name)
    }
    assert found == set()


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


@pytest.mark.parametrize("path", modules(*CODE_FOLDERS), ids=name_of)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LONGEST_MODULE, f"{lines} lines; split it where it speaks of two things"


@pytest.mark.parametrize("path", modules(*CODE_FOLDERS), ids=name_of)
def test_a_module_is_named_for_what_it_holds(path: Path) -> None:
    if path.relative_to(REPOSITORY) in NAMED_BY_OTHERS:
        return
    stem = path.stem.removeprefix("test_").strip("_")
    assert stem not in BANNED_FILE_NAMES, "name the noun that it is about"


@pytest.mark.parametrize("path", modules("pbxbill", "lab", "demo", "bench"), ids=name_of)
def test_a_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(syntax_of(path)), "say what it owns and its place in the flow"


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
