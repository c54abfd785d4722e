"""How mail of whoever acts is sent: by which server, in whose name; and a message to try it.

Which server it is, and where its password lies, is said on the command line: a password is read from a file
of the machine, and whoever could name one here could have any file of it sent to a server of his.
"""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.parties import known_addresses
from pbxbill.errors import InputRefused
from pbxbill.notify.sending import has_own_server, mail_settings, send_test
from pbxbill.notify.smtp import Delivered
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import MailOutageRow
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs

WAIT_S = 20.0
"""So long somebody waits for what the test comes to."""


class TryForm(PanelForm):
    """Whom to write to."""

    address = SelectField(
        lazy_gettext("Send it to"),
        description=lazy_gettext("Addresses of your company and of your own users are offered."),
    )


def add_mail_server(section: Blueprint, front: Front) -> None:
    """The page."""

    @section.get("/company/mail-server")
    @needs(Permission.NOTICES_READ)
    def mail_server() -> str:
        return _page(front, TryForm(formdata=None))

    @section.post("/company/mail-server")
    @needs(Permission.NOTICES_WRITE)
    def test_mail_server() -> str | Response:
        form = TryForm()
        own_id = front.scope.account_id
        with front.reading() as session:
            form.address.choices = [(x, x) for x in known_addresses(session, own_id)]
            settings = mail_settings(session, own_id, front.rules.mail)
        if form.validate_on_submit():
            address = str(form.address.data)
            with front.changing("mail-server.test", address) as change:
                now_us = change.now_us
            # No transaction is open while a server is waited for.
            with refusals(form) as refused:
                outcome = send_test(
                    settings,
                    address,
                    now_us,
                    subject=gettext("Test"),
                    text=gettext("This mail server works."),
                    within_s=WAIT_S,
                )
                if not isinstance(outcome, Delivered):
                    raise InputRefused(gettext("It was not sent: %(why)s", why=outcome.why))
            if not refused:
                flash(gettext("The server took the message for %(address)s.", address=address))
                return redirect(url_for(".mail_server"), 303)
        return _page(front, form)


def _page(front: Front, form: TryForm) -> str:
    own_id = front.scope.account_id
    with front.reading() as session:
        form.address.choices = [(x, x) for x in known_addresses(session, own_id)]
        return render_template(
            "panel/issuer/mail_server.html",
            form=form,
            own=session.get_one(AccountRow, own_id),
            settings=mail_settings(session, own_id, front.rules.mail),
            # Whose server it is is shown to him alone.
            is_own=has_own_server(session, own_id) or front.scope.is_everything,
            outage=session.get(MailOutageRow, own_id),
        )
