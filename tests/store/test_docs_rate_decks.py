"""docs/rate-decks.md: its files are written, its commands run, and their output is what the page says."""

import re
import shlex
from pathlib import Path

from tests.store.command_line import Ok, Run

PAGE = Path(__file__).parents[2] / "docs" / "rate-decks.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_page_says_what_happens(pbxbill: Run, ok: Ok, tmp_path: Path) -> None:
    ok("init")
    commands = 0
    for kind, name, body in BLOCK.findall(PAGE.read_text()):
        if name:
            encoding = "windows-1252" if name == "acme.csv" else "utf-8"
            (tmp_path / name).write_text(body, encoding=encoding)
            continue
        assert kind == "console"
        output = ""
        for line in body.splitlines():
            if line.startswith("$ pbxbill "):
                result = pbxbill(*shlex.split(line.removeprefix("$ pbxbill ")))
                assert result.exit_code in (0, 2, 3), result.output
                output = plain(result.output)
                commands += 1
            else:
                assert plain(line) in output, line
    assert commands == 16
