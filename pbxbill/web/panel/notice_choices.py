"""Who is told of what and when: thresholds of an issuer's customers, and what one account wants."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlencode

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units, wallets_of
from pbxbill.billing.invoices.standing import locked_wallet
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_profiles import (
    Delivery,
    addressee_of,
    choose,
    delivery_of,
    forget_choice,
    set_delivery,
)
from pbxbill.billing.payments.balance_thresholds import (
    set_thresholds,
    spread_defaults,
    thresholds_of,
    write_defaults,
)
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount, parse_amount
from pbxbill.store.thresholds import all_defaults_of
from pbxbill.web.background import Background
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import plain_number, refusals
from pbxbill.web.formatting import reader_locale
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import done_at_once, form_page, wallet_units
from pbxbill.web.panel.notice_forms import ThresholdsForm, TimesForm
from pbxbill.web.panel.outgoing_webhooks import notice_tabs

NOTICE = "notice"
"""The purpose of thresholds that an account is told of."""


def add_choices(section: Blueprint, front: Front, background: Background) -> None:
    """Add the routes."""
    _add_defaults(section, front, background)
    _add_account(section, front)
    _add_account_forms(section, front)


def _amounts(text: str | None, unit: Unit) -> list[int]:
    return [parse_amount(plain_number(x.strip()), unit) for x in (text or "").split(";") if x.strip()]


def _add_defaults(section: Blueprint, front: Front, background: Background) -> None:
    @section.route("/notices/thresholds", methods=["GET"])
    @needs(Permission.NOTICES_READ)
    def thresholds() -> str:
        with front.reading() as session:
            found = all_defaults_of(session, front.scope.account_id)
        return render_template("panel/notices/thresholds.html", found=found, tabs=notice_tabs(front))

    @section.route("/notices/thresholds/edit", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def edit_thresholds() -> str | Response:
        form = ThresholdsForm()
        with front.reading() as session:
            units = {x.code: x for x in money_units(session)}
            shown = _default_texts(session, front, units)
        unit = units[_shown_unit(form, shown)]
        if form.validate_on_submit():
            with refusals(form, "amounts") as refused:
                amounts = _amounts(form.amounts.data, unit)
                issuer_id = front.scope.account_id
                with front.changing("thresholds.set", unit.code) as change:
                    now = _default_texts(change.session, front, units)
                    check_edition(form, {unit.code: now[unit.code]})
                    write_defaults(change.session, issuer_id, unit.code, amounts)
                # Wallet by wallet, in transactions of their own.
                database, now_us = front.desks.application.database, front.clock.now_us()
                background.start("thresholds", lambda: _spread(database, issuer_id, unit.code, now_us))
            if not refused:
                flash(gettext("Your customers who have none of their own are told below these from now on."))
                return redirect(url_for(".thresholds"), 303)
        return form_page(
            form,
            gettext("Below which funds in %(unit)s customers are told", unit=unit.code),
            gettext("Save"),
            url_for(".thresholds"),
            [(gettext("Thresholds"), url_for(".thresholds"))],
            facts=_others(shown, unit.code),
        )


def _default_texts(session: Session, front: Front, units: Mapping[str, Unit]) -> dict[str, str]:
    found = all_defaults_of(session, front.scope.account_id)
    return {code: _written(found.get(code, ()), unit) for code, unit in units.items()}


def _written(amounts: Iterable[int], unit: Unit) -> str:
    """Amounts as people write them, but for the reader's decimal sign."""
    return "; ".join(format_amount(x, unit) for x in amounts)


def _shown_unit(form: ThresholdsForm, shown: Mapping[str, str]) -> str:
    """Of which unit a form shows the thresholds: that which the address names, or the first."""
    if request.method == "GET":
        form.unit.data = request.args.get("unit", "") or next(iter(shown), "")
    code = form.unit.data or ""
    if code not in shown:
        abort(404)
    if request.method == "GET":
        form.edition.data = edition_of({code: shown[code]})
        form.amounts.data = _localized(shown[code])
    return code


def _localized(text: str) -> str:
    return text.replace(".", reader_locale().number_symbols["latn"]["decimal"])


def _others(shown: Mapping[str, str], code: str) -> list[tuple[str, Markup]]:
    """What there is in other units, each with the way to its form."""
    link = Markup('{} <a href="{}">{}<span class="visually-hidden"> {}</span></a>')
    told = ((x, text) for x, text in shown.items() if x != code)
    return [
        (x, link.format(_localized(text) or gettext("never"), _address(x), gettext("Change"), x))
        for x, text in told
    ]


def _address(unit: str) -> str:
    return "?" + urlencode({"unit": unit})


def _spread(database: Engine, issuer_id: int, unit: str, now_us: int) -> None:
    spread_defaults(database, issuer_id, unit, now_us)


