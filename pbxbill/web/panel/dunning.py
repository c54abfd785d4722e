"""Dunning: invoices that are overdue, what was done about them, whom the next run would hit; promises to pay.

Policies and penalty classes stand in dunning_policies.py, accounts in dunning_accounts.py.
"""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning.dunning_runs import preview
from pbxbill.billing.dunning.lifting import lift_by_hand
from pbxbill.billing.dunning.promises_to_pay import MAX_REMARK_LENGTH, NewPromise, promise, withdraw
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.errors import InputRefused
from pbxbill.listing.dunning import IN_DUNNING, PROMISES, STEPS
from pbxbill.listing.listing import N_
from pbxbill.listing.previews import seen_of_dunning
from pbxbill.store.dunning_models import DunningPolicyRow, DunningStateRow, DunningStepRow, PromiseToPayRow
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import (
    AmountField,
    DayField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import (
    ReasonForm,
    account_asked,
    find_page,
    form_page,
    give_units,
    wallet_units,
)
from pbxbill.web.panel.dunning_accounts import add_accounts, dunning_tabs
from pbxbill.web.panel.dunning_policies import add_policies
from pbxbill.web.panel.invoice_access import asking_invoice, is_own, own_account, own_asking_invoice
from pbxbill.web.panel.lists import ListPage, add_list

MOST_PREVIEWED = 500


class PromiseForm(PanelForm):
    """What an account says that it will pay."""

    until = DayField(lazy_gettext("It pays until"), [required()])
    amount = AmountField(
        lazy_gettext("Amount"), least=1, bare=True, description=lazy_gettext("Empty: all that it is for.")
    )
    unit = UnitField(lazy_gettext("Unit"))
    invoice = LineField(
        lazy_gettext("Invoice"),
        [Optional(), at_most(64)],
        description=lazy_gettext("Its number. Empty: all that is overdue."),
    )
    remark = LineField(lazy_gettext("Remark"), [Optional(), at_most(MAX_REMARK_LENGTH)])


def dunning(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("dunning", __name__)
    _add_lists(section, front)
    _add_pages(section, front)
    _add_promises(section, front)
    add_policies(section, front)
    add_accounts(section, front)
    return section


def _add_lists(section: Blueprint, front: Front) -> None:
    add_list(
        section,
        front,
        ListPage(
            IN_DUNNING,
            "/dunning",
            link="dunning.invoice",
            template="panel/payments/tabbed.html",
            empty=(
                N_("No invoice is in dunning"),
                N_("Invoices that are not paid in time appear here once the job has looked at them."),
            ),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "overdue"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            STEPS,
            "/dunning/steps",
            endpoint="steps",
            link=lambda row: url_for("dunning.invoice", id=row["invoice_id"]),
            template="panel/payments/tabbed.html",
            empty=(
                N_("Nothing was done yet"),
                N_("Each level that an invoice reaches is written down here."),
            ),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "steps"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            PROMISES,
            "/promises",
            endpoint="promises",
            link="dunning.promise_page",
            template="panel/payments/tabbed.html",
            empty=(
                N_("Nobody has promised anything yet"),
                N_("Who says when he will pay is not dunned until then: write it down here."),
            ),
            actions=((N_("New promise"), "dunning.new_promise", Permission.DUNNING_WRITE),),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "promises"},
        ),
    )


def crumbs() -> list[tuple[str, str]]:
    """What stands above pages of this section."""
    return [(gettext("Dunning"), url_for("dunning.listed"))]


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/dunning/invoices/<int:id>")
    @needs(Permission.DUNNING_READ)
    def invoice(id: int) -> str:
        with front.reading() as session:
            row = asking_invoice(front, session, id)
            steps = session.execute(
                select(DunningStepRow, DunningPolicyRow.name)
                .join(DunningPolicyRow, DunningPolicyRow.id == DunningStepRow.policy_id)
                .where(DunningStepRow.invoice_id == id)
                .order_by(DunningStepRow.id)
            ).all()
            promises = session.scalars(
                select(PromiseToPayRow)
                .where(
                    PromiseToPayRow.account_id == row.account_id,
                    (PromiseToPayRow.invoice_id == id) | PromiseToPayRow.invoice_id.is_(None),
                )
                .order_by(PromiseToPayRow.id.desc())
                .limit(10)
            )
            return render_template(
                "panel/dunning/invoice.html",
                row=row,
                account=session.get_one(AccountRow, row.account_id),
                standing=session.get(DunningStateRow, id),
                steps=[(step, policy) for step, policy in steps],
                promises=list(promises),
                may_write=is_own(front.scope, row) and front.actor.may(Permission.DUNNING_WRITE),
                lasts=any(x.suspension_id and x.ended_us is None for x, _policy in steps),
                crumbs=crumbs(),
            )

    @section.route("/dunning/invoices/<int:id>/lift", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def lift(id: int) -> str | Response:
        form = ReasonForm()
        with front.reading() as session:
            row = own_asking_invoice(front, session, id)
        back = url_for(".invoice", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("dunning.lift", row.number or "", account_id=row.account_id) as change,
            ):
                own_asking_invoice(front, change.session, id)
                lift_by_hand(
                    change.session,
                    id,
                    reason=form.reason.data or "",
                    now_us=change.now_us,
                    by=front.actor.name,
                )
            if not refused:
                flash(gettext("What dunning did to the account is lifted."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Lift what dunning did for %(number)s", number=row.number),
            gettext("Lift it"),
            back,
            [*crumbs(), (row.number or "", back)],
            lead=gettext("The account works again, even if it was closed. Later levels still come."),
        )

    @section.get("/dunning/preview")
    @needs(Permission.DUNNING_READ)
    def planned() -> str:
        found = preview(front.desks.application.database, front.clock.now_us())
        with front.reading() as session:
            seen = seen_of_dunning(session, front.scope, found)
            own = select(DunningPolicyRow.id).where(front.scope.issued(DunningPolicyRow.issuer_id))
            policies = set(session.scalars(own))
        return render_template(
            "panel/dunning/preview.html",
            planned=seen.planned[:MOST_PREVIEWED],
            total=len(seen.planned),
            brakes=[(x, x.policy_id in policies) for x in seen.brakes],
            tabs=dunning_tabs(front),
        )


def _promise(session: Session, front: Front, id: int) -> PromiseToPayRow:
    return front.one(
        session,
        select(PromiseToPayRow).where(
            PromiseToPayRow.id == id, front.scope.among(PromiseToPayRow.account_id)
        ),
    )


def _own_promise(session: Session, front: Front, id: int) -> PromiseToPayRow:
    row = _promise(session, front, id)
    own_account(front, session, row.account_id)
    return row


def _add_promises(section: Blueprint, front: Front) -> None:
    @section.get("/promises/<int:id>")
    @needs(Permission.DUNNING_READ)
    def promise_page(id: int) -> str:
        with front.reading() as session:
            row = _promise(session, front, id)
            account = session.get_one(AccountRow, row.account_id)
            return render_template(
                "panel/dunning/promise.html",
                row=row,
                account=account,
                may_write=front.scope.bills(account) and front.actor.may(Permission.DUNNING_WRITE),
                invoice=session.get(InvoiceRow, row.invoice_id) if row.invoice_id else None,
                crumbs=[(gettext("Promises to pay"), url_for(".promises"))],
            )

    @section.route("/promises/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_promise() -> str | Response:
        title = gettext("New promise to pay")
        above = [(gettext("Promises to pay"), url_for(".promises"))]
        form = PromiseForm()
        with front.reading() as session:
            account = account_asked(session, front)
            if account is None:
                return find_page(title, url_for(".promises"), above)
            own_account(front, session, account.id)
            give_units(form, wallet_units(session, account))
        if request.method == "GET":
            form.invoice.data = request.args.get("invoice", "")[:64]
        if form.validate_on_submit():
            made = 0
            with (
                refusals(form) as refused,
                front.changing("promise.make", account.code, account_id=account.id) as change,
            ):
                made = _promised(change.session, front, account.id, form, change.now_us)
            if not refused:
                flash(gettext("It is written down. What dunning did is lifted until then."))
                return redirect(url_for(".promise_page", id=made), 303)
        return form_page(
            form,
            title,
            gettext("Write it down"),
            url_for(".promises"),
            above,
            lead=gettext("%(name)s is not dunned until the day is over.", name=account.name),
        )

    @section.route("/promises/<int:id>/withdraw", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def withdraw_promise(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _own_promise(session, front, id)
        back = url_for(".promise_page", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("promise.withdraw", str(id), account_id=row.account_id) as change,
            ):
                _own_promise(change.session, front, id)
                withdraw(change.session, id, change.now_us, front.actor.name)
            if not refused:
                flash(gettext("The promise is withdrawn."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Withdraw the promise"),
            gettext("Withdraw it"),
            back,
            [(gettext("Promises to pay"), url_for(".promises"))],
            warning=gettext("Dunning goes on with the next run."),
        )


def _promised(session: Session, front: Front, account_id: int, form: PromiseForm, now_us: int) -> int:
    account = own_account(front, session, account_id)
    invoice_id, unit = None, form.unit.data
    if form.invoice.data:
        row = session.scalar(
            select(InvoiceRow).where(
                InvoiceRow.number == form.invoice.data,
                InvoiceRow.account_id == account.id,
                InvoiceRow.kind.in_(ASKING),
            )
        )
        if row is None:
            raise InputRefused(gettext("This account has no invoice %(number)s.", number=form.invoice.data))
        if row.unit != unit and form.amount.data is not None:
            raise InputRefused(gettext("This invoice is in %(unit)s.", unit=row.unit))
        invoice_id, unit = row.id, row.unit
    new = NewPromise(
        unit, form.until.data, invoice_id, form.amount.data, form.remark.data or "", front.actor.name
    )
    return promise(session, account, new, now_us).id
