"""Which invoices a page may show and change: those of the scope, and of these what who acts has issued."""

from collections.abc import Callable
from typing import Any

from flask import abort, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.billing.invoices.standing import ASKING
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.store.invoice_models import InvoiceRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import PanelForm, Refusals, refusals
from pbxbill.web.front import Change, Front

Use = Callable[[Change, InvoiceRow], None]


def is_own(scope: Scope, row: InvoiceRow) -> bool:
    """Whether who acts may change a document: the operator any, a reseller what he made."""
    return scope.is_everything or row.issuer_id == scope.account_id


def seen_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """A document of the scope; 404 for any other."""
    row = session.get(InvoiceRow, id)
    if row is None or not front.scope.covers(session.get_one(AccountRow, row.account_id)):
        abort(404)
    return row


def asking_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """One of the scope that was issued and asks for money; 404 for any other."""
    return front.one(
        session,
        select(InvoiceRow).where(
            InvoiceRow.id == id,
            InvoiceRow.kind.in_(ASKING),
            InvoiceRow.number.is_not(None),
            front.scope.among(InvoiceRow.account_id),
        ),
    )


def own_asking_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """The same, which who acts may also dun, argue about, give up or give back; 403 for what another issuer
    made."""
    row = asking_invoice(front, session, id)
    if not is_own(front.scope, row):
        abort(403)
    return row


def own_invoice(front: Front, session: Session, id: int) -> InvoiceRow:
    """One that who acts may change; 403 for what another issuer made."""
    row = seen_invoice(front, session, id)
    if not is_own(front.scope, row):
        abort(403)
    return row


def subject(row: InvoiceRow) -> str:
    """As the audit log names it."""
    return row.number or f"{row.kind} {row.id}"


def changed(  # one parameter per fact
    front: Front, form: PanelForm, action: str, id: int, use: Use, *, field: str = ""
) -> Refusals:
    """Change a document in a transaction; what is refused is the form's error."""
    with front.reading() as session:
        row = own_invoice(front, session, id)
        name, account_id = subject(row), row.account_id
    with refusals(form, field) as refused, front.changing(action, name, account_id=account_id) as change:
        use(change, own_invoice(front, change.session, id))
    return refused


def confirmation(  # one parameter per fact
    form: PanelForm, row: InvoiceRow, title: str, what: str, button: str, **more: Any
) -> str:
    """A page that asks before something is done with a document."""
    return render_template(
        "panel/invoices/confirm.html",
        form=form,
        row=row,
        title=title,
        what=what,
        button=button,
        back=url_for("invoices.show", id=row.id),
        **more,
    )


def account_below(front: Front, session: Session, code: str) -> AccountRow:
    """An account of the scope by its code, as a form names it; InputRefused for any other."""
    account = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if account is None or not front.scope.covers(account):
        raise TermRefused(gettext("There is no account %(code)s.", code=code[:64]), "account")
    return account


def own_account(front: Front, session: Session, id: int) -> AccountRow:
    """One that who acts bills himself; 403 for one that a reseller below bills, 404 for all others."""
    account = front.account(session, id)
    if not front.scope.bills(account):
        abort(403)
    return account


def billed_account(front: Front, session: Session, code: str) -> AccountRow:
    """One that who acts bills himself: a reseller does not bill his resellers' customers."""
    account = account_below(front, session, code)
    if not front.scope.bills(account):
        raise InputRefused(gettext("Account %(code)s is billed by the reseller above it.", code=code[:64]))
    return account
