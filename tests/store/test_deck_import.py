"""A deck that is being imported counts all at once, and nobody waits for it."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.decks import ROWS_PER_STATEMENT, NewRate, import_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction


def test_calls_are_rated_by_the_old_version_until_the_new_one_is_whole(database_url: str) -> None:
    database = open_engine(database_url)
    with transaction(database) as session:
        ensure_unit(session, Unit("EUR"))
        open_operator(session, "Operator", 0)
    with closing(connect(database_url)) as driver:
        catalogue = LoadedCatalogue(lambda: connect(database_url), serving=True)

        def destination() -> str | None:
            catalogue.refresh(driver, 0)
            rate = catalogue.find_rate(1, "4930", 10**16)
            return None if rate is None else rate.destination

        def rates(name: str) -> Iterator[NewRate]:
            yield NewRate("49", name, 1)
            for number in range(ROWS_PER_STATEMENT):
                yield NewRate(f"1{number}", "elsewhere", 1)
            seen.append(destination())
            with transaction(database) as session:  # another process writes meanwhile, and need not wait
                ensure_unit(session, Unit(f"X{len(seen)}"))
            seen.append(destination())

        seen: list[str | None] = []
        arguments: dict[str, Any] = {
            "deck_name": "d",
            "unit": "EUR",
            "effective_from_us": 0,
            "source": "",
            "now_us": 0,
        }
        import_deck_version(database, rates=rates("first"), **arguments)
        assert seen == [None, None]
        assert destination() == "first"
        import_deck_version(database, rates=rates("second"), **arguments)
        assert seen == [None, None, "first", "first"]
        assert destination() == "second"
        with pytest.raises(InputRefused, match="no usable row"):
            import_deck_version(database, rates=[], **arguments)
        assert destination() == "second"
    database.dispose()
