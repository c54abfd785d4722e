"""Payment gateways: accounts at payment services, and what the services sent.

Secrets stand in files on the server; here only the names of those files are entered, by the operator alone.
Where a service is, which is asked with them, is said by the command line.
"""

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.payment_gateways import add_gateway, change_gateway
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.gateways.registry import KINDS, is_address, setting_names
from pbxbill.listing.gateways import GATEWAYS, RECEIVED_WEBHOOKS
from pbxbill.listing.listing import N_
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow, ReceivedWebhookRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import AccountField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, grave, needs
from pbxbill.web.panel.asking import account_of_code, issuer
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.payments import payment_tabs
from pbxbill.web.refusals import told

MAX_BODY_SHOWN = 20_000


def gateways(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("gateways", __name__)
    add_list(
        section,
        front,
        ListPage(
            GATEWAYS,
            "/payment-gateways",
            link="gateways.show",
            template="panel/payments/tabbed.html",
            empty=(
                N_("There is no payment gateway yet"),
                N_("With one, accounts pay by card or otherwise on its page, and it is booked by itself."),
            ),
            actions=((N_("New gateway"), "gateways.new", Permission.SETTINGS_WRITE),),
            more=lambda: {"tabs": payment_tabs(front), "tab": "gateways"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            RECEIVED_WEBHOOKS,
            "/received-webhooks",
            endpoint="received",
            link="gateways.webhook",
            template="panel/payments/tabbed.html",
            empty=(
                N_("No gateway has sent anything yet"),
                N_("Enter the address for webhooks, which a gateway's page shows, at the service."),
            ),
            more=lambda: {"tabs": payment_tabs(front), "tab": "received"},
        ),
    )
    _add_pages(section, front)
    _add_forms(section, front)
    return section


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/payment-gateways/<int:id>")
    @needs(Permission.SETTINGS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _gateway(session, front, id)
            owner = session.get_one(AccountRow, row.issuer_id)
        # Where files lie on the server is for who runs it.
        settings = json.loads(row.settings) if front.scope.is_everything else {}
        return render_template(
            "panel/gateways/show.html",
            row=row,
            issuer=owner,
            settings=settings,
            about=KINDS[row.kind].about if row.kind in KINDS else row.kind,
            webhooks=f"{front.desks.public_url}/webhooks/{row.name}" if front.desks.public_url else "",
        )

    @section.get("/received-webhooks/<int:id>")
    @needs(Permission.PAYMENTS_CORRECT)
    def webhook(id: int) -> str:
        with front.reading() as session:
            found = session.execute(
                select(ReceivedWebhookRow, PaymentGatewayRow)
                .join(PaymentGatewayRow, PaymentGatewayRow.id == ReceivedWebhookRow.gateway_id)
                .where(ReceivedWebhookRow.id == id, kept_by_sellers(front.scope, PaymentGatewayRow.issuer_id))
            ).one_or_none()
        if found is None:
            abort(404)
        row, gateway = found
        body = bytes(row.body).decode("utf-8", "replace")
        return render_template(
            "panel/gateways/webhook.html",
            row=row,
            gateway=gateway,
            body=_indented(body)[:MAX_BODY_SHOWN],
            headers=_indented(row.headers)[:MAX_BODY_SHOWN],
        )


def _indented(text: str) -> str:
    """JSON as people read it; whatever else it is, as it came."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return "".join(x if x.isprintable() or x == "\n" else "�" for x in text)


class KindForm(PanelForm):
    """Which service."""

    class Meta:
        csrf = False

    kind = SelectField(
        lazy_gettext("Service"), choices=lambda: [(x.name, told(x.about)) for x in KINDS.values()]
    )


def _form_of(kind: str, *, is_new: bool) -> Any:
    """The form of a gateway: its settings are the kind's."""

    class GatewayForm(PanelForm):
        """One gateway."""

        if is_new:
            name = LineField(
                lazy_gettext("Name"),
                [required(), at_most(64)],
                description=lazy_gettext("Part of the address for webhooks: small letters, digits and -."),
            )
            issuer = AccountField(
                lazy_gettext("Of the reseller"),
                [Optional(), at_most(64)],
                description=lazy_gettext("Whose customers pay by it. Empty: your own."),
            )
        else:
            edition = EditionField()
            enabled = BooleanField(
                lazy_gettext("Takes new payments"),
                description=lazy_gettext("Without, it still hears of the payments that it had."),
            )
        units = LineField(
            lazy_gettext("Currencies"),
            [Optional(), at_most()],
            description=lazy_gettext("With commas between. Empty: any."),
        )

    for key, needed in _asked_for(kind).items():
        described = (
            lazy_gettext(
                "A file on the server that holds the secret, with its whole path. It is not shown here."
            )
            if key.endswith("_file")
            else ""
        )
        label = key.removesuffix("_file").replace("_", " ").capitalize()
        field = LineField(label, [required() if needed else Optional(), at_most(500)], description=described)
        setattr(GatewayForm, f"set_{key}", field)
    return GatewayForm


def _asked_for(kind: str) -> dict[str, bool]:
    return {name: needed for name, needed in setting_names(kind).items() if not is_address(name)}


def _settings_of(form: Any, kind: str) -> dict[str, str]:
    return {key: value for key in _asked_for(kind) if (value := form[f"set_{key}"].data)}


def _units(text: str | None) -> tuple[str, ...]:
    return tuple(x.strip().upper() for x in (text or "").split(",") if x.strip())


def _facts(row: PaymentGatewayRow) -> dict[str, str | None]:
    settings: Mapping[str, Any] = json.loads(row.settings)
    facts: dict[str, str | None] = {f"set_{key}": _written(value) for key, value in settings.items()}
    return facts | {"units": row.units, "enabled": "yes" if row.enabled else "no"}


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/payment-gateways/new", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    @grave
    def new() -> str | Response:
        kind = request.args.get("kind", "")
        crumbs = [(gettext("Gateways"), url_for(".listed"))]
        if kind not in KINDS:
            return render_template("panel/gateways/kind.html", form=KindForm(request.args), crumbs=crumbs)
        form = _form_of(kind, is_new=True)()
        if form.validate_on_submit():
            made = 0
            with refusals(form) as refused, front.changing("gateway.make", form.name.data or "") as change:
                made = _made(change.session, front, kind, form, change.now_us)
            if not refused:
                flash(gettext("The gateway is set up. Enter its address for webhooks at the service."))
                return redirect(url_for(".show", id=made), 303)
        return render_template(
            "panel/gateways/form.html", form=form, crumbs=crumbs, kind=KINDS[kind], row=None
        )

    @section.route("/payment-gateways/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    @grave
    def edit(id: int) -> str | Response:
        with front.reading() as session:
            row = _gateway(session, front, id)
        form = _form_of(row.kind, is_new=False)()
        if request.method == "GET":
            facts = _facts(row)
            for name, value in facts.items():
                if name in form:
                    form[name].data = value
            form.enabled.data = row.enabled
            form.edition.data = edition_of(facts)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("gateway.change", row.name) as change:
                _change(change.session, front, id, form)
            if not refused:
                flash(gettext("The gateway is changed."))
                return redirect(url_for(".show", id=id), 303)
        crumbs = [(gettext("Gateways"), url_for(".listed")), (row.name, url_for(".show", id=id))]
        return render_template(
            "panel/gateways/form.html", form=form, crumbs=crumbs, kind=KINDS[row.kind], row=row
        )


def _made(session: Session, front: Front, kind: str, form: Any, now_us: int) -> int:
    code = form.issuer.data
    owner = account_of_code(session, front, code) if code else issuer(session, front)
    try:
        return add_gateway(
            session,
            owner,
            name=form.name.data or "",
            kind=kind,
            settings=_settings_of(form, kind),
            units=_units(form.units.data),
            now_us=now_us,
        ).id
    except ConfigurationError as error:
        raise InputRefused(str(error)) from None


def _change(session: Session, front: Front, id: int, form: Any) -> None:
    row = _gateway(session, front, id)
    check_edition(form, _facts(row))
    try:
        change_gateway(
            session,
            row,
            settings=_settings_of(form, row.kind),
            units=_units(form.units.data),
            enabled=form.enabled.data,
        )
    except ConfigurationError as error:
        raise InputRefused(str(error)) from None


def _gateway(session: Session, front: Front, id: int) -> PaymentGatewayRow:
    return front.one(
        session,
        select(PaymentGatewayRow).where(
            PaymentGatewayRow.id == id, kept_by_sellers(front.scope, PaymentGatewayRow.issuer_id)
        ),
    )
