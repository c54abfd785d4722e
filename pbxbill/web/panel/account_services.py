"""What an account uses beside calls: messages, bytes, items; and the tariff that rates each."""

from flask import Blueprint, abort, flash, redirect, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.store.accounts import tariff_of_issuer
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.models import AccountRow, TariffRow
from pbxbill.store.services import remove_service, set_service
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_parts import account_part
from pbxbill.web.panel.asking import done_at_once
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

    def shown(account: AccountRow, form: ServiceForm) -> str:
        with front.reading() as session:
            rows = session.execute(
                select(ServiceTariffRow.service, TariffRow.id, TariffRow.name)
                .join(TariffRow, TariffRow.id == ServiceTariffRow.tariff_id)
                .where(ServiceTariffRow.account_id == account.id)
                .order_by(ServiceTariffRow.service)
            ).all()
        return account_part(
            "services", front, account, form=form, rows=rows, bills=front.scope.bills(account)
        )

    @section.get("/accounts/<int:id>/services")
    @needs(Permission.ACCOUNTS_READ)
    def services(id: int) -> str:
        form = ServiceForm()
        with front.reading() as session:
            account = front.account(session, id)
            form.tariff.choices = _tariffs(session, front, account)
        return shown(account, form)

    @section.post("/accounts/<int:id>/services")
    @needs(Permission.ACCOUNTS_WRITE)
    def set_a_service(id: int) -> str | Response:
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
        return shown(account, form)

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
