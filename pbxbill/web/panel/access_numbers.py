"""Access numbers of calling cards: listed, made, changed, removed. They are of the switch: the operator's."""

from dataclasses import asdict, fields
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code
from pbxbill.charging.announcement import LANGUAGES as SPOKEN
from pbxbill.errors import TermRefused
from pbxbill.ivr.access_number import RANGES, AccessTerms, access_number, read_terms
from pbxbill.ivr.access_numbers import put_access_number, remove_access_number
from pbxbill.listing.dids import ACCESS_NUMBERS
from pbxbill.listing.listing import N_
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import AccessNumberRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import AccountField, CountField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.panel.destinations import operator_only
from pbxbill.web.panel.lists import ListPage, add_list

_ORDER = ("first", "second", "third")


def _count(name: str, label: Any, described: Any = "") -> CountField:
    least, most = RANGES[name]
    return CountField(label, [required()], least=least, most=most, description=described)


def _spoken() -> list[tuple[str, str]]:
    return [(x, LANGUAGES[x]) for x in SPOKEN]


def _spoken_or_none() -> list[tuple[str, str]]:
    return [("", "–"), *_spoken()]


class AccessTermsForm(PanelForm):
    """What holds at an access number."""

    first = SelectField(lazy_gettext("Language"), choices=_spoken)
    second = SelectField(
        lazy_gettext("Second language"),
        choices=_spoken_or_none,
        description=lazy_gettext("With several languages callers are asked first, and may change it later."),
    )
    third = SelectField(lazy_gettext("Third language"), choices=_spoken_or_none)
    known_callers = BooleanField(
        lazy_gettext("Callers who are known need no PIN"),
        description=lazy_gettext(
            "Numbers of callers can be forged: only where your carrier checks them, or cards have little "
            "money."
        ),
    )
    pin_digits = _count(
        "pin_digits",
        lazy_gettext("Digits of the longest PIN"),
        lazy_gettext("After so many digits nothing need be pressed."),
    )
    pin_attempts = _count("pin_attempts", lazy_gettext("Tries of a PIN"))
    repeats = _count(
        "repeats",
        lazy_gettext("Repeats of a question"),
        lazy_gettext("To somebody who says nothing, before goodbye."),
    )
    answer_s = _count("answer_s", lazy_gettext("Seconds for the first digit"))
    digit_s = _count("digit_s", lazy_gettext("Seconds for each further digit"))
    max_setup_s = _count("max_setup_s", lazy_gettext("Seconds until a card must be known"))
    max_service_s = _count(
        "max_service_s",
        lazy_gettext("Seconds of questions after that"),
        lazy_gettext("At a stretch; calls do not count."),
    )
    max_lines = _count(
        "max_lines", lazy_gettext("Lines at once without a known card"), lazy_gettext("On each switch.")
    )
    say_balance = BooleanField(lazy_gettext("Say the balance"))
    say_validity = BooleanField(lazy_gettext("Say until when the balance is valid"))
    say_minutes = BooleanField(lazy_gettext("Say how long the call may last"))
    say_cost = BooleanField(lazy_gettext("Say what a call has cost, and the new balance"))
    refill = BooleanField(lazy_gettext("Take vouchers in the menu"))
    last_call = BooleanField(lazy_gettext("Tell in the menu what the last call has cost"))
    edition = EditionField()


class AccessNumberForm(AccessTermsForm):
    """A number that becomes an access number."""

    number = LineField(
        lazy_gettext("Number"),
        [required(), at_most(33)],
        description=lazy_gettext("As the switch shows it when it is called."),
    )
    seller = AccountField(
        lazy_gettext("Reseller"),
        [at_most(64)],
        description=lazy_gettext("Only cards of his customers work here. Empty: everybody's."),
    )


