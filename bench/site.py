"""An operator to measure with: accounts that hold money, a deck of made-up prefixes, taxed tariffs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pbxbill.clock import SystemClock
from pbxbill.money import PRICE_SCALE, Unit
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
from pbxbill.store.engine import migrate, open_engine, transaction
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version

UNIT = Unit("EUR")
EUR = 10**UNIT.scale
CENT_PER_MIN = 10**PRICE_SCALE // 100


@dataclass(frozen=True, slots=True)
class Increments:
    """initial/following, as 60/60."""

    initial_s: int
    following_s: int

    def __str__(self) -> str:
        return f"{self.initial_s}/{self.following_s}"


@dataclass(frozen=True, slots=True)
class OpenedWallet:
    """What a bench must know of an account's wallet; its code is also its SIP account code."""

    code: str
    account_id: int
    wallet_id: int
    ledger_account_id: int


@contextmanager
def temporary_sqlite() -> Iterator[str]:
    """The URL of an SQLite database with the newest schema, in the temporary folder (TMPDIR moves it)."""
    with tempfile.TemporaryDirectory(prefix="pbxbill-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'pbxbill.db'}"
        migrate(url)
        yield url


def made_up_prefixes(count: int) -> list[str]:
    """Different prefixes of 4 to 8 digits; the same ones in every run."""
    random = Random(count)
    prefixes: set[str] = set()
    while len(prefixes) < count:
        prefixes.add(str(random.randrange(10**3, 10 ** random.randrange(5, 9))))
    return sorted(prefixes)


def made_up_rates(count: int, increments: Increments) -> list[NewRate]:
    """Made-up prefixes at 1 to 30 cents a minute."""
    random = Random(count)
    return [
        NewRate(
            prefix,
            f"Zone {prefix[:3]}",
            random.randrange(1, 31) * CENT_PER_MIN,
            initial_increment_s=increments.initial_s,
            following_increment_s=increments.following_s,
        )
        for prefix in made_up_prefixes(count)
    ]


def open_site(
    url: str,
    rates: Sequence[NewRate],
    customers: Sequence[str],
    *,
    reseller: bool = False,
    credit_limit: int = 0,
) -> list[OpenedWallet]:
    """An operator whose prepaid customers, each with a wallet, call by one tariff with 19 % tax on top.

    With a reseller the customers are his, and he pays the same prices without tax; his wallet comes first.
    """
    now_us = SystemClock().now_us()
    engine = open_engine(url)
    opened = []
    with transaction(engine) as session:
        ensure_unit(session, UNIT)
        open_operator(session, "Operator", now_us)
        add_deck_version(
            session,
            deck_name="deck",
            unit=UNIT.code,
            rates=rates,
            effective_from_us=0,
            source="made up",
            now_us=now_us,
        )
        retail = NewTariff("retail", "deck", TaxMode.EXCLUSIVE, tax_ppm=190_000)
        add_tariff_version(session, retail, now_us)
        if reseller:
            add_tariff_version(session, NewTariff("wholesale", "deck"), now_us)
            above = NewAccount("reseller", "Reseller", kind="reseller", mode="postpaid", tariff="wholesale")
            account = open_account(session, above, now_us)
            opened.append(_opened(account, open_wallet(session, account, UNIT.code, credit_limit)))
        parent = "reseller" if reseller else None
        for code in customers:
            account = open_account(session, NewAccount(code, code, parent=parent, tariff="retail"), now_us)
            wallet = open_wallet(session, account, UNIT.code, credit_limit)
            add_endpoint(session, account, "sip", code)
            opened.append(_opened(account, wallet))
    engine.dispose()
    return opened


def _opened(account: AccountRow, wallet: WalletRow) -> OpenedWallet:
    return OpenedWallet(account.code, account.id, wallet.id, wallet.ledger_account_id)
