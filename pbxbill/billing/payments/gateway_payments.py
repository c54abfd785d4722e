"""Payments through gateways: asked for, charged to saved methods, found again when nobody told of them.

Each is a row that is committed before the gateway hears of it; its key makes every retry the same payment.
Then the gateway is asked, with no transaction open, and its answer is written down by gateway_facts. Whatever
dies in between, poll() finds out what became of it.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.standing import ASKING, STANDING, said
from pbxbill.billing.parties import party_of
from pbxbill.billing.payments.gateway_facts import (
    FORGOTTEN_S,
    MAX_ERROR_LENGTH,
    UNSENT_S,
    WAITING_STATES,
    apply_to,
    end_unpaid,
    hold,
    hold_forgotten,
    locked_payment,
    next_poll_us,
    poll_is_due,
)
from pbxbill.billing.payments.payment_gateways import (
    OpenGateway,
    chosen_gateway,
    coin,
    minor_units,
    open_gateway,
)
from pbxbill.billing.payments.saved_methods import active_method, forget_method, methods_of, preferred_method
from pbxbill.billing.profiles import profile_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.gateways.gateway import (
    Asked,
    GatewayUnreachable,
    PaymentFacts,
    PaymentGateway,
    PaymentState,
    Refusal,
    Started,
)
from pbxbill.store.accounts import unit_of
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import GatewayPaymentRow, PaymentGatewayRow, SavedMethodRow

PURPOSES = ("top_up", "invoice")
FIRST_POLL_S = 120
"""By then whoever asks the gateway has its answer, or is dead."""
POLLED_AT_ONCE = 100
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class NewGatewayPayment:
    """Money that is wanted from a payer."""

    amount: int
    unit: str
    purpose: str = "top_up"
    """invoice: for invoice_ids in their order, or for what was due first; the rest goes into the wallet."""
    invoice_ids: tuple[int, ...] | None = None
    gateway: str = ""
    """Its name; empty: the first of the issuer's that takes the unit."""
    save_method: bool = False
    """The payer agreed that the gateway keeps his card."""
    by: str = ""


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """How a payment through a gateway stands."""

    id: int
    key: str
    account_id: int
    gateway: str
    state: str
    amount: int
    unit: str
    url: str
    """Where the payer pays, while it is open."""
    error: str
    entry_id: str | None
    retryable: bool = False
    """The gateway itself would not take it now: it may later, as another payment."""


def ask_payment(
    session: Session, account: AccountRow, new: NewGatewayPayment, now_us: int
) -> GatewayPaymentRow:
    """Write down a payment that the payer will make on the gateway's page."""
    gateway = chosen_gateway(session, account, new.unit, new.gateway)
    return _written(session, account, new, gateway.id, None, now_us)


def ask_charge(  # as above, and what is charged
    session: Session,
    account: AccountRow,
    method: SavedMethodRow,
    new: NewGatewayPayment,
    now_us: int,
    *,
    automatic: bool = False,
) -> GatewayPaymentRow:
    """Write down a charge of a saved method: after the commit GatewayDesk.go_on() makes it, or a poll."""
    if method.account_id != account.id or method.state != "active":
        raise InputRefused(f"account {account.code} has no saved method {method.id}")
    gateway = session.get_one(PaymentGatewayRow, method.gateway_id)
    chosen_gateway(session, account, new.unit, gateway.name)
    return _written(session, account, new, gateway.id, method.id, now_us, automatic=automatic)


def _written(  # noqa: PLR0913  # one parameter per fact
    session: Session,
    account: AccountRow,
    new: NewGatewayPayment,
    gateway_id: int,
    method_id: int | None,
    now_us: int,
    *,
    automatic: bool = False,
) -> GatewayPaymentRow:
    if new.purpose not in PURPOSES:
        raise InputRefused(f"purpose {new.purpose[:20]!r}: use one of {', '.join(PURPOSES)}")
    minor_units(new.amount, unit_of(session, new.unit))
    has_wallet = select(WalletRow.id).where(WalletRow.account_id == account.id, WalletRow.unit == new.unit)
    if session.scalar(has_wallet) is None:
        raise InputRefused(f"account {account.code} has no {new.unit} wallet")
    _check_invoices(session, account, new)
    row = GatewayPaymentRow(
        key=secrets.token_hex(16),
        gateway_id=gateway_id,
        account_id=account.id,
        purpose=new.purpose,
        invoice_ids=",".join(map(str, new.invoice_ids or ())),
        unit=new.unit,
        amount=new.amount,
        state="asking",
        method_id=method_id,
        automatic=automatic,
        save_method=new.save_method,
        by=new.by[:64],
        created_us=now_us,
        poll_us=now_us + FIRST_POLL_S * SECOND_US,
    )
    session.add(row)
    session.flush()
    return row


