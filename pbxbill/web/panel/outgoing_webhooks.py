"""Outgoing webhooks: where programs are told of notices, what was delivered, secrets and their rotation."""

import json

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext, ngettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectMultipleField
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.webhook_endpoints import (
    add_endpoint,
    end_rotation,
    given_up,
    remove,
    retry_given_up,
    rotate,
    switch,
    try_endpoint,
)
from pbxbill.listing.listing import N_
from pbxbill.listing.notices import DELIVERIES, ENDPOINTS, delivery_seen
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.notify.outbox import MOST_RETRIED, retry
from pbxbill.notify.webhook import Accepted
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow
from pbxbill.web.fields import AccountField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.formatting import count as number_text
from pbxbill.web.front import Change, Front, grave, needs
from pbxbill.web.panel.asking import (
    account_of_code,
    done_at_once,
    done_when_sure,
    form_page,
    issuer,
    tabs_of,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.words import word_of


class EndpointForm(PanelForm):
    """Where to post."""

    url = LineField(
        lazy_gettext("Address"),
        [required(), at_most(500)],
        description=lazy_gettext("With https:// before it."),
    )
    account = AccountField(
        lazy_gettext("About the account"),
        [Optional(), at_most(64)],
        description=lazy_gettext("And all below it. Empty: your own account, and so about all of yours."),
    )
    kinds = SelectMultipleField(
        lazy_gettext("Only these kinds"),
        choices=lambda: [(x.value, word_of(x.value)) for x in KINDS],
        render_kw={"size": 8},
        description=lazy_gettext("None chosen: all."),
    )


def outgoing_webhooks(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("outgoing_webhooks", __name__)
    add_list(
        section,
        front,
        ListPage(
            ENDPOINTS,
            "/webhook-endpoints",
            link="outgoing_webhooks.show",
            template="panel/payments/tabbed.html",
            empty=(
                N_("No program is told of anything yet"),
                N_("Name an address: notices are posted there, signed, as Standard Webhooks."),
            ),
            actions=((N_("New webhook"), "outgoing_webhooks.new", Permission.NOTICES_WRITE),),
            more=lambda: {"tabs": notice_tabs(front), "tab": "webhooks"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            DELIVERIES,
            "/webhook-deliveries",
            endpoint="deliveries",
            link="outgoing_webhooks.delivery",
            template="panel/payments/tabbed.html",
            empty=(N_("Nothing was posted yet"), N_("Each notice that is posted to a webhook appears here.")),
            more=lambda: {"tabs": notice_tabs(front), "tab": "deliveries"},
        ),
    )
    _add_making(section, front)
    _add_page(section, front)
    _add_secrets(section, front)
    _add_deliveries(section, front)
    return section


def notice_tabs(front: Front) -> list[tuple[str, str, str]]:
    """The lists about notices."""
    need = "notices:read"
    return tabs_of(
        front,
        ("messages", gettext("Messages"), "notices.listed", need),
        ("templates", gettext("Templates"), "notices.templates", need),
        ("thresholds", gettext("Thresholds"), "notices.thresholds", need),
        ("webhooks", gettext("Webhooks"), "outgoing_webhooks.listed", need),
        ("deliveries", gettext("Deliveries"), "outgoing_webhooks.deliveries", need),
    )


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Webhooks"), url_for("outgoing_webhooks.listed"))]


def _endpoint(session: Session, front: Front, id: int) -> WebhookEndpointRow:
    return front.one(
        session,
        select(WebhookEndpointRow).where(
            WebhookEndpointRow.id == id, kept_by_sellers(front.scope, WebhookEndpointRow.account_id)
        ),
    )


def _add_making(section: Blueprint, front: Front) -> None:
    @section.route("/webhook-endpoints/new", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def new() -> str | Response:
        form = EndpointForm()
        if form.validate_on_submit():
            secret, made = "", 0
            with refusals(form) as refused, front.changing("webhook.add", form.url.data or "") as change:
                code = form.account.data
                about = (
                    account_of_code(change.session, front, code) if code else issuer(change.session, front)
                )
                kinds = [NoticeKind(x) for x in form.kinds.data or ()]
                row = add_endpoint(
                    change.session, about, form.url.data or "", kinds=kinds, now_us=change.now_us
                )
                secret, made = row.secret, row.id
            if not refused:
                return render_template(
                    "panel/outgoing_webhooks/secret.html",
                    id=made,
                    secret=secret,
                    is_new=True,
                    crumbs=_crumbs(),
                )
        return form_page(
            form, gettext("New webhook"), gettext("Make the webhook"), url_for(".listed"), _crumbs()
        )


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/webhook-endpoints/<int:id>")
    @needs(Permission.NOTICES_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _endpoint(session, front, id)
            account = session.get_one(AccountRow, row.account_id)
        return render_template(
            "panel/outgoing_webhooks/show.html",
            row=row,
            account=account,
            kinds=[word_of(x) for x in row.kinds.split()],
            crumbs=_crumbs(),
        )

    @section.post("/webhook-endpoints/<int:id>/<any(on,off):do>")
    @needs(Permission.NOTICES_WRITE)
    def set_state(id: int, do: str) -> Response:
        with front.reading() as session:
            url = _endpoint(session, front, id).url
        return done_at_once(
            front,
            f"webhook.{do}",
            url,
            lambda change: switch(change.session, _endpoint(change.session, front, id).id, on=do == "on"),
            gettext("It is posted to again.")
            if do == "on"
            else gettext("Nothing is posted there. What happens meanwhile is not posted later."),
            url_for(".show", id=id),
        )

    @section.post("/webhook-endpoints/<int:id>/test")
    @needs(Permission.NOTICES_WRITE)
    def test(id: int) -> Response:
        with front.reading() as session:
            row = _endpoint(session, front, id)
            account = session.get_one(AccountRow, row.account_id)
        answer = try_endpoint(row, account, front.clock.now_us(), private=False)
        with front.changing("webhook.test", row.url):
            pass  # nothing of ours changes: that somebody posted there is told
        if isinstance(answer, Accepted):
            flash(gettext("The address took the test."))
        else:
            flash(gettext("The test was not taken: %(why)s", why=answer.why), "bad")
        return redirect(url_for(".show", id=id), 303)

    @section.route("/webhook-endpoints/<int:id>/remove", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def forget(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _endpoint(session, front, id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("webhook.remove", row.url) as change:
                remove(change.session, _endpoint(change.session, front, id).id)
            if not refused:
                flash(gettext("The webhook is removed."))
                return redirect(url_for(".listed"), 303)
        back = url_for(".show", id=id)
        return form_page(
            form,
            gettext("Remove the webhook"),
            gettext("Remove it"),
            back,
            [*_crumbs(), (row.url, back)],
            warning=gettext("Nothing is posted there any more; deliveries that wait are given up."),
        )


def _add_secrets(section: Blueprint, front: Front) -> None:
    @section.route("/webhook-endpoints/<int:id>/rotate", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    @grave
    def new_secret(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _endpoint(session, front, id)
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            secret = ""
            with refusals(form) as refused, front.changing("webhook.rotate", row.url) as change:
                secret = rotate(change.session, _endpoint(change.session, front, id).id).secret
            if not refused:
                return render_template(
                    "panel/outgoing_webhooks/secret.html",
                    id=id,
                    secret=secret,
                    is_new=False,
                    crumbs=_crumbs(),
                )
        return form_page(
            form,
            gettext("Another secret"),
            gettext("Make another secret"),
            back,
            [*_crumbs(), (row.url, back)],
            lead=gettext(
                "Deliveries are signed with both until you say that the receiver knows the new one. "
                "The new secret is shown once."
            ),
        )

    @section.route("/webhook-endpoints/<int:id>/rotated", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def rotated(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            url = _endpoint(session, front, id).url
        back = url_for(".show", id=id)
        if not form.validate_on_submit():
            return form_page(
                form,
                gettext("The receiver knows the new one"),
                gettext("Forget the old secret"),
                back,
                [*_crumbs(), (url, back)],
                warning=gettext(
                    "The old secret is gone for good: a receiver that only knows it refuses all."
                ),
            )
        return done_at_once(
            front,
            "webhook.rotated",
            url,
            lambda change: end_rotation(change.session, _endpoint(change.session, front, id).id),
            gettext("Deliveries are signed with the new secret alone."),
            back,
        )


def _add_deliveries(section: Blueprint, front: Front) -> None:
    @section.route("/webhook-endpoints/<int:id>/retry", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def retry_all(id: int) -> str | Response:
        back = url_for(".show", id=id)
        with front.reading() as session:
            url = _endpoint(session, front, id).url
            count = given_up(session, id)
        if not count:
            flash(gettext("Nothing that was posted there is given up."))
            return redirect(back, 303)

        def again(change: Change) -> str:
            row = _endpoint(change.session, front, id)
            done = retry_given_up(change.session, row.id, change.now_us)
            return str(ngettext("%(num)d delivery waits again.", "%(num)d deliveries wait again.", done))

        return done_when_sure(
            front,
            "webhook.retry",
            url,
            again,
            back,
            title=gettext("Post again what was given up"),
            button=ngettext("Post %(num)d delivery", "Post %(num)d deliveries", min(count, MOST_RETRIED)),
            crumbs=[*_crumbs(), (url, back)],
            warning=gettext(
                "Each is posted with the contents and the id that it had. A receiver that took it in another "
                "way meanwhile may do twice what it stands for."
            ),
            lead=oldest_first(count),
        )

    @section.get("/webhook-deliveries/<int:id>")
    @needs(Permission.NOTICES_READ)
    def delivery(id: int) -> str:
        with front.reading() as session:
            row, endpoint = _delivery(session, front, id)
        try:
            body = json.dumps(json.loads(row.text), indent=2, ensure_ascii=False)
        except ValueError:
            body = row.text
        return render_template(
            "panel/outgoing_webhooks/delivery.html",
            row=row,
            endpoint=endpoint,
            body=body,
            crumbs=[(gettext("Deliveries"), url_for(".deliveries"))],
        )

    @section.post("/webhook-deliveries/<int:id>/retry")
    @needs(Permission.NOTICES_WRITE)
    def retry_one(id: int) -> Response:
        with front.reading() as session:
            _delivery(session, front, id)
        return done_at_once(
            front,
            "webhook.retry",
            str(id),
            lambda change: retry(change.session, [_delivery(change.session, front, id)[0].id], change.now_us),
            gettext("It waits again, and is posted within a minute or so."),
            url_for(".delivery", id=id),
        )


def oldest_first(count: int) -> str:
    """That not all of so many that were given up can be sent at once; empty: they can."""
    if count <= MOST_RETRIED:
        return ""
    text = gettext(
        "%(count)s were given up. The oldest %(most)s of them go first: ask for the others after that.",
        count=number_text(count),
        most=number_text(MOST_RETRIED),
    )
    return str(text)


def _delivery(session: Session, front: Front, id: int) -> tuple[MessageRow, WebhookEndpointRow]:
    found = delivery_seen(session, front.scope, id)
    if found is None:
        abort(404)
    return found
