"""What docs/limits.md and docs/destinations.md show is what the commands say."""

import re
import shlex
from pathlib import Path

from tests.store.command_line import Ok

DOCS = Path(__file__).parent.parent.parent / "docs"


def shown_in(page: str) -> list[tuple[list[str], str]]:
    """Each command with what it prints."""
    blocks = re.findall(r"(?:^    .*\n)+", (DOCS / page).read_text(), re.MULTILINE)
    lines = [line.removeprefix("    ") for block in blocks for line in block.splitlines()]
    found: list[tuple[list[str], str]] = []
    for line in lines:
        if line.startswith("$ pbxbill "):
            found.append((shlex.split(line)[2:], ""))
        else:
            words, said = found.pop()
            found.append((words, f"{said}{line}\n"))
    return found


def test_the_pages_show_what_happens(ok: Ok, tmp_path: Path) -> None:
    ok("init")
    ok("accounts", "add", "acme", "--kind", "reseller", "--mode", "postpaid", "--unit", "EUR")
    ok("accounts", "add", "alice", "--parent", "acme", "--unit", "EUR", "--sip", "2001")
    page = (DOCS / "destinations.md").read_text()
    (tmp_path / "destinations.csv").write_text(page.split("```csv\n")[1].split("```")[0])
    (tmp_path / "rule.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    ok("dialling", "set", "from-file", "--file", "rule.toml")
    examples = shown_in("destinations.md") + shown_in("limits.md")
    assert len(examples) > 10
    for words, said in examples:
        assert ok(*words) == said
