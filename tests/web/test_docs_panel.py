"""docs/panel.md: the example says what pages say, and its pictures are there."""

import re
from pathlib import Path

from lab.messages import texts

DOCS = Path(__file__).parents[2] / "docs"
LARGEST = 120_000
EXAMPLE = re.search(r"## An example.*?(?=\n## )", (DOCS / "panel.md").read_text(), re.DOTALL)


def test_what_is_to_be_pressed_is_on_the_pages() -> None:
    assert EXAMPLE is not None
    known = {x.id if isinstance(x.id, str) else x.id[0] for x in texts() if x.id and x.context is None}
    named = set(re.findall(r"\*\*(.+?)\*\*", EXAMPLE[0]))
    assert len(named) > 15
    assert named - known == set()


def test_pictures_are_there_and_small() -> None:
    shown = [
        (page, page.parent / link)
        for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md")
        for link in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text())
    ]
    assert len(shown) >= 9
    assert [str(link) for _, link in shown if not link.is_file()] == []
    assert [str(link) for _, link in shown if link.stat().st_size > LARGEST] == []
    kept = {x.resolve() for x in (DOCS / "screens").glob("*.png")}
    assert kept == {link.resolve() for _, link in shown}
