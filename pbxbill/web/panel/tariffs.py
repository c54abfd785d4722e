"""Tariffs: by what calls are charged; written version by version, tried on a number."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.decks import visible_decks, visible_tariffs
from pbxbill.listing.listing import N_
from pbxbill.listing.tariffs import TARIFFS, mark_up_text
from pbxbill.rating.rate_text import plain_price, price_text
from pbxbill.rating.tariff_terms import cycle_steps_from_json, mark_up_from_json
from pbxbill.rating.tariff_text import steps_text
from pbxbill.store.accounts import tariff_by_name
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow, TariffVersionRow
from pbxbill.store.tariff_trial import try_tariff
from pbxbill.store.tariffs import NewTariff, add_tariff_version, newest_terms
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.tariff_forms import (
    TariffForm,
    TrialForm,
    facts_of,
    fill_choices,
    fill_terms,
    tell_usual_tax,
    terms_of,
)

VERSIONS_SHOWN = 25
USERS_SHOWN = 20


def tariffs(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("tariffs", __name__)
    add_list(
        section,
        front,
        ListPage(
            TARIFFS,
            "/tariffs",
            link="tariffs.show",
            empty=(
                N_("There is no tariff yet"),
                N_("A tariff charges calls by a rate deck, or by a mark-up on what you pay yourself."),
            ),
            actions=((N_("New tariff"), "tariffs.new", Permission.CATALOGUE_WRITE),),
        ),
    )
    _add_page(section, front)
    _add_forms(section, front)
    return section


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/tariffs/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        trial_form = TrialForm(request.args)
        trial: dict[str, Any] | None = None
        with front.reading() as session:
            tariff = tariff_seen(session, front, id)
            if "number" in request.args and trial_form.validate():
                with refusals(trial_form, "number"):
                    trial = _trial(session, front, tariff, trial_form)
            own = tariff.issuer_id == front.scope.account_id
            return render_template(
                "panel/tariffs/show.html",
                tariff=tariff,
                own=own,
                versions=[_shown(session, front, x) for x in _versions(session, id, own)],
                users=_users(session, front, id) if own else [],
                trial_form=trial_form,
                trial=trial,
            )


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/tariffs/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        form = TariffForm()
        with front.reading() as session:
            fill_choices(session, front, form)
            tell_usual_tax(session, form, front.scope.account_id, front.clock.now_us())
        if request.method == "GET":
            fill_terms(form, NewTariff("", deck="-"))
            form.deck.data = request.args.get("deck", "")
        if form.validate_on_submit():
            tariff_id = 0
            with refusals(form) as refused, front.changing("tariff.make", form.name.data or "") as change:
                issuer_id = front.scope.account_id
                if _exists(change.session, form.name.data or "", issuer_id):
                    raise TermRefused(gettext("there is a tariff of this name already"), "name")
                version = add_tariff_version(change.session, terms_of(form, issuer_id), change.now_us)
                tariff_id = version.tariff_id
            if not refused:
                flash(gettext("The tariff is made. Accounts get it on their own pages."))
                return redirect(url_for(".show", id=tariff_id), 303)
        return render_template("panel/tariffs/form.html", form=form, tariff=None)

    @section.route("/tariffs/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def edit(id: int) -> str | Response:
        form = TariffForm()
        with front.reading() as session:
            tariff = _own(session, front, id)
            fill_choices(session, front, form)
            terms = newest_terms(session, tariff)
        if request.method == "GET":
            fill_terms(form, terms)
            form.edition.data = edition_of(facts_of(terms))
        if form.validate_on_submit():
            number = 0
            form.name.data = tariff.name
            with refusals(form) as refused, front.changing("tariff.change", tariff.name) as change:
                check_edition(form, facts_of(newest_terms(change.session, _own(change.session, front, id))))
                wanted = terms_of(form, tariff.issuer_id)
                number = add_tariff_version(change.session, wanted, change.now_us).number
            if not refused:
                flash(gettext("Version %(number)d counts for calls from now on.", number=number))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/tariffs/form.html", form=form, tariff=tariff)


def tariff_seen(session: Session, front: Front, id: int) -> TariffRow:
    """A tariff that may be seen; 404 for any other."""
    return front.one(session, select(TariffRow).where(TariffRow.id == id, visible_tariffs(front.scope)))


def _own(session: Session, front: Front, id: int) -> TariffRow:
    tariff = tariff_seen(session, front, id)
    if tariff.issuer_id != front.scope.account_id:
        abort(404)
    return tariff


def _exists(session: Session, name: str, issuer_id: int) -> bool:
    try:
        tariff_by_name(session, name, issuer_id)
    except InputRefused:
        return False
    return True


def _versions(session: Session, id: int, own: bool) -> list[TariffVersionRow]:
    # Who is charged by another's tariff sees what counts, and not what once did.
    return list(
        session.scalars(
            select(TariffVersionRow)
            .where(TariffVersionRow.tariff_id == id)
            .order_by(TariffVersionRow.number.desc())
            .limit(VERSIONS_SHOWN if own else 1)
        )
    )


def _shown(session: Session, front: Front, row: TariffVersionRow) -> dict[str, Any]:
    deck = None
    if row.deck_id is not None:
        deck = session.scalar(
            select(RateDeckRow).where(RateDeckRow.id == row.deck_id, visible_decks(session, front.scope))
        )
    calendar = None if row.calendar_id is None else session.get(BandCalendarRow, row.calendar_id)
    cycle = None if row.cycle_steps is None else cycle_steps_from_json(row.cycle_steps)
    return {
        "row": row,
        "deck": deck,
        "mark_up": None if row.mark_up is None else mark_up_text(mark_up_from_json(row.mark_up)),
        "calendar": calendar,
        "cycle": cycle,
        "cycle_steps": None if cycle is None else steps_text(cycle.steps),
    }


def _users(session: Session, front: Front, id: int) -> dict[str, Any]:
    of_tariff = (
        front.scope.among(AccountRow.id),
        (AccountRow.tariff_id == id) | (AccountRow.inbound_tariff_id == id),
    )
    first = session.scalars(select(AccountRow).where(*of_tariff).order_by(AccountRow.code).limit(USERS_SHOWN))
    total = session.scalar(select(func.count()).select_from(AccountRow).where(*of_tariff)) or 0
    return {"first": list(first), "total": total}


def _trial(session: Session, front: Front, tariff: TariffRow, form: TrialForm) -> dict[str, Any]:
    seconds = 60 if form.seconds.data is None else form.seconds.data
    at_us = front.clock.now_us() if form.at.data is None else form.at.data
    found = try_tariff(session, tariff, form.number.data or "", seconds, at_us)
    # A mark-up's deck is another's: only what it comes to is shown.
    own_deck = found.tariff.mark_up is None
    return {
        "called": found.called,
        "seconds": seconds,
        "rate": found.rate,
        "price": price_text(found.rate),
        "per_min": plain_price(found.rate.price_per_min),
        "unit": found.tariff.unit,
        "charge": found.charge,
        "source": f"{found.deck}, {found.deck_version}" if own_deck else None,
    }
