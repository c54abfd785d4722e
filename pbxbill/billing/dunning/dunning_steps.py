"""Does one level about an invoice: fee, bar, list for collection, the notice; and lifts what it did again.

A step is written for ever. What is lifted has its end on it; put back, it begins anew as a suspension. The
events of account and invoice tell both.
"""

from dataclasses import dataclass

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_catalogue import Policy, PolicyBook
from pbxbill.billing.dunning.dunning_facts import CAUSE, Dunned, worst_level
from pbxbill.billing.dunning.dunning_policy import SEVERE, Action, Level, LevelNotice
from pbxbill.billing.dunning.dunning_text import said_in
from pbxbill.billing.dunning.late_charges import charge_fee
from pbxbill.billing.invoices.standing import happened, said
from pbxbill.billing.life_cycle.suspending import lift, suspend
from pbxbill.billing.life_cycle.terminating import terminate
from pbxbill.billing.notices.notice_facts import Fact, Money, Reader
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.noticing import tell
from pbxbill.billing.period import days_between, local_date
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.charging.status import AccountStatus
from pbxbill.rating.band_checks import zone_of
from pbxbill.store.billing_models import ChargeRow
from pbxbill.store.dunning_models import DunningStepRow, SuspensionRow
from pbxbill.store.models import AccountRow

BY = "dunning"
MAX_DETAIL_LENGTH = 300
_SAID = {
    Action.REMIND: "reminded",
    Action.FEE: "fee",
    Action.BAR_OUTGOING: "calls to the outside barred",
    Action.SUSPEND: "suspended",
    Action.TERMINATE: "terminated",
    Action.COLLECTION: "on the list for collection",
}


_WRITE_STEP = text(
    "INSERT INTO dunning_steps (invoice_id, level, policy_id, policy_version, action, at_us, open, "
    "charge_id, suspension_id, detail) VALUES (:invoice_id, :level, :policy_id, :policy_version, :action, "
    ":at_us, :open, :charge_id, :suspension_id, :detail)"
)
_NOTE_LEVEL = text("UPDATE invoices SET dunning_step = :level WHERE id = :invoice_id")


@dataclass(slots=True)
class Acting:
    """What the levels of one account are done with."""

    session: Session
    books: Bookkeeper
    book: PolicyBook
    account_id: int
    now_us: int
    _account: AccountRow | None = None

    @property
    def account(self) -> AccountRow:
        """Read where something is charged alone: a reminder needs nothing of it."""
        if self._account is None:
            self._account = self.session.get_one(AccountRow, self.account_id)
        return self._account


def do_level(acting: Acting, policy: Policy, invoice: Dunned, number: int) -> Dunned:
    """Do a level that an invoice has reached, and write it down; the invoice as it stands then.

    The caller has locked it. What dunning knows of it is not written yet.
    """
    session, now_us = acting.session, acting.now_us
    level = policy.terms.levels[number - 1]
    detail, charge, suspension = _SAID[level.action], None, None
    if level.action is Action.FEE:
        charge, detail = _fee(acting, policy, level, invoice, number)
    elif level.action in SEVERE:
        suspension = _bar(acting, invoice, level.action, f"invoice {invoice.number} is overdue")
    told = _tell(acting, level, invoice, number, charge=charge)
    detail += f"; {told} messages" if told != 1 else "; 1 message"
    values = {
        "invoice_id": invoice.invoice_id,
        "level": number,
        "policy_id": policy.id,
        "policy_version": policy.version,
        "action": str(level.action),
        "at_us": now_us,
        "open": invoice.overdue,
        "charge_id": None if charge is None else charge.id,
        "suspension_id": None if suspension is None else suspension.id,
        "detail": detail[:MAX_DETAIL_LENGTH],
    }
    session.execute(_WRITE_STEP, values)
    session.execute(_NOTE_LEVEL, {"level": number, "invoice_id": invoice.invoice_id})
    overdue = said(invoice.overdue, acting.book.units[invoice.unit])
    told_of = f"level {number}: {detail}, {overdue} overdue"
    happened(session, invoice.invoice_id, "dunning", told_of, at_us=now_us, by=BY)
    return invoice._replace(level=number, since_us=now_us)


def put_back(acting: Acting, policy: Policy, invoice: Dunned) -> DunningStepRow | None:
    """Do again what was lifted, since dunning goes on; None: its levels had done nothing to the account."""
    session = acting.session
    number = worst_level(policy, invoice.level)
    listed = update(DunningStepRow).where(
        DunningStepRow.invoice_id == invoice.invoice_id, DunningStepRow.action == Action.COLLECTION
    )
    session.execute(listed.values(ended_us=None).execution_options(synchronize_session="fetch"))
    query = select(DunningStepRow).where(
        DunningStepRow.invoice_id == invoice.invoice_id, DunningStepRow.level == (number or 0)
    )
    step = session.scalar(query)
    if step is None or step.action not in SEVERE:
        return None
    action = Action(step.action)
    step.suspension_id = _bar(acting, invoice, action, f"invoice {invoice.number} is overdue again").id
    step.ended_us = None
    detail = f"level {number} again: {_SAID[action]}"
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


def _bar(acting: Acting, invoice: Dunned, action: Action, reason: str) -> SuspensionRow:
    session, account_id, now_us = acting.session, acting.account_id, acting.now_us
    status, cause = SEVERE[action], invoice.cause
    if status is AccountStatus.TERMINATED:  # its subscriptions and DIDs end, too
        return terminate(session, acting.books, account_id, cause=cause, reason=reason, now_us=now_us, by=BY)
    return suspend(session, account_id, status, cause=cause, reason=reason, now_us=now_us, by=BY)


def _fee(
    acting: Acting, policy: Policy, level: Level, invoice: Dunned, number: int
) -> tuple[ChargeRow | None, str]:
    """The charge of a level, and what the step says of it."""
    fee = acting.book.penalty_named(policy, level.penalty)
    if fee is None:
        return None, f"no fee: there is no penalty class {level.penalty}"
    charge = charge_fee(acting.session, acting.books, acting.account, fee, invoice, number, acting.now_us)
    if charge is not None:
        return charge, f"fee {said(charge.net, acting.book.units[charge.unit])}"
    other = fee.terms.unit != invoice.unit
    return None, f"no fee: class {fee.name} " + (f"is in {fee.terms.unit}" if other else "adds none today")


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
        message = _words(acting, level, invoice, facts, number)
        if message:
            facts["message"] = message
    kind = NoticeKind.DUNNING if level.notice is LevelNotice.DUNNING else NoticeKind.OVERDUE
    return tell(
        acting.session,
        acting.account_id,
        kind,
        key=f"{invoice.invoice_id}:{number}",
        facts=facts,
        now_us=acting.now_us,
        invoice_id=invoice.invoice_id,
    )


def _words(acting: Acting, level: Level, invoice: Dunned, facts: dict[str, Fact], number: int) -> str:
    """The level's own words in the account's language."""
    if not level.words:
        return ""
    written = Reader(invoice.language, zone_of("UTC"), acting.book.units).written(facts)
    named = written | {"level": number, "name": invoice.name, "code": invoice.code}
    return said_in(level, invoice.language, named)
