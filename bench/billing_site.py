"""A site to bill: customers below resellers below resellers, so that each call is charged at three levels.

Rows are made here and written straight into the tables, in the form in which mediation leaves them and
`pbxbill verify` proves them: charging a million calls would take longer than billing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, select, text
from sqlalchemy.orm import Session

from bench.site import EUR, UNIT
from pbxbill.charging.batch import CDR_COLUMNS
from pbxbill.clock import SECOND_US
from pbxbill.ledger.accounts import LedgerCode
from pbxbill.money import PRICE_SCALE
from pbxbill.rating.tariff import TaxMode
from pbxbill.store import billing_models, catalogue_models, models
from pbxbill.store.accounts import bump_catalogue, ensure_chart, ensure_unit, open_operator
from pbxbill.store.decks import NewRate, add_deck_version
from pbxbill.store.driver import Driver, Row, connect
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.tariffs import NewTariff, add_tariff_version

FROM_US, TO_US = 1_767_225_600 * SECOND_US, 1_769_904_000 * SECOND_US
"""January 2026 in UTC: what is billed."""
CUSTOMERS, RESELLERS = 20, 5
"""Of a reseller, and of one who sells to resellers: their own invoices stay as large as the site grows."""
DESTINATIONS = (
    ("Germany", "national", "4930"),
    ("Germany mobile", "mobile", "4915"),
    ("France", "international", "331"),
)
CENTS = {"wholesale": 2, "resale": 3, "retail": 6}
"""A minute, by tariff."""
TAX_PPM = 190_000
"""On top of retail."""
MINUTE_US = 60 * SECOND_US
TOGETHER = 5_000
LIMIT = 10**6 * EUR
_CDR = CDR_COLUMNS
_ENTRY = ("id", "idempotency_key", "kind", "unit", "at_us", "memo", "reverses_id")
_POSTING = ("entry_id", "line", "ledger_account_id", "amount")


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to bill."""

    accounts: int
    """With the resellers, who are billed as well."""
    calls: int
    live: tuple[str, ...]
    """Codes of customers who have just come, below resellers who are billed."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """An account, and where what it is charged is posted."""

    id: int
    wallet_id: int
    book: int
    issuer_id: int


@dataclass(frozen=True, slots=True)
class _Tariff:
    version_id: int
    rate_ids: dict[str, int]
    """By prefix."""
    net_per_min: int
    tax_per_min: int


def open_billing_site(url: str, customers: int, calls: int, live: int = 0) -> Site:
    """Customers who made so many calls each in January 2026."""
    database = open_engine(url)
    with transaction(database) as session:
        operator = _open_catalogue(session)
        tariffs = {name: _tariff(session, name) for name in CENTS}
        tariff_ids = {row.name: row.id for row in session.scalars(select(models.TariffRow))}
        above = _open_tier(
            session, [operator] * -(-customers // (CUSTOMERS * RESELLERS)), "w", tariff_ids["wholesale"]
        )
        middle = _open_tier(
            session, _below(above, -(-customers // CUSTOMERS), RESELLERS), "r", tariff_ids["resale"]
        )
        below = _open_tier(session, _below(middle, customers, CUSTOMERS), "c", tariff_ids["retail"])
        sellers = [middle[number % len(middle)].id for number in range(live)]
        _open_tier(session, sellers, "l", tariff_ids["retail"], opened_us=TO_US)
        bump_catalogue(session)
    chains = _chains(above, middle, below)
    with transaction(database) as session:
        books = {
            (issuer_id, code): id
            for id, issuer_id, code in session.execute(
                select(*(getattr(models.LedgerAccountRow, x) for x in ("id", "issuer_id", "code"))).where(
                    models.LedgerAccountRow.holder_id == 0
                )
            )
        }
    _write_calls(
        database, url, chains, [tariffs[name] for name in ("retail", "resale", "wholesale")], books, calls
    )
    database.dispose()
    accounts = len(above) + len(middle) + len(below)
    return Site(accounts, customers * calls, tuple(f"l{number}" for number in range(live)))


def _open_catalogue(session: Session) -> int:
    ensure_unit(session, UNIT)
    operator = open_operator(session, "Operator", FROM_US)
    for name, cents in CENTS.items():
        price = cents * 10**PRICE_SCALE // 100
        rates = [NewRate(prefix, place, price, 0, 0, 60, 60) for place, _, prefix in DESTINATIONS]
        add_deck_version(
            session,
            deck_name=name,
            unit=UNIT.code,
            rates=rates,
            effective_from_us=0,
            source="",
            now_us=FROM_US,
        )
        taxed = (TaxMode.EXCLUSIVE, TAX_PPM) if name == "retail" else (TaxMode.NONE, 0)
        add_tariff_version(session, NewTariff(name, name, tax_mode=taxed[0], tax_ppm=taxed[1]), FROM_US)
    for place, kind, prefix in DESTINATIONS:
        row = catalogue_models.DestinationRow(name=place, kind=kind)
        session.add(row)
        session.flush()
        session.add(catalogue_models.DestinationPrefixRow(prefix=prefix, destination_id=row.id))
    ensure_chart(session, operator.id, UNIT.code)
    bump_catalogue(session, destinations=True)
    return operator.id


def _tariff(session: Session, name: str) -> _Tariff:
    version = session.scalars(
        select(models.TariffVersionRow).join(models.TariffRow).where(models.TariffRow.name == name)
    ).one()
    rates = session.scalars(
        select(models.RateRow)
        .join(models.DeckVersionRow, models.DeckVersionRow.id == models.RateRow.deck_version_id)
        .where(models.DeckVersionRow.deck_id == version.deck_id)
    )
    net = CENTS[name] * EUR // 100
    return _Tariff(version.id, {x.prefix: x.id for x in rates}, net, net * version.tax_ppm // 1_000_000)


def _below(issuers: Sequence[_Opened], count: int, each: int) -> list[int]:
    return [issuers[number // each].id for number in range(count)]


def _open_tier(
    session: Session, parents: Sequence[int], letter: str, tariff_id: int, opened_us: int = FROM_US
) -> list[_Opened]:
    """Accounts with wallets, and charts for those who sell on."""
    if not parents:
        return []
    kind = "reseller" if letter in "wr" else "customer"
    rows = [
        {
            "parent_id": parent,
            "path": "",
            "kind": kind,
            "code": f"{letter}{number}",
            "name": f"{kind.title()} {letter}{number}",
            "status": "active",
            "mode": "postpaid",
            "tariff_id": tariff_id,
            "language": "en",
            "failure_policy": "closed",
            "offline_allowance": 0,
            "created_us": opened_us,
        }
        for number, parent in enumerate(parents)
    ]
    ids = _inserted(session, models.AccountRow, rows)
    session.execute(
        text(
            "UPDATE accounts SET path = (SELECT p.path FROM accounts p WHERE p.id = accounts.parent_id) "
            "|| id || '/' WHERE path = ''"
        )
    )
    unit = UNIT.code
    book = {"code": str(LedgerCode.WALLET), "unit": unit}
    issued = list(zip(ids, parents, strict=True))
    books = _inserted(
        session,
        models.LedgerAccountRow,
        [book | {"issuer_id": parent, "holder_id": id} for id, parent in issued],
    )
    sums = {"posted": 0, "reserved": 0, "credit_limit": LIMIT, "overdraft": 0, "starved": False, "news": 0}
    wallets = _inserted(
        session,
        models.WalletRow,
        [
            sums | {"account_id": id, "unit": unit, "ledger_account_id": book_id, "told_us": 0}
            for id, book_id in zip(ids, books, strict=True)
        ],
    )
    if kind == "reseller":
        chart = [code for code in LedgerCode if code is not LedgerCode.WALLET]
        _inserted(
            session,
            models.LedgerAccountRow,
            [
                {"issuer_id": id, "code": str(code), "unit": unit, "holder_id": 0}
                for id in ids
                for code in chart
            ],
        )
    else:
        endpoints = [
            {"kind": "sip", "value": row["code"], "tech_prefix": "", "account_id": id}
            for id, row in zip(ids, rows, strict=True)
        ]
        _inserted(session, models.EndpointRow, endpoints)
    _open_profiles(session, ids, parents)
    return [_Opened(*x) for x in zip(ids, wallets, books, parents, strict=True)]


def _open_profiles(session: Session, ids: Sequence[int], parents: Sequence[int]) -> None:
    """Invoices are issued at once, with the tax of whoever sells."""
    said = {"invoicing": "issue", "next_us": TO_US}
    session.execute(insert(billing_models.BillingProfileRow), [said | {"account_id": id} for id in ids])
    known = set(session.scalars(select(billing_models.TaxRateRow.issuer_id)))
    rate = {"name": "VAT", "ppm": TAX_PPM, "category": "S", "product_class": "", "from_us": 0}
    fresh = [
        rate | {"issuer_id": id, "compound": False, "inclusive": False}
        for id in dict.fromkeys(parents)
        if id not in known
    ]
    if fresh:
        session.execute(insert(billing_models.TaxRateRow), fresh)


def _inserted(session: Session, model: Any, rows: list[dict[str, Any]]) -> list[int]:
    ids: list[int] = []
    for start in range(0, len(rows), TOGETHER):
        statement = insert(model).returning(model.id, sort_by_parameter_order=True)
        ids += session.scalars(statement, rows[start : start + TOGETHER])
    return ids


def _chains(
    above: Sequence[_Opened], middle: Sequence[_Opened], below: Sequence[_Opened]
) -> list[tuple[_Opened, _Opened, _Opened]]:
    known = {x.id: x for x in (*above, *middle)}
    return [(x, known[x.issuer_id], known[known[x.issuer_id].issuer_id]) for x in below]


def _write_calls(
    database: Engine,
    url: str,
    chains: Sequence[tuple[_Opened, ...]],
    tariffs: Sequence[_Tariff],
    books: dict[tuple[int, str], int],
    calls: int,
) -> None:
    """In the order of their time, as a switch makes them; indexes are made afterwards, which is quicker."""
    taken: dict[int, int] = {}
    tables: list[Any] = [
        model.__table__ for model in (models.CdrRow, models.JournalEntryRow, models.PostingRow)
    ]
    indexes = [index for table in tables for index in table.indexes]
    with database.begin() as connection:
        for index in indexes:
            index.drop(connection)
    driver = connect(url)
    batch = _Batch()
    for number in range(calls):
        for place, chain in enumerate(chains):
            batch.add(number * len(chains) + place, len(chains) * calls, chain, tariffs, books, taken)
            if len(batch.cdrs) >= TOGETHER:
                batch.write(driver)
    batch.write(driver)
    driver.begin()
    wallets: Any = models.WalletRow.__table__
    driver.update(wallets, ("id",), ("posted",), [(-gross, id) for id, gross in taken.items()])
    driver.commit()
    driver.close()
    with database.begin() as connection:
        for index in indexes:
            index.create(connection)
        if database.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")


class _Batch:
    """Rows that are written together."""

    def __init__(self) -> None:
        self.cdrs: list[Row] = []
        self.charges: list[Row] = []
        self.entries: list[Row] = []
        self.postings: list[Row] = []

    def add(
        self,
        number: int,
        of: int,
        chain: Sequence[_Opened],
        tariffs: Sequence[_Tariff],
        books: dict[tuple[int, str], int],
        taken: dict[int, int],
    ) -> None:
        minutes = 1 + number % 5
        started_us = FROM_US + (TO_US - FROM_US - 3_600 * SECOND_US) // of * number
        ended_us = started_us + minutes * MINUTE_US
        session_id = f"{started_us // 1000:012x}7000{number:016x}"
        place, _, prefix = DESTINATIONS[number % len(DESTINATIONS)]
        called = f"{prefix}{number % 10_000_000:07d}"
        self.cdrs.append(
            (
                session_id, "bench", session_id, "outbound", chain[0].id, "", called, called, place,
                started_us, started_us, ended_us, minutes * MINUTE_US, 0, 16, None, "", "import", None,
                None, ended_us,
            )
        )  # fmt: skip
        for level, (account, tariff) in enumerate(zip(chain, tariffs, strict=True)):
            entry_id = f"{ended_us // 1000:012x}70{level:02d}{number:016x}"
            net, tax = minutes * tariff.net_per_min, minutes * tariff.tax_per_min
            self.charges.append(
                (
                    session_id, level, 0, account.id, account.wallet_id, tariff.version_id,
                    tariff.rate_ids[prefix], minutes * 60, net + tax, tax, None, 0, entry_id,
                )
            )  # fmt: skip
            self.entries.append(
                (entry_id, f"settle:{session_id}:{level}", "usage", UNIT.code, ended_us, "", None)
            )
            self.postings.append((entry_id, 0, account.book, net + tax))
            self.postings.append((entry_id, 1, books[account.issuer_id, "revenue:usage"], -net))
            if tax:
                self.postings.append((entry_id, 2, books[account.issuer_id, "tax:payable"], -tax))
            taken[account.wallet_id] = taken.get(account.wallet_id, 0) + net + tax

    def write(self, driver: Driver) -> None:
        driver.begin()
        charge = ("session_id", "level", "line", "account_id", "wallet_id", "tariff_version_id", "rate_id",
                  "billable_s", "total", "tax", "exchange_id", "uncollected", "entry_id")  # fmt: skip
        for model, columns, rows in (
            (models.CdrRow, (*_CDR, "created_us"), self.cdrs),
            (models.CallChargeRow, charge, self.charges),
            (models.JournalEntryRow, _ENTRY, self.entries),
            (models.PostingRow, _POSTING, self.postings),
        ):
            driver.insert(model.__table__, columns, rows)  # type: ignore[arg-type]
            rows.clear()
        driver.commit()
