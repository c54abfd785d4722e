"""Does one level about an invoice: fee, bar, list for collection, the notice; and lifts what it did again.

A step is written for ever. What is lifted has its end on it; put back, it begins anew as a suspension. The
events of account and invoice tell both.
"""

from dataclasses import dataclass, field

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from pbxbill.billing.dunning_catalogue import Policy, PolicyBook
from pbxbill.billing.dunning_facts import CAUSE, Dunned, worst_level
from pbxbill.billing.dunning_policy import SEVERE, Action, Level, LevelNotice
from pbxbill.billing.dunning_text import said_in
from pbxbill.billing.late_charges import charge_fee
from pbxbill.billing.notice_facts import Fact, Money, Reader
from pbxbill.billing.notice_kinds import NoticeKind
from pbxbill.billing.noticing import tell
from pbxbill.billing.period import days_between, local_date
from pbxbill.billing.profiles import profile_of
from pbxbill.billing.standing import happened, said
from pbxbill.billing.suspending import lift, suspend
from pbxbill.billing.terminating import terminate
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.status import AccountStatus
from pbxbill.money import Unit
from pbxbill.rating.band_checks import zone_of
from pbxbill.store.accounts import unit_of
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.dunning_models import DunningStateRow, DunningStepRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow

BY = "dunning"
_SAID = {
    Action.REMIND: "reminded",
    Action.FEE: "fee",
    Action.BAR_OUTGOING: "calls to the outside barred",
    Action.SUSPEND: "suspended",
    Action.TERMINATE: "terminated",
    Action.COLLECTION: "on the list for collection",
}


@dataclass(slots=True)
class Acting:
    """What the levels of one account are done with."""

    session: Session
    books: Bookkeeper
    book: PolicyBook
    account: AccountRow
    now_us: int
    _units: dict[str, Unit] = field(default_factory=dict)
    _language: str = ""

    def unit(self, code: str) -> Unit:
        """A unit, asked for once."""
        if code not in self._units:
            self._units[code] = unit_of(self.session, code)
        return self._units[code]

    @property
    def language(self) -> str:
        """In which the account is written to."""
        if not self._language:
            self._language = profile_of(self.session, self.account.id).language
        return self._language


def do_level(acting: Acting, policy: Policy, invoice: Dunned, number: int) -> DunningStepRow:
    """Do a level that an invoice has reached, and write it down; the caller has locked the invoice."""
    session, now_us = acting.session, acting.now_us
    level = policy.terms.levels[number - 1]
    step = DunningStepRow(
        invoice_id=invoice.invoice_id,
        level=number,
        policy_id=policy.id,
        policy_version=policy.version,
        action=str(level.action),
        at_us=now_us,
        open=invoice.overdue,
        charge_id=None,
        suspension_id=None,
        detail=_SAID[level.action],
        ended_us=None,
    )
    session.add(step)
    charge = None
    if level.action is Action.FEE:
        charge = _fee(acting, policy, level, invoice, step)
    elif level.action in SEVERE:
        _bar(acting, invoice, step, f"invoice {invoice.number} is overdue")
    _note(acting, invoice, number)
    told = _tell(acting, level, invoice, number, charge=charge)
    step.detail += f"; {told} messages" if told != 1 else "; 1 message"
    detail = f"level {number}: {step.detail}, {said(invoice.overdue, acting.unit(invoice.unit))} overdue"
    happened(session, invoice.invoice_id, "dunning", detail, at_us=now_us, by=BY)
    session.flush()
    return step


def put_back(acting: Acting, policy: Policy, invoice: Dunned) -> DunningStepRow | None:
    """Do again what was lifted, since dunning goes on; None: its levels had done nothing to the account."""
    session = acting.session
    row = session.get_one(DunningStateRow, invoice.invoice_id)
    row.since_us = acting.now_us
    number = worst_level(policy, invoice.level)
    query = select(DunningStepRow).where(
        DunningStepRow.invoice_id == invoice.invoice_id, DunningStepRow.level == (number or 0)
    )
    step = session.scalar(query)
    listed = update(DunningStepRow).where(
        DunningStepRow.invoice_id == invoice.invoice_id, DunningStepRow.action == Action.COLLECTION
    )
    session.execute(listed.values(ended_us=None).execution_options(synchronize_session="fetch"))
    if step is None or step.action not in SEVERE:
        session.flush()
        return None
    _bar(acting, invoice, step, f"invoice {invoice.number} is overdue again")
    step.ended_us = None
    detail = f"level {number} again: {_SAID[Action(step.action)]}"
    happened(session, invoice.invoice_id, "dunning", detail, at_us=acting.now_us, by=BY)
    session.flush()
    return step


