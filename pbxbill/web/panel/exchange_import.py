"""Exchange rates from a file: looked at first, with the rows that cannot be used; written once agreed."""

from io import BytesIO
from typing import Any

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField, FileRequired
from werkzeug.wrappers import Response
from wtforms import HiddenField

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.units import exchange_text
from pbxbill.rating.exchange_sheet import ExchangeSheet
from pbxbill.store.exchange import ExchangeWriter, SheetRead, read_rates
from pbxbill.web.fields import MomentField, PanelForm, refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.destinations import operator_only

MAX_SHEET_BYTES = 200_000
SHOWN = 100


class RatesFileForm(PanelForm):
    """A sheet of rates."""

    file = FileField(
        lazy_gettext("List of exchange rates"),
        [FileRequired(lazy_gettext("Choose a file."))],
        description=lazy_gettext("CSV with the columns from, to, rate, and perhaps effective_from."),
    )
    since = MomentField(
        lazy_gettext("Rows without a date count from"), description=lazy_gettext("Empty: at once.")
    )


class AgreedRatesForm(PanelForm):
    """A sheet that was looked at."""

    text = HiddenField()
    name = HiddenField()
    since = HiddenField()


def add_exchange_import(section: Blueprint, front: Front) -> None:
    """The pages."""

    @section.route("/settings/exchange/import", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def import_rates() -> str | Response:
        operator_only(front)
        form = RatesFileForm()
        if form.validate_on_submit():
            with refusals(form, "file"):
                content = form.file.data.read(MAX_SHEET_BYTES + 1)
                if len(content) > MAX_SHEET_BYTES:
                    raise InputRefused(gettext("a list as long as this is imported by the command line"))
                return _preview(front, form, content)
        return render_template("panel/settings/exchange_import.html", form=form)

    @section.post("/settings/exchange/import/agree")
    @needs(Permission.SETTINGS_WRITE)
    def agree_rates() -> Response:
        operator_only(front)
        form = AgreedRatesForm()
        since = form.since.data or ""
        if not form.validate_on_submit() or not (since.isdecimal() and len(since) <= 18):
            return redirect(url_for(".import_rates"), 303)
        name = (form.name.data or "")[:200]
        try:
            with front.changing("exchange.import", name) as change:
                writer = ExchangeWriter(change.session, name, change.now_us)
                sheet = ExchangeSheet(BytesIO((form.text.data or "").encode()))
                found = read_rates(writer, sheet, int(since), write=True)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(_told(found))
        return redirect(url_for(".exchange"), 303)


def _told(found: SheetRead) -> str:
    rates, refused = len(found.rates), len(found.refused)
    if not refused:
        return str(gettext("Exchange rates that are set: %(rates)d.", rates=rates))
    told = gettext(
        "Exchange rates that are set: %(rates)d. Rows that could not be used: %(refused)d.",
        rates=rates,
        refused=refused,
    )
    return str(told)


def _preview(front: Front, form: RatesFileForm, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputRefused(gettext("the list is not UTF-8; save it as UTF-8")) from None
    now_us = front.clock.now_us()
    since_us = now_us if form.since.data is None else form.since.data
    name = form.file.data.filename or ""
    with front.reading() as session:
        writer = ExchangeWriter(session, name, now_us)
        found = read_rates(writer, ExchangeSheet(BytesIO(content)), since_us, write=False)
    agreed = AgreedRatesForm(formdata=None)
    agreed.text.data, agreed.name.data, agreed.since.data = text, name, str(since_us)
    shown: list[dict[str, Any]] = [
        {"from": x.from_unit, "to": x.to_unit, "rate": exchange_text(x.rate), "since_us": x.effective_from_us}
        for x in found.rates[:SHOWN]
    ]
    return render_template(
        "panel/settings/exchange_preview.html",
        form=agreed,
        rates=shown,
        count=len(found.rates),
        refused=found.refused[:SHOWN],
        refused_count=len(found.refused),
    )