def _check_invoices(session: Session, account: AccountRow, new: NewGatewayPayment) -> None:
    for id in new.invoice_ids or ():
        row = session.get(InvoiceRow, id)
        if row is None or (row.account_id, row.unit) != (account.id, new.unit):
            raise InputRefused(f"account {account.code} has no invoice {id} in {new.unit}")
        if row.kind not in ASKING or row.state not in STANDING:
            raise InputRefused(f"invoice {row.number or id} is {row.state} and asks for no money")


class GatewayDesk:
    """Speaks with gateways for one thread, and writes down what they say."""

    def __init__(
        self,
        database: Engine,
        books: Bookkeeper,
        clock: Clock,
        *,
        opened: OpenGateway = open_gateway,
        public_url: str = "",
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """public_url: where the web process is reached from outside; payers come back there.

        turn: what threads of one process take before they write, where the database lets one write at a time.
        """
        self.database = database
        self.clock = clock
        self._books = books
        self._opened = opened
        self._public_url = public_url.rstrip("/")
        self._turn = turn or nullcontext()

    # --- asking ---

    def start_payment(self, account_id: int, new: NewGatewayPayment) -> PaymentStanding:
        """Begin a payment on the gateway's page; state open has the url. InputRefused says what is wrong."""
        with transaction(reading(self.database)) as session:
            account = session.get_one(AccountRow, account_id)
            gateway = chosen_gateway(session, account, new.unit, new.gateway)
        self.check_openable(gateway, new)
        with self.writing() as (session, _):
            account = session.get_one(AccountRow, account_id)
            payment_id = ask_payment(session, account, new, self.clock.now_us()).id
        return self.go_on(payment_id)

    def charge_method(
        self,
        account_id: int,
        new: NewGatewayPayment,
        method_id: int | None = None,
        *,
        automatic: bool = False,
    ) -> PaymentStanding:
        """Charge a saved method (None: the preferred one). State asking: nobody knows yet, a poll will tell.

        A caller with rows of its own calls ask_charge() in its transaction, and go_on() after the commit.
        """
        with transaction(reading(self.database)) as session:
            method = (
                preferred_method(session, account_id)
                if method_id is None
                else active_method(session, method_id)
            )
            gateway = session.get_one(PaymentGatewayRow, method.gateway_id)
        self.check_openable(gateway, new)
        with self.writing() as (session, _):
            account = session.get_one(AccountRow, account_id)
            method = active_method(session, method.id)
            now_us = self.clock.now_us()
            payment_id = ask_charge(session, account, method, new, now_us, automatic=automatic).id
        return self.go_on(payment_id)

    def check_openable(self, gateway: PaymentGatewayRow, new: NewGatewayPayment) -> None:
        """What the gateway cannot take is said before anything is written."""
        step = self.open(gateway).step(new.unit)
        with transaction(reading(self.database)) as session:
            unit = unit_of(session, new.unit)
        if minor_units(new.amount, unit) % step:
            most = said(step * coin(unit), unit)
            raise InputRefused(f"gateway {gateway.name} takes nothing but multiples of {most}")

    def go_on(self, payment_id: int) -> PaymentStanding:
        """Ask the gateway for a payment that it may not know yet; however often, it is one payment."""
        with transaction(reading(self.database)) as session:
            row = session.get(GatewayPaymentRow, payment_id)
            if row is None:
                raise InputRefused(f"there is no gateway payment {payment_id}")
            if row.state != "asking":
                return standing(session, row)
            gateway_row = session.get_one(PaymentGatewayRow, row.gateway_id)
            asked = self._asked(session, row)
            method = session.get(SavedMethodRow, row.method_id) if row.method_id is not None else None
            method_ref = None if method is None else method.method_ref
        try:
            gateway = self.open(gateway_row)
            answer = gateway.start(asked) if method_ref is None else gateway.charge(asked, method_ref)
        except GatewayUnreachable as error:
            return self._not_answered(payment_id, str(error))
        with self.writing() as (session, books):
            row = locked_payment(session, payment_id)
            if isinstance(answer, PaymentFacts):
                apply_to(session, books, gateway_row, row, answer, self.clock.now_us())
            else:
                self._answered(session, row, answer)
            retryable = isinstance(answer, Refusal) and answer.retryable
            return standing(session, row, retryable=retryable)

    def _asked(self, session: Session, row: GatewayPaymentRow) -> Asked:
        account = session.get_one(AccountRow, row.account_id)
        party, profile = party_of(session, account.id), profile_of(session, account.id)
        known = [x for x in methods_of(session, account.id, removed=True) if x.gateway_id == row.gateway_id]
        method = next((x for x in known if x.id == row.method_id), known[0] if known else None)
        issuer = session.get_one(AccountRow, account.parent_id)
        return Asked(
            key=row.key,
            amount=minor_units(row.amount, unit_of(session, row.unit)),
            currency=row.unit,
            description=f"{issuer.name}: {account.code}"[:120],
            customer_ref="" if method is None else method.customer_ref,
            email=next(iter(profile.emails), ""),
            name=party.legal_name or account.name,
            language=profile.language,
            save_method=row.save_method,
            return_url=f"{self._public_url}/pay/{row.key}/done" if self._public_url else "",
        )

    def _answered(self, session: Session, row: GatewayPaymentRow, answer: Started | Refusal) -> None:
        if row.state != "asking":
            return  # its webhook was quicker
        now_us = self.clock.now_us()
        if isinstance(answer, Refusal):
            end_unpaid(session, row, "cancelled" if answer.retryable else "declined", answer.why, now_us)
            return
        row.state, row.url, row.error = "open", answer.url, ""
        row.gateway_ref = answer.gateway_ref[:128] or row.gateway_ref
        row.form = "" if answer.form is None else json.dumps(dict(answer.form))
        row.poll_us = next_poll_us(row.created_us, now_us)
        session.flush()

    def _not_answered(self, payment_id: int, why: str) -> PaymentStanding:
        with self.writing() as (session, _):
            row = locked_payment(session, payment_id)
            if row.state in WAITING_STATES:
                now_us = self.clock.now_us()
                row.error = why[:MAX_ERROR_LENGTH]
                row.poll_us = next_poll_us(row.created_us, now_us)
                row.polls += 1
                if now_us - row.created_us > FORGOTTEN_S * SECOND_US:
                    gateway = session.get_one(PaymentGatewayRow, row.gateway_id)
                    hold(session, gateway, row, f"the gateway cannot be asked about it: {why}", now_us)
            return standing(session, row)

    # --- finding out ---

    def poll(self, payment_id: int) -> PaymentStanding:
        """Ask the gateway what became of a payment, and write it down."""
        with transaction(reading(self.database)) as session:
            row = session.get_one(GatewayPaymentRow, payment_id)
            if row.state not in WAITING_STATES:
                return standing(session, row)
            gateway_row = session.get_one(PaymentGatewayRow, row.gateway_id)
            key, gateway_ref = row.key, row.gateway_ref
            is_fresh = self.clock.now_us() - row.created_us < UNSENT_S * SECOND_US
            again = row.state == "asking" and row.method_id is not None and is_fresh
            method = session.get(SavedMethodRow, row.method_id) if row.method_id is not None else None
            customer_ref = "" if method is None else method.customer_ref
        try:
            facts = self.open(gateway_row).find(key, gateway_ref, customer_ref)
        except GatewayUnreachable as error:
            return self._not_answered(payment_id, str(error))
        if facts is None and again:
            return self.go_on(payment_id)  # by the same key: it is made once, should both come through
        with self.writing() as (session, books):
            row = locked_payment(session, payment_id)
            now_us = self.clock.now_us()
            if not hold_forgotten(session, gateway_row, row, facts, now_us) and facts is not None:
                apply_to(session, books, gateway_row, row, facts, now_us)
            self._polled(session, row, known=facts is not None)
            return standing(session, row)

    def _polled(self, session: Session, row: GatewayPaymentRow, *, known: bool) -> None:
        if row.state not in WAITING_STATES:
            return
        now_us = self.clock.now_us()
        age_s = (now_us - row.created_us) // SECOND_US
        if row.state == "asking" and not known and age_s >= UNSENT_S:
            end_unpaid(session, row, PaymentState.EXPIRED.value, "the gateway never heard of it", now_us)
            return
        if age_s > FORGOTTEN_S:
            why = "the gateway did not say in 30 days how it ended"
            end_unpaid(session, row, PaymentState.EXPIRED.value, why, now_us)
            return
        row.poll_us = next_poll_us(row.created_us, now_us)
        row.polls += 1
        session.flush()

    def poll_due(self, stop: Callable[[], bool] = lambda: False) -> int:
        """Poll the payments whose time has come; how many. One that cannot be asked keeps back no other."""
        now_us = self.clock.now_us()
        with transaction(reading(self.database)) as session:
            ids = session.scalars(
                select(GatewayPaymentRow.id)
                .where(poll_is_due(GatewayPaymentRow.poll_us, now_us))
                .order_by(GatewayPaymentRow.poll_us)
                .limit(POLLED_AT_ONCE)
            ).all()
        polled = 0
        for id in ids:
            if stop():
                break
            if not self._claimed(id, now_us):
                continue
            try:
                self.poll(id)
            except PbxbillError as error:
                _log.warning("payment_not_polled", payment=id, error=str(error))
            polled += 1
        return polled

    def _claimed(self, payment_id: int, now_us: int) -> bool:
        """Whether this process is the one that asks about it now."""
        own = GatewayPaymentRow.id == payment_id, poll_is_due(GatewayPaymentRow.poll_us, now_us)
        with self.writing() as (session, _):
            later_us = now_us + FIRST_POLL_S * SECOND_US
            claim = update(GatewayPaymentRow).where(*own).values(poll_us=later_us)
            return session.scalar(claim.returning(GatewayPaymentRow.id)) is not None

    def remove_method(self, method_id: int) -> bool:
        """Charge a method no more; whether its gateway has forgotten it too."""
        with self.writing() as (session, _):
            forget_method(session, active_method(session, method_id))
        return self.tell_removed(method_id)

    def tell_removed(self, method_id: int) -> bool:
        """Tell a gateway that a method was removed here; whether it has forgotten it too."""
        with transaction(reading(self.database)) as session:
            method = session.get_one(SavedMethodRow, method_id)
            gateway_row = session.get_one(PaymentGatewayRow, method.gateway_id)
        try:
            self.open(gateway_row).remove_method(method.method_ref)
        except GatewayUnreachable as error:
            _log.warning("method_not_removed_there", method=method_id, error=str(error))
            return False
        return True

    # --- what the other parts of payments work with ---

    def open(self, row: PaymentGatewayRow) -> PaymentGateway:
        """What speaks to a gateway's service."""
        return self._opened(row)

    @contextmanager
    def writing(self) -> Iterator[tuple[Session, Bookkeeper]]:
        """One transaction in which rows change and money moves; live calls hear of it after the commit."""
        try:
            with self._turn, transaction(self.database) as session:
                yield session, self._books
        except BaseException:
            self._books.forget()
            raise
        self._books.announce()


def standing(session: Session, row: GatewayPaymentRow, *, retryable: bool = False) -> PaymentStanding:
    """How a payment stands."""
    gateway = session.get_one(PaymentGatewayRow, row.gateway_id)
    return PaymentStanding(
        row.id,
        row.key,
        row.account_id,
        gateway.name,
        row.state,
        row.amount,
        row.unit,
        row.url if row.state == "open" else "",
        row.error,
        row.entry_id,
        retryable,
    )


def pay_link(public_url: str, key: str) -> str:
    """The address that sends a payer on to the gateway."""
    return f"{public_url.rstrip('/')}/pay/{key}"
