"""Pages of documents whose commands are run at the moments that they name, and say what the pages say."""

import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from pbxbill.clock import SECOND_US, ManualClock
from tests.store.command_line import Run

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(
    r"<!-- (?:[^>]*\. )?(\d{4}-\d\d-\d\d \d\d:\d\d) -->|```(console|toml|text)(?: (\S+))?\n(.*?)```",
    re.DOTALL,
)


def moment_us(text: str) -> int:
    """2026-01-01 08:00, in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_US


def plain(text: str) -> str:
    """Without what only puts it into columns."""
    return " ".join(text.split())


def follow(
    page: str,
    pbxbill: Run,
    clock: ManualClock,
    folder: Path,
    texts: Callable[[Path, list[str]], None] = lambda file, lines: None,
) -> int:
    """Write the page's files, move the clock to its moments, run its commands; how many.

    texts: is given the file that a text block says the words of.
    """
    commands = 0
    for moment, language, name, text in _BLOCK.findall(page):
        if moment:
            clock.step(moment_us(moment) - clock.now_us())
        elif language == "toml":
            (folder / name).write_text(text)
        elif language == "text":
            texts(folder / name, text.splitlines())
        else:
            commands += _run(pbxbill, text.splitlines())
    return commands


def _run(pbxbill: Run, said: list[str]) -> int:
    output, commands = "", 0
    for line, following in pairwise([*said, ""]):
        if line.startswith("$ pbxbill "):
            result = pbxbill(*shlex.split(line.removeprefix("$ pbxbill ")))
            refused = following.startswith("pbxbill: ")
            assert result.exit_code == (2 if refused else 0), (line, result.output)
            output = plain(result.output)
            commands += 1
        else:
            assert plain(line) in output, (line, output)
    return commands
