"""For how long a number rests that was given back: each issuer's own."""

from dataclasses import replace

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.parties import issuer_of, set_issuer
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.did_forms import QuarantineForm


def add_quarantine(section: Blueprint, front: Front) -> None:
    """Its page."""

    @section.route("/numbers/quarantine", methods=["GET", "POST"])
    @needs(Permission.NUMBERS_WRITE)
    def quarantine() -> str | Response:
        form = QuarantineForm()
        issuer_id = front.scope.account_id
        if request.method == "GET":
            with front.reading() as session:
                form.days.data = issuer_of(session, issuer_id).did_quarantine_days
            form.edition.data = edition_of({"days": str(form.days.data)})
        if form.validate_on_submit():
            with refusals(form, "days") as refused, front.changing("numbers.quarantine", "days") as change:
                issuer = issuer_of(change.session, issuer_id)
                check_edition(form, {"days": str(issuer.did_quarantine_days)})
                set_issuer(change.session, issuer_id, replace(issuer, did_quarantine_days=form.days.data))
            if not refused:
                flash(gettext("Numbers that are given back from now on rest for so long."))
                return redirect(url_for(".listed"), 303)
        return render_template("panel/dids/quarantine.html", form=form)
