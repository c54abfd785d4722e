"""One prefix of a deck: its rate corrected, added or ended. Changes are shown as those of a whole sheet."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.rate_text import plain_price, price_text
from pbxbill.rating.sheet_cells import DEFAULT_ROUTE
from pbxbill.rating.sheet_profile import parse_increments
from pbxbill.rating.tariff import Rate
from pbxbill.store.models import RateDeckRow
from pbxbill.store.one_rate import (
    RatePrices,
    Saying,
    rate_of,
    read_prefix,
    upload_of_end,
    upload_of_rate,
)
from pbxbill.store.rate_uploads import Upload, keep_upload, read_upload
from pbxbill.web.background import Background
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import (
    CountField,
    LineField,
    MomentField,
    NumberField,
    PanelForm,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.rate_imports import effective_of


class WhenForm(PanelForm):
    """From when on something is."""

    effective = MomentField(
        lazy_gettext("Counts from"), description=lazy_gettext("Empty: as soon as you agree to the changes.")
    )
    backdate = BooleanField(lazy_gettext("A date that is past is meant"))
    edition = EditionField()


class RateForm(WhenForm):
    """What numbers of a prefix cost."""

    prefix = LineField(
        lazy_gettext("Prefix"),
        [required(), at_most(24)],
        description=lazy_gettext("With the country code, like 4930. An asterisk rates every other number."),
    )
    destination = LineField(lazy_gettext("Destination"), [required(), at_most(100)])
    price = NumberField(lazy_gettext("Price"), [required()])
    fee = NumberField(lazy_gettext("Connection fee"))
    minimum = NumberField(lazy_gettext("Minimum charge"))
    increments = LineField(
        lazy_gettext("Increments"),
        [required(), at_most(20)],
        default="1/1",
        description=lazy_gettext("The first and the following seconds, for example 60/60."),
    )
    free_s = CountField(lazy_gettext("Free seconds"), most=86_400)
    against = SelectField(
        lazy_gettext("Compare with what it is sold at by"),
        default="",
        description=lazy_gettext("A deck of yours: prefixes sold below these prices are shown."),
    )


def add_one_rate(section: Blueprint, front: Front) -> None:
    """Give the section its pages."""
    worker = Background()
    _add_rate(section, front, worker)
    _add_end(section, front, worker)


def _sent(
    front: Front,
    worker: Background,
    form: WhenForm,
    told: tuple[str, str],
    upload_of: Callable[[Change], Upload],
) -> Response | None:
    """Read what a form asks for, and show what it would change; None: it is not sent, or refused.
    told: action and subject, for the audit log."""
    row_id = 0
    if form.validate_on_submit():
        with refusals(form), front.changing(*told) as change:
            row_id = keep_upload(change.session, upload_of(change), change.now_us).id
    if not row_id:
        return None
    database = front.desks.application.database
    worker.start(f"rates-{row_id}", lambda: read_upload(database, row_id, front.clock))
    return redirect(url_for("rate_imports.show", id=row_id), 303)


def _add_rate(section: Blueprint, front: Front, worker: Background) -> None:
    @section.route("/decks/<int:id>/rate", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def rate(id: int) -> str | Response:
        form = RateForm()
        with front.reading() as session:
            deck = own_deck(session, front, id)
            prefix, kept = _asked(session, front, deck)
            form.against.choices = [("", "–"), *((x, x) for x in _others(session, front, deck))]
        if prefix is not None:
            del form.prefix
        if request.method == "GET":
            _fill(form, kept)
            form.edition.data = edition_of(_facts(kept))

        def changed(change: Change) -> Upload:
            return _upload(front, change, own_deck(change.session, front, id), form, prefix)

        if answer := _sent(front, worker, form, ("rates.one", deck.name), changed):
            return answer
        return render_template(
            "panel/decks/rate.html",
            form=form,
            deck=deck,
            prefix=prefix,
            kept=kept,
            text=price_text(kept) if kept is not None and kept.terms is not None else "",
        )


def _add_end(section: Blueprint, front: Front, worker: Background) -> None:
    @section.route("/decks/<int:id>/rate/end", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def end_rate(id: int) -> str | Response:
        form = WhenForm()
        with front.reading() as session:
            deck = own_deck(session, front, id)
            prefix, kept = _asked(session, front, deck)
        if prefix is None or kept is None:
            abort(404)
        if request.method == "GET":
            form.edition.data = edition_of(_facts(kept))

        def ended(change: Change) -> Upload:
            now = own_deck(change.session, front, id)
            check_edition(form, _facts(rate_of(change.session, id, prefix, change.now_us)))
            return upload_of_end(change.session, now, prefix, _said(front, form, change))

        if answer := _sent(front, worker, form, ("rates.end", f"{deck.name} {prefix or '*'}"), ended):
            return answer
        return render_template("panel/decks/end_rate.html", form=form, deck=deck, prefix=prefix, kept=kept)


def own_deck(session: Session, front: Front, id: int) -> RateDeckRow:
    """A deck that whoever acts made; 404 for any other."""
    return front.one(
        session, select(RateDeckRow).where(RateDeckRow.id == id, front.scope.issued(RateDeckRow.issuer_id))
    )


def _asked(session: Session, front: Front, deck: RateDeckRow) -> tuple[str | None, Rate | None]:
    """The prefix that the address names, and its rate now; neither where a new one is added."""
    written = request.args.get("prefix", "")
    if not written:
        return None, None
    try:
        prefix = read_prefix(written)
        return prefix, rate_of(session, deck.id, prefix, front.clock.now_us())
    except InputRefused:
        abort(404)


def _others(session: Session, front: Front, deck: RateDeckRow) -> list[str]:
    """Decks by which it may be sold."""
    return list(
        session.scalars(
            select(RateDeckRow.name)
            .where(
                front.scope.issued(RateDeckRow.issuer_id),
                RateDeckRow.unit == deck.unit,
                RateDeckRow.id != deck.id,
            )
            .order_by(RateDeckRow.name)
            .limit(500)
        )
    )


def _facts(kept: Rate | None) -> dict[str, str | None]:
    """What the form shows of a rate; nothing of one that there is not."""
    if kept is None:
        return dict.fromkeys(("destination", "price", "fee", "minimum", "increments", "free_s"))
    return {
        "destination": kept.destination,
        "price": plain_price(kept.price_per_min),
        "fee": plain_price(kept.connection_fee) if kept.connection_fee else None,
        "minimum": plain_price(kept.minimum_charge) if kept.minimum_charge else None,
        "increments": f"{kept.initial_increment_s}/{kept.following_increment_s}",
        "free_s": str(kept.free_s) if kept.free_s else None,
    }


def _fill(form: RateForm, kept: Rate | None) -> None:
    if kept is not None:
        for name, value in _facts(kept).items():
            form[name].data = value


def _said(front: Front, form: Any, change: Change) -> Saying:
    against = (form.against.data or None) if "against" in form else None
    return Saying(front.actor.name, change.now_us, effective_of(front, form), against)


def _upload(front: Front, change: Change, deck: RateDeckRow, form: RateForm, asked: str | None) -> Upload:
    """What the form says; TermRefused names the field that makes no sense."""
    session = change.session
    prefix = read_prefix(form.prefix.data or "") if asked is None else asked
    kept = rate_of(session, deck.id, prefix, change.now_us)
    if asked is None and kept is not None:
        raise TermRefused(gettext("the prefix has a rate already: open it to correct it"), "prefix")
    if asked is not None:
        check_edition(form, _facts(kept))
    with refused_at("increments"):
        first_s, following_s = parse_increments(form.increments.data or "")
    prices = RatePrices(
        form.destination.data or "",
        _price(form, "price"),
        _price(form, "fee"),
        _price(form, "minimum"),
        first_s,
        following_s,
        form.free_s.data or 0,
    )
    return upload_of_rate(session, deck, prefix, prices, _said(front, form, change))


def _price(form: RateForm, name: str) -> int:
    with refused_at(name):
        return compile_price(parse_decimal(form[name].data or "0"))


def rate_link(deck: RateDeckRow, row: Any) -> str:
    """Where a row of the list of rates leads whoever may change it."""
    return url_for("decks.rate", id=deck.id, prefix=row["prefix"] or DEFAULT_ROUTE)
