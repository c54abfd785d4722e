"""Accounts that together have every term: bands, steps, bundles, mark-ups, wallets, limits, carriers.

reseller pays by wholesale (day 0.06 and evening 0.03 in Berlin, never more than 1.00 a call); below it alice
by a mark-up of 50 % with tax, from dollars first, with a bundle of 100 seconds and 10.00 EUR a day. dave pays
less from the 100th second of a month on, for what is beyond; vera then for all of it.
"""

from dataclasses import replace

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Extend, Granted, Settle
from pbxbill.money import Unit, compile_price, parse_decimal
from pbxbill.rating.bands import BandCalendar, BandRule
from pbxbill.rating.tariff import (
    BandPrice,
    CycleStepKind,
    CycleSteps,
    MarkUp,
    RateTerms,
    Step,
    TaxMode,
)
from pbxbill.store.accounts import (
    NewAccount,
    add_endpoint,
    ensure_unit,
    open_account,
    open_operator,
    open_wallet,
)
from pbxbill.store.bundles import NewBundle, add_bundle, give_bundle
from pbxbill.store.calendars import set_calendar
from pbxbill.store.carriers import put_carrier, set_gateway
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.exchange import ExchangeWriter, NewExchangeRate
from pbxbill.store.limits import NewLimit, set_limit
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import GERMANY, BilledAccounts

SECOND_US = 1_000_000
ORDER = ("USD", "EUR")


def price(text: str) -> int:
    return compile_price(parse_decimal(text))


def wholesale(day: str = "0.06", evening: str = "0.03") -> NewRate:
    terms = RateTerms(
        bands=(("evening", BandPrice(price(evening), initial_increment_s=1)),),
        maximum_charge=price("1"),
    )
    return NewRate("49", "Germany", price(day), price("0.01"), terms=terms)


def add_deck(session, name: str, *rates: NewRate) -> None:
    add_deck_version(
        session,
        deck_name=name,
        unit="EUR",
        rates=rates,
        effective_from_us=0,
        source=f"{name}.csv",
        now_us=0,
    )


def change_deck(url: str, name: str, *rates: NewRate) -> None:
    """A version that should have been in force since ever."""
    database = open_engine(url)
    with transaction(database) as session:
        add_deck(session, name, *rates)
    database.dispose()


def open_every_term(url: str) -> BilledAccounts:
    """Everybody has money."""
    database = open_engine(url)
    opened = BilledAccounts(url)
    cycle = (Step(0, price("0.12")), Step(100, price("0.06")))
    with transaction(database) as session:
        ensure_unit(session, EUR)
        ensure_unit(session, Unit("USD"))
        open_operator(session, "Operator", 0)
        writer = ExchangeWriter(session, "bank", 0)
        writer.add(NewExchangeRate("EUR", "USD", 1_100_000_000, 0))
        writer.finish()
        rules = (BandRule("evening", from_s=18 * 3600, to_s=6 * 3600),)
        set_calendar(session, BandCalendar(0, "Berlin", "Europe/Berlin", rules), 0)
        add_deck(session, "wholesale", wholesale())
        add_deck(session, "flat", NewRate("49", "Germany", price("0.12"), free_s=5))
        add_deck(session, "carrier", NewRate("49", "Germany", price("0.02")))
        add_tariff_version(session, NewTariff("wholesale", "wholesale", calendar="Berlin"), 0)
        half = MarkUp(500_000, 0, 10**8)
        taxed = NewTariff(
            "retail", None, TaxMode.EXCLUSIVE, 190_000, mark_up=half, unit="EUR", calendar="Berlin"
        )
        add_tariff_version(session, taxed, 0)
        for kind in CycleStepKind:
            steps = CycleSteps(kind, "month", "UTC", cycle)
            add_tariff_version(session, NewTariff(kind.value, "flat", cycle_steps=steps), 0)
        add_tariff_version(session, NewTariff("carrier", "carrier"), 0)
        carrier, _ = put_carrier(session, "Telco", "carrier")
        set_gateway(session, "gw", carrier)
        for new, funds in (
            (NewAccount("reseller", "Reseller", kind="reseller", mode="postpaid", tariff="wholesale"), "100"),
            (
                NewAccount("alice", "Alice", parent="reseller", tariff="retail", wallet_order=("USD", "EUR")),
                "50",
            ),
            (NewAccount("dave", "Dave", tariff="graduated"), "50"),
            (NewAccount("vera", "Vera", tariff="volume"), "50"),
        ):
            account = open_account(session, new, 0)
            open_wallet(session, account, "EUR", credit_limit=eur(funds))
            add_endpoint(session, account, "sip", new.code)
            opened.ids[new.code] = account.id
            if new.code == "alice":
                open_wallet(session, account, "USD", credit_limit=eur("0.05"))
                bundle = add_bundle(session, NewBundle("Hundred", "seconds", 100))
                give_bundle(session, account, bundle, 0)
                set_limit(session, account, NewLimit("spend", eur("10"), "EUR", "day", zone="UTC"))
    database.dispose()
    return opened


def talk(
    accounts: BilledAccounts,
    engine: ChargingEngine,
    code: str,
    seconds: int,
    at_us: int,
    number: str = GERMANY,
) -> str:
    """A call that is answered, extended and ended; its session."""
    session_id = alive(accounts, engine, code, seconds, at_us, number)
    engine.execute(Settle(session_id, at_us, at_us + seconds * SECOND_US, 16, gateway="gw"))
    return session_id


def alive(
    accounts: BilledAccounts,
    engine: ChargingEngine,
    code: str,
    seconds: int,
    at_us: int,
    number: str = GERMANY,
) -> str:
    """A call that goes on."""
    request = replace(accounts.request(code, number), at_us=at_us)
    granted = engine.execute(request)
    assert isinstance(granted, Granted), granted
    engine.execute(Answer(request.session_id, at_us, "leg"))
    engine.execute(Extend(request.session_id, seconds * SECOND_US, at_us))
    return request.session_id
