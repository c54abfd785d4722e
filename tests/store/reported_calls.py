"""Calls written straight into the tables for tests of reports, and what they add up to, reckoned by hand."""

import random
from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy import insert
from sqlalchemy.orm import Session

from pbxbill.store.catalogue_models import CallCostRow, CarrierRow
from pbxbill.store.driver import driver_within
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, TariffRow, WalletRow
from pbxbill.store.report_models import RollupMarkRow
from pbxbill.store.rerating_models import CallCorrectionRow
from pbxbill.store.rollup_marks import HOUR_US, mark_hours
from tests.store.billed_accounts import BilledAccounts

DAY_US = 24 * HOUR_US
BEGIN_US = 1_767_225_600_000_000
"""The first of January 2026, UTC."""
PLACES = ("Germany", "France", "Spain")
CHAINS = {"alice": ("alice", "reseller"), "bob": ("bob",), "carol": ("carol",)}

Key = tuple[int, str, str, int]
"""Seller, dimension, member, hour."""


@dataclass
class Reported:
    """What was written."""

    accounts: BilledAccounts
    operator_id: int
    wallets: dict[str, int]
    carrier_id: int
    number: int = 0
    charged: list[tuple[str, int, str, int, int]] = field(default_factory=list)
    """Session, level, account, wallet, total: what can be corrected."""
    starts: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    sums: dict[Key, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 8))
    """calls, answered, billed_us, total, tax, cost, rung, ringing_us."""

    def call(self, session: Session, picked: random.Random, started_us: int, now_us: int) -> None:
        """One call, as the engine writes it; it is added to what is expected."""
        self.number += 1
        session_id = f"{self.number:032x}"
        caller = picked.choice([*CHAINS, None])
        place = picked.choice(PLACES)
        direction = picked.choice(["outbound", "outbound", "inbound"])
        billed_us = picked.choice([0, 30, 61, 600]) * 1_000_000 if caller else 0
        answered_us = started_us + 2_000_000 if billed_us else None
        # Of some calls it is not known, whether they were answered or not; nobody's call is denied.
        ringing_us = self.number * 1_357 if caller and self.number % 3 else None
        self.starts[session_id] = (started_us, place, caller or "")
        session.execute(
            insert(CdrRow).values(
                session_id=session_id, switch="s", call_id=session_id, direction=direction,
                account_id=self.accounts.ids[caller] if caller else None, caller="", dialled="", called="",
                destination=place, started_us=started_us, answered_us=answered_us,
                ended_us=started_us + billed_us, billed_us=billed_us, granted_us=0, hangup_cause=16,
                denial=None if caller else "user_unknown", detail="", evidence="event", created_us=now_us,
                ringing_us=ringing_us,
            )
        )  # fmt: skip
        costs = picked.random() < 0.5 and direction == "outbound" and billed_us
        carrier = str(self.carrier_id) if costs else "0"
        sellers = self._sellers(caller)
        traffic = (1, int(billed_us > 0), billed_us, 0, 0, 0, int(ringing_us is not None), ringing_us or 0)
        for seller, customer in sellers:
            of_seller = carrier if seller == self.operator_id else "0"
            self._expect(seller, direction, customer, place, of_seller, started_us, traffic)
        if costs:
            cost = picked.randrange(1, 9_999)
            session.execute(
                insert(CallCostRow).values(
                    session_id=session_id, gateway="g", carrier_id=self.carrier_id, tariff_version_id=1,
                    rate_id=1, unit="EUR", billable_s=1, cost=cost,
                )
            )  # fmt: skip
            seller, customer = sellers[-1]
            self._expect(seller, direction, customer, place, carrier, started_us, (0, 0, 0, 0, 0, cost, 0, 0))
        if billed_us and caller:
            for level, payer in enumerate(CHAINS[caller]):
                total = picked.randrange(2, 99_999)
                self._charge(session, session_id, level, payer, total, total // 6, direction, carrier)
        mark_hours(driver_within(session), [started_us], now_us)

    def exact_call(
        self, session: Session, caller: str, place: str, started_us: int, talked_s: int,
        charged: list[tuple[int, int]], cost: int | None = None, ringing_us: int | None = None,
    ) -> None:  # fmt: skip
        """A call as it is told; charged: total and tax of each level."""
        self.number += 1
        session_id = f"{self.number:032x}"
        self.starts[session_id] = (started_us, place, caller)
        session.execute(
            insert(CdrRow).values(
                session_id=session_id, switch="s", call_id=session_id, direction="outbound",
                account_id=self.accounts.ids[caller], caller="", dialled="", called="", destination=place,
                started_us=started_us, answered_us=started_us + 4_000_000 if talked_s else None,
                ended_us=started_us, billed_us=talked_s * 1_000_000, granted_us=0, hangup_cause=16,
                detail="", evidence="event", created_us=started_us, ringing_us=ringing_us,
            )
        )  # fmt: skip
        if cost is not None:
            session.execute(
                insert(CallCostRow).values(
                    session_id=session_id, gateway="g", carrier_id=self.carrier_id, tariff_version_id=1,
                    rate_id=1, unit="EUR", billable_s=1, cost=cost,
                )
            )  # fmt: skip
        for level, (total, tax) in enumerate(charged):
            self._charge(session, session_id, level, CHAINS[caller][level], total, tax, "outbound", "0")

    def _charge(
        self, session: Session, session_id: str, level: int, payer: str, total: int, tax: int,
        direction: str, carrier: str,
    ) -> None:  # fmt: skip
        session.execute(
            insert(CallChargeRow).values(
                session_id=session_id, level=level, line=0, account_id=self.accounts.ids[payer],
                wallet_id=self.wallets[payer], tariff_version_id=1, rate_id=1, billable_s=60, total=total,
                tax=tax, uncollected=0,
            )
        )  # fmt: skip
        self.charged.append((session_id, level, payer, self.wallets[payer], total))
        self._expect_money(session_id, level, payer, direction, carrier, total, tax)

    def correct(self, session: Session, picked: random.Random, run_id: int, now_us: int) -> None:
        """Re-rating changes one charge."""
        session_id, level, payer, wallet_id, old = picked.choice(self.charged)
        new = picked.randrange(1, 99_999)
        row = session.get_one(CdrRow, session_id)
        cost = session.get(CallCostRow, session_id)
        session.execute(
            insert(CallCorrectionRow).values(
                run_id=run_id, session_id=session_id, level=level, line=0,
                account_id=self.accounts.ids[payer], wallet_id=wallet_id, tariff_version_id=1, rate_id=1,
                billable_s=60, old_total=old, new_total=new, tax_delta=-1, uncollected_delta=0,
                at_us=now_us,
            )
        )  # fmt: skip
        carrier = str(self.carrier_id) if cost is not None else "0"
        self._expect_money(session_id, level, payer, row.direction, carrier, new - old, -1)
        mark_hours(driver_within(session), [row.started_us], now_us)

    def _expect_money(
        self, session_id: str, level: int, payer: str, direction: str, carrier: str, total: int, tax: int
    ) -> None:
        started_us, place, caller = self.starts[session_id]
        chain = CHAINS[caller]
        seller = self.operator_id if level + 1 == len(chain) else self.accounts.ids[chain[level + 1]]
        of_seller = carrier if seller == self.operator_id else "0"
        money = (0, 0, 0, total, tax, 0, 0, 0)
        self._expect(seller, direction, str(self.accounts.ids[payer]), place, of_seller, started_us, money)
        if level:
            customer = str(self.accounts.ids[chain[level - 1]])
            cost = (0, 0, 0, 0, 0, total - tax, 0, 0)
            self._expect(self.accounts.ids[payer], direction, customer, place, "0", started_us, cost)

    def _sellers(self, caller: str | None) -> list[tuple[int, str]]:
        if caller is None:
            return [(self.operator_id, "0")]
        chain = CHAINS[caller]
        above = [*(self.accounts.ids[x] for x in chain[1:]), self.operator_id]
        return [(seller, str(self.accounts.ids[x])) for seller, x in zip(above, chain, strict=True)]

    def _expect(
        self, seller: int, direction: str, customer: str, place: str, carrier: str, started_us: int,
        what: tuple[int, ...],
    ) -> None:  # fmt: skip
        hour_us = started_us // HOUR_US * HOUR_US
        named = {"direction": direction, "account": customer, "destination": place, "carrier": carrier}
        for dimension, member in named.items():
            kept = self.sums[seller, dimension, member, hour_us]
            kept[:] = [a + b for a, b in zip(kept, what, strict=True)]

    def expected(self, seller: int, dimension: str, from_us: int, to_us: int) -> dict[str, list[int]]:
        """By member, of whole hours."""
        found: dict[str, list[int]] = {}
        for (of_seller, of_dimension, member, hour_us), what in self.sums.items():
            if (of_seller, of_dimension) == (seller, dimension) and from_us <= hour_us < to_us:
                kept = found.setdefault(member, [0] * 8)
                kept[:] = [a + b for a, b in zip(kept, what, strict=True)]
        return {member: what for member, what in found.items() if any(what)}


def open_reported(accounts: BilledAccounts) -> Reported:
    """The accounts with a carrier, and nothing called yet."""
    database = open_engine(accounts.url)
    with transaction(database) as session:
        operator = session.query(AccountRow).filter_by(kind="operator").one()
        wallets = {
            code: session.query(WalletRow).filter_by(account_id=id).one().id
            for code, id in accounts.ids.items()
        }
        tariff = session.query(TariffRow).filter_by(name="wholesale").one()
        carrier = CarrierRow(name="carrier", tariff_id=tariff.id)
        session.add(carrier)
        session.flush()
        opened = Reported(accounts, operator.id, wallets, carrier.id)
    database.dispose()
    return opened


def marks(session: Session) -> int:
    """How many there are."""
    return session.query(RollupMarkRow).count()