def lift_effects(
    session: Session, account_id: int, invoice_id: int, now_us: int, *, by: str = BY, terminated: bool = False
) -> bool:
    """End what dunning did to an account for an invoice; whether anything ended.

    terminated: even that it was closed, which a payment alone does not undo.
    """
    steps = session.scalars(
        select(DunningStepRow).where(
            DunningStepRow.invoice_id == invoice_id, DunningStepRow.ended_us.is_(None)
        )
    ).all()
    lasting = [step for step in steps if step.action in SEVERE or step.action == Action.COLLECTION]
    closed = any(step.action == Action.TERMINATE for step in lasting)
    for step in lasting:
        if step.action != Action.TERMINATE or terminated:
            step.ended_us = max(now_us, step.at_us)
    session.flush()
    if closed and not terminated:
        return False
    lifted = lift(session, account_id, cause=f"{CAUSE}{invoice_id}", now_us=now_us, by=by)
    if lifted:
        happened(session, invoice_id, "dunning", "what it did to the account is lifted", at_us=now_us, by=by)
    return lifted or bool(lasting)


def _bar(acting: Acting, invoice: Dunned, step: DunningStepRow, reason: str) -> None:
    session, account_id, cause, now_us = acting.session, acting.account.id, invoice.cause, acting.now_us
    status = SEVERE[Action(step.action)]
    if status is AccountStatus.TERMINATED:  # its subscriptions and DIDs end, too
        row = terminate(session, acting.books, account_id, cause=cause, reason=reason, now_us=now_us, by=BY)
    else:
        row = suspend(session, account_id, status, cause=cause, reason=reason, now_us=now_us, by=BY)
    step.suspension_id = row.id


def _fee(
    acting: Acting, policy: Policy, level: Level, invoice: Dunned, step: DunningStepRow
) -> ChargeRow | None:
    fee = acting.book.penalty_named(policy, level.penalty)
    if fee is None:
        step.detail = f"no fee: there is no penalty class {level.penalty}"
        return None
    charge = charge_fee(acting.session, acting.books, acting.account, fee, invoice, step.level, acting.now_us)
    if charge is None:
        other = fee.terms.unit != invoice.unit
        step.detail = f"no fee: class {fee.name} " + (
            f"is in {fee.terms.unit}" if other else "adds none today"
        )
        return None
    step.charge_id = charge.id
    step.detail = f"fee {said(charge.net, acting.unit(charge.unit))}"
    return charge


def _note(acting: Acting, invoice: Dunned, number: int) -> None:
    state = acting.session.get_one(DunningStateRow, invoice.invoice_id)
    state.level, state.since_us = number, acting.now_us
    acting.session.get_one(InvoiceRow, invoice.invoice_id).dunning_step = number


def _tell(acting: Acting, level: Level, invoice: Dunned, number: int, *, charge: ChargeRow | None) -> int:
    if level.notice is LevelNotice.NONE:
        return 0
    due_on = local_date(invoice.due_us, invoice.zone)
    facts: dict[str, Fact] = {
        "number": invoice.number,
        "open": Money(invoice.overdue, invoice.unit),
        "due_on": due_on,
        "days": days_between(invoice.due_us, acting.now_us, invoice.zone),
    }
    if level.notice is LevelNotice.DUNNING:
        facts |= {"level": number, "action": str(level.action)}
        if charge is not None:
            facts["fee"] = Money(charge.net, charge.unit)
        message = _words(acting, level, facts, number)
        if message:
            facts["message"] = message
    kind = NoticeKind.DUNNING if level.notice is LevelNotice.DUNNING else NoticeKind.OVERDUE
    return tell(
        acting.session,
        acting.account.id,
        kind,
        key=f"{invoice.invoice_id}:{number}",
        facts=facts,
        now_us=acting.now_us,
        invoice_id=invoice.invoice_id,
    )


def _words(acting: Acting, level: Level, facts: dict[str, Fact], number: int) -> str:
    """The level's own words in the account's language."""
    if not level.words:
        return ""
    units = {
        code: acting.unit(code) for code in {fact.unit for fact in facts.values() if isinstance(fact, Money)}
    }
    written = Reader(acting.language, zone_of("UTC"), units).written(facts)
    named = written | {"level": number, "name": acting.account.name, "code": acting.account.code}
    return said_in(level, acting.language, named)
