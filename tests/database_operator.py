"""A small operator in a real database: one reseller, one prepaid customer below it, both in EUR."""

from dataclasses import dataclass

from pbxbill.clock import Clock, SystemClock
from pbxbill.money import Unit, compile_price, parse_decimal
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
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version

EUR = Unit("EUR")


@dataclass(frozen=True, slots=True)
class DatabaseOperator:
    """Ids of what was opened."""

    reseller_id: int
    customer_id: int
    customer_wallet_id: int
    reseller_wallet_id: int


def open_database_operator(url: str, clock: Clock | None = None) -> DatabaseOperator:
    """Germany at 0.60/min retail with 20 % tax on top, 0.30/min wholesale, both 1/1; SIP code "alice"."""
    now_us = (clock or SystemClock()).now_us()
    database = open_engine(url)
    with transaction(database) as session:
        ensure_unit(session, EUR)
        open_operator(session, "Operator", now_us)
        for name, price in (("retail", "0.60"), ("wholesale", "0.30")):
            rates = [NewRate("49", "Germany", compile_price(parse_decimal(price)))]
            add_deck_version(
                session,
                deck_name=name,
                unit="EUR",
                rates=rates,
                effective_from_us=0,
                source="test",
                now_us=now_us,
            )
        taxed = NewTariff("retail", "retail", tax_mode=TaxMode.EXCLUSIVE, tax_ppm=200_000)
        add_tariff_version(session, taxed, now_us)
        add_tariff_version(session, NewTariff("wholesale", "wholesale"), now_us)
        reseller = NewAccount("reseller", "Reseller", kind="reseller", mode="postpaid", tariff="wholesale")
        parent = open_account(session, reseller, now_us)
        reseller_wallet = open_wallet(session, parent, "EUR", credit_limit=1_000_000_000)
        customer = open_account(
            session, NewAccount("alice", "Alice", parent="reseller", tariff="retail"), now_us
        )
        customer_wallet = open_wallet(session, customer, "EUR")
        add_endpoint(session, customer, "sip", "alice")
        opened = DatabaseOperator(parent.id, customer.id, customer_wallet.id, reseller_wallet.id)
    database.dispose()
    return opened