def _add_account(section: Blueprint, front: Front) -> None:
    @section.get("/notices/of-account/<int:id>")
    @needs(Permission.NOTICES_READ)
    def account(id: int) -> str:
        with front.reading() as session:
            row = front.account(session, id)
            told = [(x, addressee_of(session, id, x)) for x, terms in KINDS.items() if not terms.internal]
            wallets = [(x, thresholds_of(session, x.id)) for x in wallets_of(session, id)]
        return render_template(
            "panel/notices/account.html",
            account=row,
            told=told,
            kinds=KINDS,
            who=told[0][1],
            wallets=wallets,
            clock=_clock,
        )

    @section.post("/notices/of-account/<int:id>/<any(on,off,usual):do>/<kind>")
    @needs(Permission.NOTICES_WRITE)
    def choice(id: int, do: str, kind: str) -> Response:
        try:
            known = NoticeKind(kind)
        except ValueError:
            abort(404)
        with front.reading() as session:
            code = front.account(session, id).code

        def chosen(session: Session) -> None:
            row = front.account(session, id)
            if do == "usual":
                forget_choice(session, row.id, known)
            else:
                choose(session, row.id, known, enabled=do == "on")

        return done_at_once(
            front,
            "notice.choose",
            f"{code} {kind}",
            lambda change: chosen(change.session),
            gettext("It is told so from now on."),
            url_for(".account", id=id),
            id,
        )


def _add_account_forms(section: Blueprint, front: Front) -> None:
    @section.route("/notices/of-account/<int:id>/thresholds", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def account_thresholds(id: int) -> str | Response:
        form = ThresholdsForm()
        with front.reading() as session:
            row = front.account(session, id)
            units = wallet_units(session, row)
            shown = {x: _own_text(session, id, unit) for x, unit in units.items()}
        back = url_for(".account", id=id)
        if not units:
            flash(gettext("It has no wallet that holds money."), "warn")
            return redirect(back, 303)
        unit = units[_shown_unit(form, shown)]
        if form.validate_on_submit():
            with (
                refusals(form, "amounts") as refused,
                front.changing("thresholds.set", row.code, account_id=id) as change,
            ):
                front.account(change.session, id)
                amounts = _amounts(form.amounts.data, unit)
                wallet = locked_wallet(change.session, id, unit.code)
                check_edition(form, {unit.code: _own_text(change.session, id, unit)})
                set_thresholds(change.session, wallet, NOTICE, amounts, change.now_us)
            if not refused:
                flash(gettext("The thresholds are set. Those that it is below already are not told of now."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Below which funds in %(unit)s %(name)s is told", unit=unit.code, name=row.name),
            gettext("Save"),
            back,
            [(gettext("Accounts"), url_for("accounts.listed")), (row.code, back)],
            lead=gettext("Empty: as for all customers of its seller."),
            facts=_others(shown, unit.code),
        )

    @section.route("/notices/of-account/<int:id>/times", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def times(id: int) -> str | Response:
        form = TimesForm()
        with front.reading() as session:
            row = front.account(session, id)
            held = delivery_of(session, id)
        if request.method == "GET":
            facts = _times_facts(held)
            for name, value in facts.items():
                form[name].data = value
            form.edition.data = edition_of(facts)
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("notice.times", row.code, account_id=id) as change,
            ):
                check_edition(form, _times_facts(delivery_of(change.session, id)))
                wanted = Delivery(
                    _minute(form.quiet_from.data),
                    _minute(form.quiet_to.data),
                    form.digest.data,
                    _minute(form.digest_at.data) or 0 if form.digest_at.data else held.digest_minute,
                )
                set_delivery(change.session, front.account(change.session, id).id, wanted)
            if not refused:
                flash(gettext("It is told at these times from now on."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("When %(name)s is told", name=row.name),
            gettext("Save"),
            back,
            [(gettext("Accounts"), url_for("accounts.listed")), (row.code, back)],
            lead=gettext("By the clock of its own time zone. What is urgent comes at once."),
        )


def _own_text(session: Session, account_id: int, unit: Unit) -> str:
    """The thresholds of an account's own in a unit."""
    wallets = (x for x in wallets_of(session, account_id) if x.unit == unit.code)
    own = (x.below for wallet in wallets for x in thresholds_of(session, wallet.id) if x.purpose == NOTICE)
    return _written(own, unit)


def _times_facts(held: Delivery) -> dict[str, str]:
    return {
        "quiet_from": "" if held.quiet_from is None else _clock(held.quiet_from),
        "quiet_to": "" if held.quiet_to is None else _clock(held.quiet_to),
        "digest": held.digest,
        "digest_at": _clock(held.digest_minute),
    }


def _minute(text: str | None) -> int | None:
    if not text:
        return None
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        raise InputRefused(
            gettext("%(text)s is no hour of the day; write it like 22:00.", text=repr(text[:20]))
        )
    return int(hours) * 60 + int(minutes)


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"
