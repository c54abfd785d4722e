"""An operator with accounts of every sort, made by a seed: who bills whom, by which plans, taxes, days."""

from dataclasses import dataclass, field
from datetime import date
from random import Random
from types import SimpleNamespace
from typing import Any

from pbxbill import ids
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.parties import Issuer, set_issuer, set_party
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.billing.subscriptions.did_inventory import add_did
from pbxbill.billing.subscriptions.plan_catalogue import import_plan
from pbxbill.billing.taxes.tax_rates import NewTaxRate, add_tax_rate
from pbxbill.clock import SECOND_US, ManualClock
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.accounts import (
    NewAccount,
    add_endpoint,
    ensure_unit,
    open_account,
    open_operator,
    open_wallet,
)
from pbxbill.store.bundles import NewBundle, add_bundle
from pbxbill.store.decks import add_deck_version
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from tests.small_operator import EUR, eur
from tests.store.billed_accounts import rate

DAY_US = 86_400 * SECOND_US
BEGINNINGS_US = (1_767_225_600 * SECOND_US, 1_798_761_600 * SECOND_US, 1_830_297_600 * SECOND_US)
"""The first day of 2026, 2027 and 2028, which is a leap year."""
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Pacific/Auckland"),
    *("Asia/Kathmandu", "Pacific/Kiritimati"),
)
TARIFFS = ("untaxed", "taxed", "inclusive")
NUMBERS = ("493012345", "33612345", "4915112345", "12125550100", "80012345")
_SEATS = """
[[charge]]
name = "Seat"
steps = [{ from = 1, price = "2.5" }, { from = 4, price = "1.11" }]
"""
CUSTOMERS = ("paula", "peter", "tom", "hanna", "quinn", "rita")


def rates(chance: Random) -> list[Any]:
    """A price list; the last number of NUMBERS is free."""
    return [
        rate("49", "Germany", f"0.{chance.randint(1, 30):02}"),
        rate("4915", "Germany mobile", f"0.{chance.randint(1, 400):03}", "0.01", "30/6"),
        rate("33", "France", f"0.{chance.randint(1, 60):02}", "0.05", "60/60"),
        rate("1", "USA", f"0.{chance.randint(1, 9999):04}", "0", "6/6"),
        rate("800", "Free", "0"),
    ]


