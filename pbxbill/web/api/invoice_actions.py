"""Something done with many invoices: chosen, looked at, agreed to, watched, stopped."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.app import open_books
from pbxbill.billing.invoices.together import (
    ask_to_stop,
    begin,
    choose,
    do_chosen,
    state_of,
    told_of,
)
from pbxbill.clock import SystemClock
from pbxbill.listing.billing_runs import in_scope
from pbxbill.listing.chosen_invoices import (
    STATES_OF_RUN,
    chosen_by_id,
    chosen_of_list,
    chosen_of_run,
    sums_of,
)
from pbxbill.listing.invoices import invoices as listing_of
from pbxbill.store.invoice_models import BillingRunRow, InvoiceActionRow, InvoiceRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.drafts import Reason
from pbxbill.web.api.fields import Id, Moment, Money, Sent, left_out, moment, money
from pbxbill.web.api.listed import asked_by, filters_of
from pbxbill.web.api.objects import conflicts, found, wrong
from pbxbill.web.background import Background
from pbxbill.web.front import Front, needs

TAG = "Invoices"
RULE = "/invoice-actions/<int:action_id>"
MOST_IDS = 1_000

ChosenInvoices = filters_of(listing_of(SystemClock()), "ChosenInvoices")


class ActionPath(Sent):
    """Something that is done with invoices, by its id."""

    action_id: Id


class NewAction(Sent):
    """What is to be done, and with which: by their ids, all that filters of the list leave, or a run's."""

    action: Literal["issue", "discard", "send", "cancel"]
    invoices: Annotated[list[Id], Field(min_length=1, max_length=MOST_IDS)] = left_out("By their ids.")
    filters: ChosenInvoices = left_out(  # type: ignore[valid-type]  # made of the list
        "All that these filters of `/invoices` leave; {}: all."
    )
    run: Id = left_out("What a billing run made; not to cancel it.")


class Agreement(Sent):
    """That it is meant."""

    reason: Reason = left_out("Discarding and cancelling need one: it is kept with each.")


class SumOf(BaseModel):
    """Documents of one currency."""

    invoices: int
    total: Money


class Told(BaseModel):
    """What is to be said of one of them."""

    invoice_id: int
    number: str | None
    done: bool = Field(description="It was done with it all the same.")
    text: str


class InvoiceAction(BaseModel):
    """What is done with many invoices, and how far it is."""

    id: int
    action: str
    state: str = Field(description="chosen (agree to it), running, stopping, stopped, done.")
    by: str
    reason: str
    created: Moment
    total: int = Field(description="Documents that it is about: those with which it can be done.")
    looked: int = Field(description="So far.")
    done: int
    sums: list[SumOf] = Field(description="What it is about, until it is agreed to.")
    told: list[Told] = Field(description="Those with which it could not be done, say: the first 200.")


def invoice_actions(api: Api) -> None:
    """What the key's account chose to do with invoices that it issues."""
    front = api.front
    background = Background()
    application = front.desks.application

    def work(id: int) -> None:
        with open_books(application) as books:
            do_chosen(application.database, books, application.clock, id)

    @api.post("/invoice-actions", InvoiceAction, TAG)
    @needs(Permission.INVOICES_WRITE)
    def choose_invoices(body: NewAction) -> Answer:
        """Say what is to be done with which invoices. Nothing is done until it is agreed to.

        409: it can be done with none of them.
        """
        with front.reading() as session:
            ids = _chosen(session, front, body)
        with api.writing("invoices.choose", body.action) as change:
            with conflicts():
                scope_id, by = front.scope.account_id, front.actor.name
                row = choose(change.session, scope_id, body.action, ids, change.now_us, by)
            return change.done(_shown(change.session, row, change.now_us), 201)

    @api.get(RULE, InvoiceAction, TAG)
    @needs(Permission.INVOICES_WRITE)
    def get_invoice_action(path: ActionPath) -> InvoiceAction:
        """What was chosen, how far it is, and what could not be done."""
        with front.reading() as session:
            return _shown(session, _action(session, front, path.action_id), front.clock.now_us())

    @api.post(f"{RULE}/agreement", InvoiceAction, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def agree_to_invoice_action(path: ActionPath, body: Agreement) -> Answer:
        """Do it, or go on with what was stopped: GET says how far it is. 409: it goes on, or is done."""
        sent: Any = body
        with front.reading() as session:
            row = _action(session, front, path.action_id)
        with api.writing(f"invoices.{row.action}", str(row.id)) as change:
            with conflicts():
                begin(change.session, row.id, change.now_us, sent.reason or "")
            now = _action(change.session, front, row.id)
            answer = change.done(_shown(change.session, now, change.now_us), 202)
        background.start(f"invoices-{row.id}", lambda: work(row.id))
        return answer

    @api.post(f"{RULE}/stop", InvoiceAction, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def stop_invoice_action(path: ActionPath) -> Answer:
        """Have it stop after the invoice that it is at. 409: nothing is being done."""
        with api.writing("invoices.stop", str(path.action_id)) as change:
            row = _action(change.session, front, path.action_id)
            with conflicts():
                ask_to_stop(change.session, row.id)
            return change.done(_shown(change.session, row, change.now_us), 202)


def _action(session: Session, front: Front, id: int) -> InvoiceActionRow:
    return found(session, InvoiceActionRow, id, front.scope.issued(InvoiceActionRow.scope_id))


def _chosen(session: Session, front: Front, body: NewAction) -> list[int]:
    sent: Any = body
    if sum(x is not None for x in (sent.invoices, sent.filters, sent.run)) != 1:
        raise wrong("invoices", "say which by one of invoices, filters, run")
    if sent.invoices is not None:
        return chosen_by_id(session, front.scope, body.action, set(sent.invoices))
    if sent.filters is not None:
        return chosen_of_list(session, front.scope, body.action, asked_by(sent.filters), front.clock)
    condition = (BillingRunRow.id == sent.run, in_scope(front.scope))
    if body.action not in STATES_OF_RUN or session.scalar(select(BillingRunRow.id).where(*condition)) is None:
        raise wrong("run", "there is no such run, or this is not done with all of one")
    return chosen_of_run(session, front.scope, body.action, sent.run)


def _shown(session: Session, row: InvoiceActionRow, now_us: int) -> InvoiceAction:
    told, units = told_of(row), units_by_code(session)
    query = select(InvoiceRow.id, InvoiceRow.number).where(InvoiceRow.id.in_([x for x, _, _ in told]))
    numbers = {row.id: row.number for row in session.execute(query)}
    state = state_of(row, now_us)
    sums = sums_of(session, row) if state == "chosen" else []
    return InvoiceAction(
        id=row.id,
        action=row.action,
        state=state,
        by=row.by,
        reason=row.reason or "",
        created=moment(row.created_us),
        total=row.total,
        looked=row.looked,
        done=row.done,
        sums=[SumOf(invoices=count, total=money(total, units[unit])) for unit, count, total in sums],
        told=[Told(invoice_id=id, number=numbers.get(id), done=done, text=text) for id, text, done in told],
    )