def add_access_numbers(section: Blueprint, front: Front) -> None:
    """Their pages."""
    add_list(
        section,
        front,
        ListPage(
            ACCESS_NUMBERS,
            "/access-numbers",
            endpoint="access_numbers",
            link=lambda row: url_for("dids.access_number", access_number=row["number"]),
            template="panel/dids/access_numbers.html",
            empty=(
                N_("There is no access number yet"),
                N_("Callers dial an access number to use their calling card."),
            ),
        ),
    )
    _add_page(section, front)
    _add_forms(section, front)


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/access-numbers/<string(maxlength=40):access_number>", endpoint="access_number")
    @needs(Permission.NUMBERS_READ)
    def show(access_number: str) -> str:
        with front.reading() as session:
            row = _row(session, front, access_number)
            seller = session.get_one(AccountRow, row.issuer_id)
            terms = read_terms(row.definition)
        return render_template(
            "panel/dids/access_number.html",
            row=row,
            seller=seller,
            terms=terms,
            languages=[LANGUAGES[x] for x in terms.languages],
            labels={x.name: x.label.text for x in AccessTermsForm(formdata=None)},
        )

    @section.route(
        "/access-numbers/<string(maxlength=40):access_number>/remove",
        methods=["GET", "POST"],
        endpoint="remove_access_number",
    )
    @needs(Permission.NUMBERS_WRITE)
    def remove(access_number: str) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _row(session, front, access_number)
        operator_only(front)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("access-number.remove", row.number) as change:
                remove_access_number(change.session, _row(change.session, front, row.number).number)
            if not refused:
                flash(gettext("Whoever calls this number is turned away from now on."))
                return redirect(url_for(".access_numbers"), 303)
        return render_template("panel/dids/access_number_remove.html", form=form, row=row)


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/access-numbers/new", methods=["GET", "POST"], endpoint="new_access_number")
    @needs(Permission.NUMBERS_WRITE)
    def new() -> str | Response:
        operator_only(front)
        form = AccessNumberForm()
        if request.method == "GET":
            form.process(data=_entered(AccessTerms()))
        terms = _checked(form)
        seller = None if terms is None else _seller(front, form)
        if terms is not None and seller is not None:
            digits = ""
            with refusals(form, "number") as refused:
                digits = access_number(form.number.data or "")
                with front.changing("access-number.make", digits) as change:
                    if change.session.get(AccessNumberRow, digits) is not None:
                        raise TermRefused(gettext("This is an access number already."), "number")
                    put_access_number(change.session, seller, digits, terms, change.now_us)
            if not refused:
                flash(gettext("Callers of this number are asked for the PIN of their card from now on."))
                return redirect(url_for(".access_number", access_number=digits), 303)
        return render_template("panel/dids/access_number_form.html", form=form, row=None)

    @section.route(
        "/access-numbers/<string(maxlength=40):access_number>/edit",
        methods=["GET", "POST"],
        endpoint="edit_access_number",
    )
    @needs(Permission.NUMBERS_WRITE)
    def edit(access_number: str) -> str | Response:
        with front.reading() as session:
            row = _row(session, front, access_number)
        operator_only(front)
        form = AccessTermsForm()
        if request.method == "GET":
            shown = _entered(read_terms(row.definition))
            form.process(data=shown)
            form.edition.data = edition_of(_facts(shown))
        terms = _checked(form)
        if terms is not None:
            with refusals(form) as refused, front.changing("access-number.change", row.number) as change:
                now = _row(change.session, front, row.number)
                check_edition(form, _facts(_entered(read_terms(now.definition))))
                seller = change.session.get_one(AccountRow, now.issuer_id)
                put_access_number(change.session, seller, now.number, terms, change.now_us)
            if not refused:
                flash(gettext("Lines that are up keep what held when they began."))
                return redirect(url_for(".access_number", access_number=row.number), 303)
        return render_template("panel/dids/access_number_form.html", form=form, row=row)


def _seller(front: Front, form: AccessNumberForm) -> AccountRow | None:
    """Whose number it becomes; None: who is named sells nothing, which the form says."""
    with refusals(form, "seller") as refused, front.reading() as session:
        found = issuer_by_code(session, form.seller.data or None)
    return None if refused else found


def _checked(form: AccessTermsForm) -> AccessTerms | None:
    """The terms of a form that was sent, and is right."""
    if not form.validate_on_submit():
        return None
    values = {x.name: form[x.name].data for x in fields(AccessTerms) if x.name in form}
    languages = tuple(form[x].data for x in _ORDER if form[x].data)
    with refusals(form, "second") as refused:
        found = AccessTerms(languages=languages, **values)
    return None if refused else found


def _entered(terms: AccessTerms) -> dict[str, Any]:
    """Terms by the fields of the form."""
    values = asdict(terms)
    languages = values.pop("languages")
    return {**dict.fromkeys(_ORDER, ""), **dict(zip(_ORDER, languages, strict=False)), **values}


def _facts(entered: dict[str, Any]) -> dict[str, str | None]:
    return {name: str(value) for name, value in entered.items()}


def _row(session: Session, front: Front, number: str) -> AccessNumberRow:
    own = kept_by_sellers(front.scope, AccessNumberRow.issuer_id)
    return front.one(session, select(AccessNumberRow).where(AccessNumberRow.number == number, own))
