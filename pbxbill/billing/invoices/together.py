"""What is done with many invoices at once: issued, discarded, sent, cancelled; each in its own transaction.

What people choose is written down first, shown, and done once they agree. How far it is stands in the
database, so that any process can show it; one that was stopped or killed goes on where it was. An invoice
with which it cannot be done says why, and stops no other.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.drafting import discard
from pbxbill.billing.invoices.issuing import Issued, NotIssued, issue
from pbxbill.billing.invoices.note_amounts import Whole
from pbxbill.billing.invoices.notes import credit
from pbxbill.billing.invoices.sending import SENT_OF_A_RUN, NotQueued, send_invoice
from pbxbill.billing.invoices.standing import ASKING, reason_given
from pbxbill.billing.payments.payments import spare_told
from pbxbill.billing.taxes.tax_conflicts import conflict_of, review_of
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused, PbxbillError
from pbxbill.store.engine import reading, transaction
from pbxbill.store.invoice_models import InvoiceActionRow, InvoiceRow
from pbxbill.store.models import AccountRow

ACTIONS = ("issue", "discard", "send", "cancel")
NEED_REASON = ("discard", "cancel")
MAX_CHOSEN = 200_000
TOLD_MOST = 200
SILENT_US = 300 * SECOND_US
BEAT_US = SECOND_US


@dataclass(frozen=True, slots=True)
class Done:
    """It was done, and what people should know besides."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class NotDone:
    """It was not, and why."""

    reason: str


Act = Callable[[int], Done | NotDone]


@dataclass(frozen=True, slots=True)
class Doer:
    """What it is done with, and by whom."""

    database: Engine
    books: Bookkeeper
    clock: Clock
    by: str
    reason: str = ""

    def act(self, action: str) -> Act:
        """What does one of ACTIONS with an invoice; it may raise PbxbillError as well."""
        return {
            "issue": self._issue,
            "discard": self._discard,
            "send": self._send,
            "cancel": self._cancel,
        }[action]

    def _issue(self, invoice_id: int) -> Done | NotDone:
        with transaction(self.database) as session:
            conflict = conflict_of(session, invoice_id)
            if conflict:
                return NotDone(review_of(invoice_id, conflict))
            outcome = issue(session, self.books, invoice_id, self.clock.now_us(), by=self.by)
        self.books.announce()
        if isinstance(outcome, NotIssued):
            return NotDone(outcome.reason)
        if not isinstance(outcome, Issued):
            return Done()
        with transaction(reading(self.database)) as session:
            told = spare_told(session, invoice_id)
        return Done(f"{outcome.number}: {told}" if told else "")

    def _discard(self, invoice_id: int) -> Done | NotDone:
        with transaction(self.database) as session:
            row = session.get_one(InvoiceRow, invoice_id)
            of_period = row.period_key is not None
            opened = discard(session, invoice_id, self.reason, self.clock.now_us(), by=self.by)
            if opened or not of_period:
                return Done()
            return Done(charges_wait(session.get_one(AccountRow, row.account_id).code))

    def _send(self, invoice_id: int) -> Done | NotDone:
        outcome = send_invoice(self.database, invoice_id, self.clock.now_us(), by=self.by)
        return NotDone(outcome.reason) if isinstance(outcome, NotQueued) else Done()

    def _cancel(self, invoice_id: int) -> Done | NotDone:
        with transaction(self.database) as session:
            now_us = self.clock.now_us()
            note = credit(session, self.books, invoice_id, Whole(), self.reason, now_us, self.by)
        self.books.announce()
        return Done(f"credit note {note.number}")


def charges_wait(code: str) -> str:
    """Where the charges of a discarded draft are billed, if its period is not."""
    return f"its charges are on the next invoice of {code}; `pbxbill bill now {code}` makes one at once"


def fits(action: str) -> ColumnElement[bool]:
    """The condition that something of this kind can be done with an invoice."""
    match action:
        case "issue" | "discard":
            return and_(InvoiceRow.kind == "invoice", InvoiceRow.state == "draft")
        case "send":
            return InvoiceRow.state.in_((*SENT_OF_A_RUN, "open"))
        case _:
            return and_(InvoiceRow.kind.in_(ASKING), InvoiceRow.state.in_(SENT_OF_A_RUN))


