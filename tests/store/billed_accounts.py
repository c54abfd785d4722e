"""A few accounts in a real database, for tests of the engine: Germany and France, with a reseller."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Direction, Granted, Settle, TopUp
from pbxbill.clock import SystemClock
from pbxbill.ids import new_id
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.accounts import (
    NewAccount,
    add_endpoint,
    ensure_unit,
    open_account,
    open_operator,
    open_wallet,
)
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.driver import Row, connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.books_in_order import problems_of
from tests.database_contents import Contents
from tests.small_operator import EUR, eur

GERMANY = "493012345"
FRANCE = "33612345"
MINUTE_US = 60_000_000
CLOCK = SystemClock()


def rate(prefix: str, name: str, price: str, fee: str = "0", increments: str = "1/1") -> NewRate:
    initial_s, following_s = map(int, increments.split("/"))
    amounts = [compile_price(parse_decimal(text)) for text in (price, fee)]
    return NewRate(prefix, name, amounts[0], amounts[1], 0, initial_s, following_s)


@dataclass
class BilledAccounts:
    """Ids by code, and shortcuts to what a test asks for again and again."""

    url: str
    ids: dict[str, int] = field(default_factory=dict)

    def request(self, code: str, number: str = GERMANY, session_id: str = "") -> Authorize:
        session_id = session_id or new_id()
        now_us = CLOCK.now_us()
        return Authorize(session_id, "s1", session_id, Direction.OUTBOUND, number, "", now_us, code)

    def select(self, statement: str) -> list[Row]:
        driver = connect(self.url)
        try:
            return driver.select(statement)
        finally:
            driver.close()

    def wallet(self, code: str) -> tuple[int, int, int]:
        """posted, reserved and overdraft."""
        statement = f"SELECT posted, reserved, overdraft FROM wallets WHERE account_id = {self.ids[code]}"
        ((posted, reserved, overdraft),) = self.select(statement)
        return posted, reserved, overdraft

    def problems(self) -> list[str]:
        """Everything that verify finds."""
        return problems_of(self.url, CLOCK)

    @contextmanager
    def engine(self) -> Iterator[ChargingEngine]:
        engine = ChargingEngine(lambda: connect(self.url), CLOCK)
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()

    def call(self, engine: ChargingEngine, code: str, number: str = GERMANY) -> Granted:
        """A call that must be granted."""
        granted = engine.execute(self.request(code, number))
        assert isinstance(granted, Granted), granted
        return granted

    def top_up(self, code: str, amount: str) -> None:
        """Money that was there before any call."""
        with self.engine() as engine:
            engine.execute(TopUp(new_id(), self.ids[code], "EUR", eur(amount), 1))


def talk_to_germany_and_france(accounts: BilledAccounts) -> None:
    """alice and bob get 5 EUR each and call: two minutes to Germany, one to France."""
    for code in ("alice", "bob"):
        accounts.top_up(code, "5")
    now_us = CLOCK.now_us()
    with accounts.engine() as engine:
        for code in ("alice", "bob"):
            for number, lasts_us in ((GERMANY, 2 * MINUTE_US), (FRANCE, MINUTE_US)):
                session_id = accounts.call(engine, code, number).session_id
                engine.execute(Answer(session_id, now_us, "leg"))
                engine.execute(Settle(session_id, now_us, now_us + lasts_us, 16))


def open_accounts(url: str) -> BilledAccounts:
    """reseller > alice (with tax), bob and hot (prepaid), carol (postpaid); their codes are SIP codes."""
    database = open_engine(url)
    opened = BilledAccounts(url)
    retail = [rate("49", "Germany", "0.12"), rate("33", "France", "0.30", "0.05", "60/60")]
    wholesale = [rate("49", "Germany", "0.06"), rate("33", "France", "0.15", "0", "60/60")]
    with transaction(database) as session:
        ensure_unit(session, EUR)
        open_operator(session, "Operator", 0)
        for name, rates in (("retail", retail), ("wholesale", wholesale)):
            add_deck_version(
                session,
                deck_name=name,
                unit="EUR",
                rates=rates,
                effective_from_us=0,
                source=f"{name}.csv",
                now_us=0,
            )
        add_tariff_version(session, NewTariff("plain", "retail"), 0)
        taxed = NewTariff("taxed", "retail", tax_mode=TaxMode.EXCLUSIVE, tax_ppm=190_000)
        add_tariff_version(session, taxed, 0)
        add_tariff_version(session, NewTariff("wholesale", "wholesale"), 0)
        for new, limit in (
            (
                NewAccount("reseller", "Reseller", kind="reseller", mode="postpaid", tariff="wholesale"),
                "1000",
            ),
            (NewAccount("alice", "Alice", parent="reseller", tariff="taxed"), "0"),
            (NewAccount("bob", "Bob", tariff="plain"), "0"),
            (NewAccount("hot", "Hot", tariff="plain"), "0"),
            (NewAccount("carol", "Carol", mode="postpaid", tariff="plain", offline_allowance=eur("5")), "20"),
        ):
            account = open_account(session, new, 0)
            open_wallet(session, account, "EUR", credit_limit=eur(limit))
            add_endpoint(session, account, "sip", new.code)
            opened.ids[new.code] = account.id
    database.dispose()
    return opened


OPENED = Contents("accounts", open_accounts)


def opened_accounts(url: str) -> BilledAccounts:
    """Those of open_accounts, which another has called on this database."""
    found = BilledAccounts(url)
    found.ids.update(found.select("SELECT code, id FROM accounts WHERE kind <> 'operator' ORDER BY id"))
    return found
