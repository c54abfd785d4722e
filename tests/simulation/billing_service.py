"""What accounts use and subscribe to in a simulated year of billing, and what they are charged for it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from pbxbill.billing.charge import ChargeKind, Collection
from pbxbill.billing.invoices.correction_notes import invoiced, issue_correction_notes
from pbxbill.billing.subscriptions.charges_by_hand import HandCharge, add_charge, withdraw_charge
from pbxbill.billing.subscriptions.dids import Assignment, assign_did, release_did
from pbxbill.billing.subscriptions.plan_catalogue import import_plan, offered_version
from pbxbill.billing.subscriptions.plan_terms import ChangeAt
from pbxbill.billing.subscriptions.requests import Decision, Request, decide_request, request_change
from pbxbill.billing.subscriptions.subscribing import (
    NewSubscription,
    Wanted,
    When,
    cancel,
    change,
    pause,
    resume,
    subscribe,
)
from pbxbill.charging.events import (
    Answer,
    Authorize,
    Direction,
    Granted,
    Settle,
    SettleOffline,
)
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.mediation.rerate import Definition as Rerated
from pbxbill.mediation.rerate import Rerating
from pbxbill.store.billing_models import ChargeRow, DidRow, SubscriptionRow
from pbxbill.store.driver import connect
from pbxbill.store.models import AccountRow
from tests.simulation.billing_life import BillingLife
from tests.simulation.billing_site import CUSTOMERS, DAY_US, NUMBERS, TARIFFS


class Service(BillingLife):
    """Calls, subscriptions, DIDs, charges by hand."""

    # --- usage

    def call(self) -> None:
        """A call that is charged while it lasts."""
        request = self._request(self.site.now_us)
        granted = self.engine.execute(request)
        if not isinstance(granted, Granted):
            raise InputRefused(f"denied: {granted}")
        answered_us = self.site.now_us + 5 * SECOND_US
        self.engine.execute(Answer(request.session_id, answered_us, "leg"))
        self.site.clock.advance(
            min(granted.granted_us, self.chance.randint(1, 600) * SECOND_US) + 5 * SECOND_US
        )
        self.engine.execute(Settle(request.session_id, answered_us, self.site.now_us, 16))

    def record(self) -> None:
        """A record of a call, some of them weeks late; charged whatever the funds are."""
        late_us = self.chance.choice((0, 0, self.chance.randrange(40 * DAY_US)))
        began_us = self.site.now_us - late_us - self.chance.randint(1, 7000) * SECOND_US
        ended_us = began_us + self.chance.randint(0, 7000) * SECOND_US
        request = self._request(began_us)
        self.engine.execute(
            SettleOffline(request, began_us, min(ended_us, self.site.now_us), 16, owed_in_full=True)
        )

    def _request(self, at_us: int) -> Authorize:
        session_id, code = new_id(), self.chance.choice(CUSTOMERS)
        dids = self.site.dids[self.site.parents[code]]
        if self.chance.random() < 0.15:
            did = self.chance.choice(dids)
            return Authorize(session_id, "s1", session_id, Direction.INBOUND, did, "4930", at_us, "", did=did)
        number = self.chance.choice(NUMBERS)
        return Authorize(session_id, "s1", session_id, Direction.OUTBOUND, number, code, at_us, code)

    def rerate(self) -> None:
        """A price list had been wrong; invoices that hold its calls get notes."""
        with self.session() as session:
            self.site.deck(session, self.chance.choice((*TARIFFS, "wholesale", "inbound")))
        from_us = self.site.now_us - self.chance.randint(20, 90) * DAY_US
        for _ in range(self.chance.choice((1, 1, 2))):
            wanted = Rerated(from_us, self.site.now_us)
            rerating = Rerating(lambda: connect(self.site.url), self.site.clock, wanted, invoiced)
            rerating.apply(lambda calls, of: None)
            if self.chance.random() < 0.9:
                self.notes()

    def notes(self) -> None:
        while True:
            with self.session() as session:
                if issue_correction_notes(session, self.books, self.site.now_us) is None:
                    return

    # --- subscriptions

    def subscribe(self) -> None:
        with self.session() as session:
            account = self.account(session)
            version = self.version(session, account)
            from_us = self.chance.choice(
                (None, None, None, self.site.now_us + 3 * DAY_US, self.site.now_us - DAY_US)
            )
            agreed = {"Service": "3.33"} if self.chance.random() < 0.2 else {}
            new = NewSubscription(version, self.chance.randint(0, 6), agreed, from_us)
            subscribe(session, self.books, account, new, self.site.now_us)

    def change(self) -> None:
        with self.session() as session:
            row = self.subscription(session)
            version = self.version(session, session.get_one(AccountRow, row.account_id))
            quantity = self.chance.randint(0, 6)
            at_us = self.chance.choice(
                (None, None, self.site.now_us + 5 * DAY_US, self.site.now_us - 2 * DAY_US)
            )
            what = self.chance.choice(((version, None), (None, quantity), (version, quantity)))
            wanted = Wanted(
                what[0],
                what[1],
                self.chance.choice((None, ChangeAt.NOW, ChangeAt.CYCLE_END)),
                at_us,
            )
            change(session, self.books, row.id, wanted, self.site.now_us)

    def request(self) -> None:
        with self.session() as session:
            row = self.subscription(session)
            asked = request_change(
                session, row.id, Request(quantity=self.chance.randint(1, 9)), self.site.now_us
            )
            self.site.clock.advance(SECOND_US)
            decision = Decision(self.chance.random() < 0.7, "op", "so be it")
            decide_request(session, self.books, asked.id, decision, self.site.now_us)

    def pause(self) -> None:
        self._when(pause)

    def resume(self) -> None:
        self._when(resume)

    def cancel(self) -> None:
        self._when(cancel)

    def _when(self, act: Callable[..., Any]) -> None:
        with self.session() as session:
            paused = [SubscriptionRow.state == "paused"] if act is resume else []
            row = self.one_of(session, SubscriptionRow, SubscriptionRow.state != "ended", *paused)
            at = self.chance.choice((ChangeAt.NOW, ChangeAt.NOW, ChangeAt.CYCLE_END))
            at_us = self.chance.choice((None, None, self.site.now_us + 4 * DAY_US))
            act(session, self.books, row.id, When(at, at_us, "wanted"), self.site.now_us)

    def new_version(self) -> None:
        with self.session() as session:
            issuer = session.get_one(AccountRow, self.site.ids[self.chance.choice(sorted(self.site.plans))])
            name = self.chance.choice(self.site.plans[issuer.code])
            import_plan(session, issuer, name, self.site.plan(), self.site.now_us)

    def did(self) -> None:
        with self.session() as session:
            account = self.account(session)
            issuer = session.get_one(AccountRow, account.parent_id)
            number = self.chance.choice(self.site.dids[issuer.code])
            held = session.scalars(select(DidRow).where(DidRow.number == number)).one()
            if held.state == "assigned":
                when = When(self.chance.choice((ChangeAt.NOW, ChangeAt.CYCLE_END)), None, "left")
                release_did(session, self.books, number, when, self.site.now_us)
                return
            version = offered_version(session, issuer, f"{issuer.code} number")
            wanted = Assignment(self.chance.choice((version, version, None)))
            assign_did(session, self.books, number, account, wanted, self.site.now_us)

    # --- charges

    def charge(self) -> None:
        kind = self.chance.choice(
            (ChargeKind.ONE_TIME, ChargeKind.LATE_FEE, ChargeKind.CREDIT, ChargeKind.SET_UP)
        )
        with self.session() as session:
            new = HandCharge(
                "Work",
                "EUR",
                self.chance.randint(1, 30_000_000),
                "done",
                kind,
                quantity=self.chance.choice((1_000_000, 2_500_000)),
                product_class=self.chance.choice(("service", "work")),
                collection=self.chance.choice((Collection.WALLET, Collection.INVOICE)),
                at_us=self.chance.choice((None, None, self.site.now_us - 20 * DAY_US)),
            )
            add_charge(session, self.books, self.account(session), new, self.site.now_us)

    def withdraw(self) -> None:
        with self.session() as session:
            row = self.one_of(session, ChargeRow, ChargeRow.invoice_id.is_(None))
            withdraw_charge(session, self.books, row.id, "mistake", self.site.now_us)