def choose(
    session: Session, scope_id: int, action: str, ids: Sequence[int], now_us: int, by: str
) -> InvoiceActionRow:
    """Write down what is to be done with which invoices; nothing is done yet."""
    if action not in ACTIONS:
        raise InputRefused(f"{action[:20]!r} is nothing that is done with invoices")
    if not ids:
        raise InputRefused("this can be done with none of the chosen invoices")
    if len(ids) > MAX_CHOSEN:
        raise InputRefused(f"choose up to {MAX_CHOSEN:,} invoices at once")
    # Of drafts the newest goes first: a period can be billed again if no later one is billed.
    ordered = sorted(set(ids), reverse=action == "discard")
    row = InvoiceActionRow(
        scope_id=scope_id,
        by=by,
        action=action,
        chosen=json.dumps(ordered),
        state="chosen",
        total=len(ordered),
        looked=0,
        done=0,
        told="",
        created_us=now_us,
        beaten_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def begin(session: Session, row_id: int, now_us: int, reason: str = "") -> None:
    """Agree to what was chosen, or go on with what was stopped; InputRefused if it is done or goes on."""
    row = _locked(session, row_id)
    state = state_of(row, now_us)
    if state not in ("chosen", "stopped"):
        raise InputRefused("this is being done already, or was done; look what became of it")
    if state == "chosen" and row.action in NEED_REASON:
        row.reason = reason_given(reason)
    row.state, row.beaten_us = "running", now_us
    session.flush()


def ask_to_stop(session: Session, row_id: int) -> None:
    """Have it stop after the invoice that it is at."""
    row = _locked(session, row_id)
    if row.state != "running":
        raise InputRefused("nothing is being done: there is nothing to stop")
    row.state = "stopping"
    session.flush()


def state_of(row: InvoiceActionRow, now_us: int) -> str:
    """Its state; one whose worker was killed is stopped."""
    silent = row.state in ("running", "stopping") and row.beaten_us < now_us - SILENT_US
    return "stopped" if silent else row.state


def told_of(row: InvoiceActionRow) -> list[tuple[int, str, bool]]:
    """Invoices that something is to be said of: what, and whether it was done with them all the same."""
    return [(id, text, done) for id, text, done in json.loads(row.told or "[]")]


def do_chosen(database: Engine, books: Bookkeeper, clock: Clock, row_id: int) -> None:
    """Do it, from where it stood, until all is done or somebody asks it to stop."""
    with transaction(reading(database)) as session:
        row = session.get_one(InvoiceActionRow, row_id)
        chosen: list[int] = json.loads(row.chosen)
        looked, done, told = row.looked, row.done, told_of(row)
        act = Doer(database, books, clock, row.by, row.reason).act(row.action)
    beaten_us = clock.monotonic_us()
    for invoice_id in chosen[looked:]:
        outcome = _outcome(act, invoice_id, books)
        looked += 1
        done += isinstance(outcome, Done)
        text = outcome.note if isinstance(outcome, Done) else outcome.reason
        if text and len(told) < TOLD_MOST:
            told.append((invoice_id, text[:300], isinstance(outcome, Done)))
        if clock.monotonic_us() - beaten_us >= BEAT_US or looked == 1:
            beaten_us = clock.monotonic_us()
            facts = {"looked": looked, "done": done, "told": json.dumps(told)}
            if _beat(database, row_id, clock.now_us(), facts) == "stopping":
                break
    state = "done" if looked == len(chosen) else "stopped"
    facts = {"looked": looked, "done": done, "told": json.dumps(told), "state": state}
    _beat(database, row_id, clock.now_us(), facts)


def _outcome(act: Act, invoice_id: int, books: Bookkeeper) -> Done | NotDone:
    try:
        return act(invoice_id)
    except PbxbillError as error:
        books.forget()
        return NotDone(str(error))


def _beat(database: Engine, row_id: int, now_us: int, facts: dict[str, Any]) -> str:
    """Write how far it is; the state that it had before."""
    with transaction(database) as session:
        row = _locked(session, row_id)
        before = row.state
        for name, value in facts.items():
            setattr(row, name, value)
        row.beaten_us = now_us
    return before


def _locked(session: Session, row_id: int) -> InvoiceActionRow:
    return session.get_one(InvoiceActionRow, row_id, with_for_update=True, populate_existing=True)
