"""docs/destinations.md teaches by examples: they hold."""

from pathlib import Path

import pytest

from pbxbill.rating.destination import DiallingRule, is_emergency, to_e164
from pbxbill.rating.destination_map import DestinationMap

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "destinations.md"
RULES = {
    "berlin": DiallingRule(
        "berlin", "DE", area_code="30", short_codes=(("22833", "22833"), ("*11", "4930555111"))
    ),
    "germany": DiallingRule("germany", "DE"),
    "newyork": DiallingRule("newyork", "US", area_code="212"),
    "office": DiallingRule("office", "DE", technical_prefix="9911", emergency_numbers=("19222",)),
    "DE, area code 30": DiallingRule("berlin", "DE", area_code="30"),
    "DE": DiallingRule("germany", "DE"),
    "no rule": None,
}


def rows_below(header: str) -> list[list[str]]:
    table = PAGE.read_text().split(header, 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("cells", rows_below("| rule | dialled | called | emergency | |"), ids=" ".join)
def test_numbers_are_called_as_documented(cells: list[str]) -> None:
    rule, dialled, called, emergency, _ = cells
    assert to_e164(dialled, RULES[rule]) == called
    assert is_emergency(dialled, RULES[rule]) is (emergency == "yes")


@pytest.mark.parametrize("cells", rows_below("| number | account's country | class |"), ids=" ".join)
def test_numbers_without_a_row_have_the_documented_class(cells: list[str]) -> None:
    number, home, kind = cells
    assert DestinationMap().classify(number, RULES[home]).kind == kind
