"""A deck that is being imported counts all at once, and nobody waits for it."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import Engine, func, select

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.accounts import ensure_unit, open_operator
from pbxbill.store.decks import ABANDONED_US, ROWS_PER_STATEMENT, NewDeckVersion, NewRate, import_deck_version
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import DeckVersionRow, RateDeckRow, RateRow


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
        clock = ManualClock()
        new = NewDeckVersion("d", "EUR", effective_from_us=0)
        import_deck_version(database, new, rates("first"), clock)
        assert seen == [None, None]
        assert destination() == "first"
        import_deck_version(database, new, rates("second"), clock)
        assert seen == [None, None, "first", "first"]
        assert destination() == "second"
        with pytest.raises(InputRefused, match="no usable row"):
            import_deck_version(database, new, [], clock)
        assert destination() == "second"
    database.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    with transaction(engine) as session:
        ensure_unit(session, Unit("EUR"))
        open_operator(session, "Operator", 0)
    yield engine
    engine.dispose()


def numbers(database: Engine) -> list[int]:
    with transaction(database) as session:
        return list(session.scalars(select(DeckVersionRow.number).order_by(DeckVersionRow.number)))


def test_an_import_that_is_interrupted_leaves_nothing(database: Engine) -> None:
    def interrupted() -> Iterator[NewRate]:
        for number in range(2 * ROWS_PER_STATEMENT):
            yield NewRate(f"1{number}", "elsewhere", 1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_deck_version(database, NewDeckVersion("d", "EUR"), interrupted(), ManualClock())
    with transaction(database) as session:
        counts = [
            session.scalar(select(func.count()).select_from(t))
            for t in (RateDeckRow, DeckVersionRow, RateRow)
        ]
    assert counts == [0, 0, 0]


def test_what_a_killed_import_left_is_taken_away_by_the_next(database: Engine) -> None:
    clock = ManualClock()
    new = NewDeckVersion("d", "EUR")
    import_deck_version(database, new, [NewRate("49", "Germany", 1)], clock)
    with transaction(database) as session:  # as a kill leaves it
        version = DeckVersionRow(
            deck_id=1, number=2, effective_from_us=0, created_us=clock.now_us(), source="", rate_count=0
        )
        session.add(version)
        session.flush()
        session.add(
            RateRow(
                deck_version_id=version.id,
                **{name: getattr(NewRate("1", "left", 1), name) for name in NewRate.__slots__},
            )
        )
    import_deck_version(database, new, [NewRate("49", "Germany", 2)], clock)  # it may be alive
    assert numbers(database) == [1, 2, 3]
    clock.advance(ABANDONED_US + 1)
    import_deck_version(database, new, [NewRate("49", "Germany", 3)], clock)
    assert numbers(database) == [1, 3, 4]
    with transaction(database) as session:
        assert session.scalars(select(RateRow.destination)).all() == ["Germany"] * 3


def test_an_import_that_slept_until_it_was_cleared_away_writes_nothing_more(database: Engine) -> None:
    clock = ManualClock()

    def sleepy() -> Iterator[NewRate]:
        for number in range(ROWS_PER_STATEMENT):
            yield NewRate(f"1{number}", "elsewhere", 1)
        clock.advance(2 * ABANDONED_US)
        import_deck_version(database, NewDeckVersion("other", "EUR"), [NewRate("49", "Germany", 1)], clock)
        yield NewRate("2", "elsewhere", 1)

    with pytest.raises(InputRefused, match="stood still for so long"):
        import_deck_version(database, NewDeckVersion("d", "EUR"), sleepy(), clock)
    with transaction(database) as session:
        assert session.scalars(select(RateDeckRow.name)).all() == ["other"]
        assert session.scalars(select(RateRow.prefix)).all() == ["49"]


def test_a_version_made_from_another_than_the_newest_is_refused(database: Engine) -> None:
    clock = ManualClock()
    rates = [NewRate("49", "Germany", 1)]
    import_deck_version(database, NewDeckVersion("d", "EUR", follows=0), rates, clock)
    with pytest.raises(InputRefused, match="got another version meanwhile"):
        import_deck_version(database, NewDeckVersion("d", "EUR", follows=0), rates, clock)
    import_deck_version(database, NewDeckVersion("d", "EUR", follows=1), rates, clock)
    assert numbers(database) == [1, 2]


def test_a_deck_of_messages_stays_one(database: Engine) -> None:
    clock = ManualClock()
    rates = [NewRate("49", "Germany", 1)]
    import_deck_version(database, NewDeckVersion("sms", "EUR", measure="messages"), rates, clock)
    import_deck_version(database, NewDeckVersion("sms", "EUR"), rates, clock)
    with pytest.raises(InputRefused, match="has prices per 1 messages, which cannot be changed"):
        import_deck_version(database, NewDeckVersion("sms", "EUR", measure="seconds"), rates, clock)