@dataclass
class BillingSite:
    """Accounts in a database, and what each issuer offers."""

    url: str
    seed: int
    chance: Random = field(init=False)
    clock: ManualClock = field(init=False)
    zones: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    plans: dict[str, list[str]] = field(default_factory=dict)
    """By issuer."""
    dids: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = Random(self.seed)
        self.clock = ManualClock(self.chance.choice(BEGINNINGS_US))
        self.database = open_engine(self.url)
        with transaction(self.database) as session:
            ensure_unit(session, EUR)
            self.ids["operator"] = open_operator(session, "Operator", 0).id
            self._prices(session)
            self._issuer(session, "operator")
            self._accounts(session)

    @property
    def now_us(self) -> int:
        return self.clock.now_us()

    def _prices(self, session: Any) -> None:
        for deck in (*TARIFFS, "wholesale", "inbound"):
            self.deck(session, deck)
        modes = {"taxed": TaxMode.EXCLUSIVE, "inclusive": TaxMode.INCLUSIVE}
        for name in (*TARIFFS, "wholesale", "inbound"):
            mode = modes.get(name, TaxMode.NONE)
            ppm = 0 if mode is TaxMode.NONE else self.chance.choice((190_000, 70_000, 81_000))
            add_tariff_version(session, NewTariff(name, name, tax_mode=mode, tax_ppm=ppm), 0)
        for number, pieces in enumerate((600, 6000)):
            bundle = NewBundle(
                f"bundle{number}", "seconds", pieces, cycle="month", zone=self.chance.choice(ZONES)
            )
            add_bundle(session, bundle)

    def deck(self, session: Any, name: str) -> None:
        """Another version of a price list, in force since ever."""
        add_deck_version(
            session,
            deck_name=name,
            unit="EUR",
            rates=rates(self.chance),
            effective_from_us=0,
            source=f"{name}.csv",
            now_us=self.now_us,
        )

    def _issuer(self, session: Any, code: str) -> None:
        self.zones[code] = self.chance.choice(ZONES)
        rounding = self.chance.choice((TaxRounding.INVOICE, TaxRounding.LINE))
        issuer = Issuer(
            zone=self.zones[code], tax_rounding=rounding, payment_days=self.chance.choice((0, 14))
        )
        set_issuer(session, self.ids[code], issuer)
        set_party(session, self.ids[code], {"legal_name": code.title(), "country": "DE"})
        for product_class in self.chance.choice(((), ("",), ("service", "usage"), ("service",))):
            new = NewTaxRate(
                "VAT",
                self.chance.choice((190_000, 76_000)),
                0,
                product_class=product_class,
                country="DE",
                inclusive=self.chance.random() < 0.3,
            )
            add_tax_rate(session, self.ids[code], new)
        self.plans[code] = [f"{code} plan {number}" for number in range(4)]
        operator = session.get_one(AccountRow, self.ids[code])
        for name in self.plans[code]:
            import_plan(session, operator, name, self.plan(), self.now_us)
        import_plan(session, operator, f"{code} number", self.plan(did=True), self.now_us)
        self.dids[code] = [f"49555{len(self.dids)}{number}" for number in range(3)]
        for number in self.dids[code]:
            add_did(session, operator, number, self.now_us)

    def plan(self, *, did: bool = False) -> str:
        """The text of a plan."""
        chance = self.chance
        cycle, every = chance.choice(
            (("month", 1), ("month", 1), ("week", 2), ("quarter", 1), ("year", 1), ("day", 30), ("day", 7))
        )
        words = [
            'unit = "EUR"',
            f'cycle = "{cycle}"\nevery = {every}',
            chance.choice(
                (
                    'anchor = "sign_up"',
                    'anchor = "invoice_day"',
                    'anchor = "fixed_day"\nfixed_day = 2026-01-31',
                )
            ),
            f'timing = "{chance.choice(("advance", "advance", "arrears"))}"',
            f'proration = "{chance.choice(("day", "day", "second", "none"))}"',
            f'collection = "{chance.choice(("wallet", "invoice"))}"',
            f'change = "{chance.choice(("now", "cycle_end"))}"',
            f'unpaid = "{chance.choice(("bar", "keep"))}"',
            f'renewal = "{chance.choice(("cycle", "cycle", "cycle", "ends"))}"',
            f"trial_days = {chance.choice((0, 0, 0, 10))}",
            f"remind_days_before = {chance.choice((0, 5))}",
            f"set_up_on_change = {chance.choice(('true', 'false'))}",
        ]
        if did:
            words += ['kind = "did"', 'inbound_tariff = "inbound"']
        else:
            words += [
                f'minimum_spend = "{chance.choice((0, 0, 5, 25))}"',
                chance.choice(("", "", 'bundles = ["bundle0"]', 'bundles = ["bundle0", "bundle1"]')),
                chance.choice(("", "", f'tariff = "{chance.choice(TARIFFS)}"')),
            ]
        words.append(
            f'[[charge]]\nname = "Service"\nprice = "{chance.randint(0, 30)}.{chance.randint(0, 999):03}"'
        )
        words.append(
            chance.choice(
                (
                    "",
                    _SEATS,
                    '[[charge]]\nname = "Base"\nprice = "7"\nquantity = "flat"',
                )
            )
        )
        words.append(chance.choice(("", '[[charge]]\nname = "Set-up"\ntype = "set_up"\nprice = "9.99"')))
        fee = chance.choice(
            (
                'fee = "fixed"\namount = "20"',
                'fee = "sliding"\namount = "60"',
                'fee = "remaining"\nshare = "50"',
            )
        )
        words.append(chance.choice(("", f"[term]\ncycles = {chance.randint(2, 5)}\n{fee}")))
        return "\n".join(filter(None, words))

    def _accounts(self, session: Any) -> None:
        chance = self.chance
        self._account(session, "near", "operator", kind="reseller")
        self._account(session, "far", "near", kind="reseller")
        parents = ("operator", "operator", "near", "near", "far", "far")
        for code, parent in zip(CUSTOMERS, parents, strict=True):
            self._account(session, code, parent)
        for code in self.ids:
            if code != "operator" and chance.random() < 0.8:
                set_profile(session, self.ids[code], self._profile())

    def _account(self, session: Any, code: str, parent: str, kind: str = "customer") -> None:
        chance = self.chance
        mode = chance.choice(
            ("postpaid", "hybrid") if kind == "reseller" else ("prepaid", "postpaid", "hybrid")
        )
        tariff = "wholesale" if kind == "reseller" else chance.choice(TARIFFS)
        new = NewAccount(
            code,
            code.title(),
            kind=kind,
            mode=mode,
            parent=None if parent == "operator" else parent,
            tariff=tariff,
            inbound_tariff="inbound",
        )
        opened = open_account(session, new, self.now_us - chance.randint(0, 40) * DAY_US)
        self.ids[code], self.parents[code], self.modes[code] = opened.id, parent, mode
        limit = "100000" if kind == "reseller" else "0" if mode == "prepaid" else "200"
        open_wallet(session, opened, "EUR", credit_limit=eur(limit))
        add_endpoint(session, opened, "sip", code)
        country = chance.choice(("DE", "DE", "FR", "US", ""))
        facts = {"legal_name": code.title(), "country": country} if country else {"legal_name": code.title()}
        set_party(session, opened.id, facts)
        if kind == "reseller":
            self._issuer(session, code)

    def _profile(self) -> ProfileTerms:
        chance = self.chance
        cycle, every = chance.choice((("month", 1), ("month", 1), ("week", 1), ("quarter", 1), ("day", 10)))
        return ProfileTerms(
            invoicing=chance.choice(("issue", "issue", "draft")),
            cycle=cycle,
            every=every,
            anchor=chance.choice((None, date(2025, 12, 31), date(2025, 12, 15), date(2025, 11, 30))),
            zone=chance.choice(("", *ZONES)),
            call_list="annex",
            previous_balance=chance.random() < 0.3,
            minimum_total=eur(chance.choice(("0", "0", "10"))),
        )

    def set_ids(self, monkeypatch: Any) -> None:
        """Let ids tell the time of this clock, as they would in life, and follow from the seed."""
        chance = Random(self.seed)
        last_ms = 0

        def time_ns() -> int:
            nonlocal last_ms
            last_ms = max(last_ms + 1, self.now_us // 1000)
            return last_ms * 1_000_000

        monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=time_ns))
        monkeypatch.setattr(ids, "os", SimpleNamespace(urandom=chance.randbytes))
