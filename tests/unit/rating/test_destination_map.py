"""Where a number leads: by rows, else by what is public of its plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import DiallingRule
from pbxbill.rating.destination_map import Destination, DestinationMap, matches
from pbxbill.rating.number_plan import region_of

BERLIN = DiallingRule("berlin", "DE", area_code="30", short_codes=(("22833", "22833"),))
ROWS = [
    ("49", "Germany", "national"),
    ("4930", "Berlin", "local"),
    ("4915", "Germany mobile", "mobile"),
    ("49900", "Germany premium", "premium"),
    ("8816", "Iridium", "satellite"),
    ("1", "USA", "international"),
]


@pytest.mark.parametrize(
    "number, name",
    [
        ("4930123", "Berlin"),
        ("493", "Germany"),
        ("4931", "Germany"),
        ("49301234567890", "Berlin"),
        ("491512345", "Germany mobile"),
        ("48", None),
        ("5", None),
        ("4", None),
        ("881612345", "Iridium"),
        ("8815", None),
        ("1", "USA"),
    ],
)
def test_the_longest_prefix_decides(number: str, name: str | None) -> None:
    found = DestinationMap(ROWS).find(number)
    assert (found.name if found else None) == name


PREFIXES = st.text(alphabet="0123", min_size=1, max_size=5)


@given(st.sets(PREFIXES, max_size=60), st.text(alphabet="0123", min_size=1, max_size=8))
def test_find_is_the_longest_prefix_by_definition(prefixes: set[str], number: str) -> None:
    found = DestinationMap((prefix, prefix, "national") for prefix in prefixes).find(number)
    fitting = [prefix for prefix in prefixes if number.startswith(prefix)]
    assert (found.prefix if found else "") == max(fitting, key=len, default="")
    assert found is None or found.name == found.prefix


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("49", "a", "national"), ("49", "b", "national")], "prefix 49 stands twice"),
        ([("", "a", "national")], "is not 1 to 15 digits"),
        ([("+49", "a", "national")], "is not 1 to 15 digits"),
        ([("4" * 16, "a", "national")], "is not 1 to 15 digits"),
    ],
)
def test_rows_that_cannot_be_looked_up_are_refused(rows: list, message: str) -> None:
    with pytest.raises(InputRefused, match=message):
        DestinationMap(rows)


@pytest.mark.parametrize(
    "number, kind, region, foreign",
    [
        ("4930123456", "local", "DE", False),
        ("4989123456", "national", "DE", False),
        ("4915123456789", "mobile", "DE", False),
        ("498001234567", "toll_free", "DE", False),
        ("499001234567", "premium", "DE", False),
        ("491801234567", "shared_cost", "DE", False),
        ("4970012345678", "special", "DE", False),
        ("33612345678", "international", "FR", True),
        ("33140205050", "international", "FR", True),
        ("447400123456", "international", "GB", True),
        ("447624312345", "international", "IM", True),
        ("14155552671", "international", "US", True),
        ("18763123456", "international", "JM", True),
        ("19005551234", "premium", "US", True),
        ("881612345678", "satellite", "881", True),
        ("979123456789", "premium", "979", True),
        ("80012345678", "toll_free", "800", True),
        ("999123", "international", "ZZ", True),
        ("110", "emergency", "DE", False),
        ("22833", "special", "DE", False),
    ],
)
def test_what_no_row_names_has_the_class_of_its_plan(
    number: str, kind: str, region: str, foreign: bool
) -> None:
    found = DestinationMap().classify(number, BERLIN)
    assert found == Destination("", kind, "", region, foreign)


def test_a_row_names_a_number_and_its_plan_says_where_it_lies() -> None:
    destinations = DestinationMap(ROWS)
    assert destinations.classify("18763123456", BERLIN) == ("USA", "international", "1", "JM", True)
    assert destinations.classify("4930123456", BERLIN) == ("Berlin", "local", "4930", "DE", False)
    # A short code that is kept is not Togo's, even where a row for Togo's code stands.
    togo = DestinationMap([("228", "Togo", "international")])
    assert togo.classify("22833", BERLIN) == ("", "special", "", "DE", False)
    own = DestinationMap([("228", "Togo", "international"), ("22833", "Taxi", "special")])
    assert own.classify("22833", BERLIN).name == "Taxi"


def test_without_a_dialling_rule_nobody_is_at_home() -> None:
    assert DestinationMap().classify("4930123456") == Destination("", "international", "", "DE", None)
    assert DestinationMap(ROWS).classify("4930123456") == Destination("Berlin", "local", "4930", "DE", None)


@pytest.mark.parametrize(
    "number, region",
    [
        ("4930123456", "DE"),
        ("49", "DE"),
        ("14155552671", "US"),
        ("16132345678", "CA"),
        ("1", "1"),
        ("10000000000", "1"),
        ("74951234567", "RU"),
        ("77012345678", "KZ"),
        ("441481960194", "GG"),
        ("883130123", "883"),
        ("0", "ZZ"),
        ("999", "ZZ"),
    ],
)
def test_a_number_has_a_country(number: str, region: str) -> None:
    assert region_of(number) == region


@given(st.text(alphabet="0123456789", min_size=1, max_size=15))
def test_every_number_has_a_class_and_a_region_that_a_database_takes(number: str) -> None:
    found = DestinationMap(ROWS).classify(number, BERLIN)
    assert found.kind
    assert 1 <= len(found.region) <= 4


BERLIN_CALL = Destination("Berlin", "local", "4930", "DE", False)
FOREIGN_PREMIUM = Destination("", "premium", "", "US", True)


@pytest.mark.parametrize(
    "wanted, number, destination, found, broadly_found",
    [
        ((), "4930", BERLIN_CALL, True, True),
        (("Berlin",), "4930", BERLIN_CALL, True, True),
        (("berlin",), "4930", BERLIN_CALL, True, True),
        (("local",), "4930", BERLIN_CALL, True, True),
        (("Munich", "mobile"), "4930", BERLIN_CALL, False, False),
        (("49",), "4930", BERLIN_CALL, True, True),
        (("+4930",), "4930", BERLIN_CALL, True, True),
        (("4931", "50"), "4930", BERLIN_CALL, False, False),
        (("premium",), "1900", FOREIGN_PREMIUM, True, True),
        (("international",), "1900", FOREIGN_PREMIUM, False, True),
        (("toll-free",), "49800", Destination("", "toll_free"), True, True),
        (("international",), "1900", Destination("", "premium", "", "US", None), False, False),
    ],
)
def test_names_classes_and_prefixes_choose(
    wanted: tuple[str, ...], number: str, destination: Destination, found: bool, broadly_found: bool
) -> None:
    assert matches(wanted, number, destination) is found
    assert matches(wanted, number, destination, broadly=True) is broadly_found
