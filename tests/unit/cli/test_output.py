"""Tables on terminals: nothing is cut off, and no name or moment is broken where there is another way."""

import io

import pytest
from rich.console import Console

from pbxbill.cli import output

COLUMNS = ("Job", "Next", ">Amount", "", "What it is for")
ROWS = [("old-deliveries", "2026-11-22T13:46:08.278Z", "50.00", "EUR", "webhooks of long ago are forgotten")]


def shown(width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """What a terminal of a width shows."""
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(output, "console", lambda: screen)
    output.print_table("Jobs", COLUMNS, ROWS)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_wide_terminal_shows_a_row_on_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = [x for x in shown(140, monkeypatch).splitlines() if "old-deliveries" in x]
    assert "2026-11-22T13:46:08.278Z" in line
    assert "webhooks of long ago are forgotten" in line


def test_words_are_broken_between_them_where_there_is_less_room(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(80, monkeypatch)
    assert "old-deliveries" in text
    assert "2026-11-22T13:46:08.278Z" in text
    assert "forgotten" in text
    assert max(len(x) for x in text.splitlines()) <= 80


def test_a_narrow_terminal_shows_a_line_for_each_column(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(50, monkeypatch)
    assert [line.split() for line in text.splitlines() if line.strip()] == [
        ["Jobs"],
        ["Job", "old-deliveries"],
        ["Next", "2026-11-22T13:46:08.278Z"],
        ["Amount", "50.00", "EUR"],
        ["What", "it", "is", "for", "webhooks", "of", "long", "ago", "are", "forgotten"],
    ]
