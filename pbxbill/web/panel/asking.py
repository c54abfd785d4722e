"""What sections about money share: a page with one form, the account that an address asks for, its units."""

from collections.abc import Callable
from typing import Any

from flask import abort, current_app, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import HiddenField, TextAreaField
from wtforms.validators import Length

from pbxbill.billing.account_terms import wallets_of
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.ids import new_id
from pbxbill.money import Unit
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow
from pbxbill.store.points_units import is_points_unit
from pbxbill.web.fields import AccountField, LineField, PanelForm, at_most, refusals, required, sentence
from pbxbill.web.front import Change, Front

Crumb = tuple[str, str]


class FindAccountForm(PanelForm):
    """Whom it is about."""

    class Meta:
        csrf = False

    account = AccountField(
        lazy_gettext("Account"), [required()], description=lazy_gettext("Its code; type to find it.")
    )


class ReasonForm(PanelForm):
    """Why something is done that cannot be undone."""

    reason = LineField(
        lazy_gettext("Reason"), [required(), at_most()], description=lazy_gettext("Kept with it.")
    )


class TermsForm(PanelForm):
    """Terms that are written as text."""

    terms = TextAreaField(
        lazy_gettext("Terms"),
        [required(), Length(max=60_000)],
        render_kw={"rows": 26, "spellcheck": "false", "class": "code"},
        description=lazy_gettext("Written as TOML. What is left out is as the example says."),
    )


class OnceField(HiddenField):
    """Makes a form that is sent twice count once."""

    def __init__(self, **more: Any) -> None:
        super().__init__(validators=[Length(max=40)], default=new_id, **more)


def form_page(
    form: PanelForm,
    title: str,
    button: str,
    back: str,
    crumbs: list[Crumb],
    **more: Any,
) -> str:
    """A page with one form. more: lead (a sentence above), warning (what cannot be undone), danger."""
    return render_template(
        "panel/payments/one_form.html",
        form=form,
        title=title,
        button=button,
        back=back,
        crumbs=crumbs,
        **more,
    )


def account_asked(session: Session, front: Front) -> AccountRow | None:
    """The account that the address names by ?account=CODE; None: it names none. 404: it may not be seen."""
    code = request.args.get("account", "").strip()
    if not code:
        return None
    account = session.scalar(
        select(AccountRow).where(AccountRow.code == code[:64], front.scope.among(AccountRow.id))
    )
    if account is None or account.kind == "operator":
        abort(404)
    return account


def billed_account_asked(session: Session, front: Front) -> AccountRow | None:
    """The same where money moves: 403 for an account that a reseller below bills."""
    account = account_asked(session, front)
    return None if account is None else front.billed(session, account.id)


def find_page(title: str, back: str, crumbs: list[Crumb], hidden: dict[str, str] | None = None) -> str:
    """Ask for the account first."""
    return render_template(
        "panel/payments/find_account.html",
        title=title,
        back=back,
        crumbs=crumbs,
        form=FindAccountForm(request.args),
        hidden=hidden or {},
    )


def account_of_code(session: Session, front: Front, code: str) -> AccountRow:
    """An account of the scope that somebody typed; InputRefused for any other."""
    account = session.scalar(
        select(AccountRow).where(AccountRow.code == code[:64], front.scope.among(AccountRow.id))
    )
    if account is None or account.kind == "operator":
        raise TermRefused(gettext("There is no account %(code)s.", code=code[:64]), "account")
    return account


def issuer(session: Session, front: Front) -> AccountRow:
    """Who sells: whoever acts."""
    return session.get_one(AccountRow, front.scope.account_id)


def wallet_units(session: Session, account: AccountRow) -> dict[str, Unit]:
    """Units of an account's wallets that hold money."""
    codes = [x.unit for x in wallets_of(session, account.id) if not is_points_unit(session, x.unit)]
    return {code: unit_of(session, code) for code in codes}


def give_units(form: Any, units: dict[str, Unit]) -> None:
    """Let the form's unit be one of these, and its amount be in it."""
    form.unit.choices = [(x, x) for x in units]
    form.amount.unit = units.get(form.unit.data or "") or next(iter(units.values()), None)


def done_at_once(  # noqa: PLR0913, PLR0917  # what is done, and where it goes on
    front: Front,
    action: str,
    subject: str,
    work: Callable[[Change], Any],
    told: str,
    address: str,
    account_id: int | None = None,
) -> Response:
    """Do what a button says, and go on at an address; what is refused is said there."""
    try:
        with front.changing(action, subject, account_id=account_id) as change:
            work(change)
    except InputRefused as error:
        flash(sentence(str(error)), "bad")
    else:
        flash(told)
    return redirect(address, 303)


def done_when_sure(  # what is asked, what is done, and where it goes on
    front: Front,
    action: str,
    subject: str,
    work: Callable[[Change], str],
    address: str,
    account_id: int | None = None,
    **page: Any,
) -> str | Response:
    """Ask first; then do what a button says, and tell what it says. page: as form_page() takes it."""
    form = PanelForm()
    if not form.validate_on_submit():
        return form_page(form, back=address, **page)
    told = ""
    with refusals(form) as refused, front.changing(action, subject, account_id=account_id) as change:
        told = work(change)
    if refused:
        return form_page(form, back=address, **page)
    flash(told)
    return redirect(address, 303)


def tabs_of(front: Front, *items: tuple[str, str, str, str]) -> list[tuple[str, str, str]]:
    """Tabs whose lists may be read: key, text, endpoint and the permission."""
    held = {x.value for x in front.actor.permissions}
    known = current_app.view_functions
    return [
        (key, text, url_for(endpoint))
        for key, text, endpoint, need in items
        if need in held and endpoint in known
    ]
