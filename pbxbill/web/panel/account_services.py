"""What an account uses beside calls: messages, bytes, items; and the tariff that rates each."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.listing.listing import N_
from pbxbill.listing.services import ACCOUNT_SERVICES
from pbxbill.store.accounts import tariff_of_issuer
from pbxbill.store.models import AccountRow, TariffRow
from pbxbill.store.services import remove_service, set_service
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_lists import add_account_list
from pbxbill.web.panel.asking import done_at_once
from pbxbill.web.panel.lists import list_page
from pbxbill.web.refusals import told


class ServiceForm(PanelForm):
    """A service, and the tariff for it."""

    service = LineField(
        lazy_gettext("Service"),
        [required(), at_most(32)],
        description=lazy_gettext("messages, bytes or items; or what its records call it."),
    )
    tariff = SelectField(lazy_gettext("Tariff"))


def add_services(section: Blueprint, front: Front) -> None:
    """The page, and what is done there."""

    def form_for(account: AccountRow) -> dict[str, Any]:
        form = ServiceForm()
        with front.reading() as session:
            form.tariff.choices = _tariffs(session, front, account)
        return {"form": form, "bills": front.scope.bills(account)}

    page = add_account_list(
        section,
        front,
        ACCOUNT_SERVICES,
        "services",
        empty=(
            N_("The account uses nothing beside calls"),
            N_("Give it a tariff for messages, bytes or items; until then their records wait in quarantine."),
        ),
        template="services",
        more=form_for,
    )

    @section.post("/accounts/<int:id>/services")
    @needs(Permission.ACCOUNTS_WRITE)
    def set_a_service(id: int) -> str | tuple[str, int] | Response:
        form = ServiceForm()
        with front.reading() as session:
            account = _billed(front, session, id)
            form.tariff.choices = _tariffs(session, front, account)
        if form.validate_on_submit():
            conflict = None
            service = form.service.data or ""
            with (
                refusals(form, "service") as refused,
                front.changing("service.set", account.code, account_id=id) as change,
            ):
                now = _billed(front, change.session, id)
                tariff = tariff_of_issuer(change.session, now.parent_id, form.tariff.data)
                set_service(change.session, now, service, tariff)
                conflict = tax_conflict(change.session, id, change.now_us)
            if not refused:
                flash(
                    gettext(
                        "%(service)s are rated by tariff %(tariff)s.",
                        service=service,
                        tariff=form.tariff.data,
                    )
                )
                if conflict:
                    flash(told(conflict), "warn")
                return redirect(url_for("accounts.services", id=id), 303)
        return list_page(section, front, page, form=form)

    @section.post("/accounts/<int:id>/services/remove")
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_a_service(id: int) -> Response:
        with front.reading() as session:
            code = _billed(front, session, id).code
        service = request.form.get("service", "")[:32]
        return done_at_once(
            front,
            "service.remove",
            code,
            lambda change: remove_service(change.session, _billed(front, change.session, id), service),
            gettext("The account has no tariff for %(service)s any more.", service=service),
            url_for("accounts.services", id=id),
            account_id=id,
        )


def _billed(front: Front, session: Session, id: int) -> AccountRow:
    """An account that whoever acts bills himself; 404 where it is not seen."""
    account = front.account(session, id)
    if not front.scope.bills(account):
        abort(403)
    return account


def _tariffs(session: Session, front: Front, account: AccountRow) -> list[tuple[str, str]]:
    """Those of who bills it, and of whoever acts."""
    query = select(TariffRow.name).where(TariffRow.issuer_id.in_((account.parent_id, front.scope.account_id)))
    return [(name, name) for name in session.scalars(query.distinct().order_by(TariffRow.name))]
