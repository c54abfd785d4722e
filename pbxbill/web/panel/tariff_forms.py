"""The forms of tariffs: their terms, and a call that is tried."""

from typing import Any

from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from wtforms import BooleanField, RadioField, SelectField

from pbxbill.billing.taxes.tax_rates import usual_tax
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.tariffs import mark_up_text
from pbxbill.money import PRICE_SCALE, Rounding, compile_price, parse_decimal, to_decimal
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, TaxMode
from pbxbill.rating.tariff_terms import CYCLES
from pbxbill.rating.tariff_text import percent_ppm, signed_price, steps_from_text, steps_text
from pbxbill.store.catalogue_models import BandCalendarRow
from pbxbill.store.models import RateDeckRow, UnitRow
from pbxbill.store.tariffs import NewTariff
from pbxbill.web.editions import EditionField
from pbxbill.web.fields import (
    CountField,
    LineField,
    MomentField,
    PanelForm,
    PercentField,
    UnitField,
    at_most,
    plain_number,
    required,
)
from pbxbill.web.formatting import ppm
from pbxbill.web.front import Front
from pbxbill.web.words import word_of

ANNOUNCED = ("announce_balance", "announce_minutes", "announce_warning", "announce_denial")
SIMPLE = ("rounding_step", "slice_s", "renew_before_s", "max_call_s", "refuse_loss", *ANNOUNCED)


class TariffForm(PanelForm):
    """A tariff's terms."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    prices = RadioField(
        lazy_gettext("Prices"),
        choices=[
            ("deck", lazy_gettext("of a rate deck")),
            ("mark_up", lazy_gettext("a mark-up on what the account above is charged")),
        ],
        default="deck",
    )
    deck = SelectField(lazy_gettext("Rate deck"))
    mark_up = LineField(
        lazy_gettext("Mark-up in percent"),
        [at_most(20)],
        description=lazy_gettext("20 makes 0.10 to 0.12; a negative one is a discount."),
    )
    mark_up_absolute = LineField(lazy_gettext("Added per minute"), [at_most(20)])
    mark_up_rounding = LineField(
        lazy_gettext("Rounded up to a multiple of"),
        [at_most(20)],
        description=lazy_gettext("For example 0.001; empty: not rounded."),
    )
    unit = UnitField(lazy_gettext("Unit"), description=lazy_gettext("Of a mark-up; a deck has its own."))
    refuse_loss = BooleanField(lazy_gettext("Refuse calls that cost the account above more than they bring"))
    tax_mode = SelectField(
        lazy_gettext("Tax"),
        choices=[
            (TaxMode.NONE.value, lazy_gettext("none, or added on invoices")),
            (TaxMode.EXCLUSIVE.value, lazy_gettext("added to the prices")),
            (TaxMode.INCLUSIVE.value, lazy_gettext("included in the prices")),
        ],
    )
    tax = PercentField(lazy_gettext("Tax rate in percent"))
    rounding = SelectField(
        lazy_gettext("A charge is rounded"),
        choices=[
            (Rounding.HALF_UP.value, lazy_gettext("half up")),
            (Rounding.UP.value, lazy_gettext("up")),
            (Rounding.DOWN.value, lazy_gettext("down")),
        ],
    )
    rounding_step = CountField(
        lazy_gettext("to a multiple of"),
        [required()],
        least=1,
        most=10**9,
        description=lazy_gettext("Smallest steps of the unit: where it has six digits, 10000 is a cent."),
    )
    calendar = SelectField(
        lazy_gettext("Calendar of bands"),
        description=lazy_gettext("Says when day, night and weekend prices hold, where the deck has them."),
    )
    slice_s = CountField(lazy_gettext("Seconds reserved at a time"), [required()], least=2, most=3600)
    renew_before_s = CountField(
        lazy_gettext("Renewed so many seconds before"), [required()], least=1, most=3599
    )
    max_call_s = CountField(lazy_gettext("Longest call in seconds"), [required()], least=2, most=7 * 86_400)
    announce_balance = BooleanField(lazy_gettext("Say the balance before a call"))
    announce_minutes = BooleanField(lazy_gettext("Say the minutes that are left"))
    announce_warning = BooleanField(lazy_gettext("Warn one minute before the end"))
    announce_denial = BooleanField(lazy_gettext("Say why a call is refused"))
    cycle_steps = LineField(
        lazy_gettext("Prices by use in a cycle"),
        [at_most(500)],
        description=lazy_gettext("Seconds:price, for example 0:0.05 6000:0.04. Empty: none."),
    )
    cycle_kind = SelectField(
        lazy_gettext("They count"),
        choices=[
            (CycleStepKind.GRADUATED.value, lazy_gettext("for what lies in each step")),
            (CycleStepKind.VOLUME.value, lazy_gettext("for all, as far as the sum has come")),
        ],
    )
    cycle = SelectField(
        lazy_gettext("Cycle"), choices=lambda: [(x, word_of(x)) for x in CYCLES], default="month"
    )
    cycle_zone = LineField(lazy_gettext("Zone of the cycle"), [at_most(64)], default="UTC")
    cycle_destinations = LineField(
        lazy_gettext("For the destinations"),
        [at_most(1000)],
        description=lazy_gettext("Names or classes with commas between them; empty: all."),
    )
    edition = EditionField()


class TrialForm(PanelForm):
    """A call that somebody wonders about; its address can be sent to others."""

    class Meta:
        csrf = False

    number = LineField(lazy_gettext("Number"), [required(), at_most(40)])
    seconds = CountField(lazy_gettext("Seconds"), least=0, most=10**7, default=60)
    at = MomentField(lazy_gettext("Answered at"), description=lazy_gettext("Empty: now."))


def fill_choices(session: Session, front: Front, form: TariffForm) -> None:
    """Decks of who acts, calendars and units."""
    decks = select(RateDeckRow.name).where(front.scope.issued(RateDeckRow.issuer_id))
    form.deck.choices = [("", "–"), *((x, x) for x in session.scalars(decks.order_by(RateDeckRow.name)))]
    names = session.scalars(select(BandCalendarRow.name).distinct().order_by(BandCalendarRow.name))
    form.calendar.choices = [("", gettext("none")), *((x, x) for x in names)]
    form.unit.choices = [(x, x) for x in session.scalars(select(UnitRow.code).order_by(UnitRow.code))]


def tell_usual_tax(session: Session, form: Any, issuer_id: int, now_us: int) -> None:
    """Say at the field for a percentage which one the issuer's invoices have, so that nobody searches."""
    usual = usual_tax(session, issuer_id, now_us)
    if usual is not None:
        told = gettext("Your invoices have %(tax)s %(rate)s.", tax=usual.name, rate=ppm(usual.ppm))
        form.tax.description = told


def fill_terms(form: TariffForm, terms: NewTariff) -> None:
    """Show terms as they are."""
    form.name.data = terms.name
    form.prices.data = "deck" if terms.mark_up is None else "mark_up"
    form.deck.data, form.calendar.data = terms.deck or "", terms.calendar or ""
    if terms.mark_up is not None:
        form.mark_up.data = _plain(terms.mark_up.ppm, 4)
        form.mark_up_absolute.data = (
            _plain(terms.mark_up.absolute, PRICE_SCALE) if terms.mark_up.absolute else ""
        )
        if terms.mark_up.rounding_step > 1:
            form.mark_up_rounding.data = _plain(terms.mark_up.rounding_step, PRICE_SCALE)
        form.unit.data = terms.unit
    form.tax_mode.data, form.rounding.data = terms.tax_mode.value, terms.rounding.value
    form.tax.data = terms.tax_ppm or None
    for key in SIMPLE:
        form[key].data = getattr(terms, key)
    cycle = terms.cycle_steps
    if cycle is not None:
        form.cycle_steps.data = steps_text(cycle.steps)
        form.cycle_kind.data, form.cycle.data, form.cycle_zone.data = (
            cycle.kind.value,
            cycle.cycle,
            cycle.zone,
        )
        form.cycle_destinations.data = ", ".join(cycle.destinations)


def facts_of(terms: NewTariff) -> dict[str, str]:
    """What a form shows of terms, for two people who change them at once."""
    facts = {key: str(getattr(terms, key)) for key in SIMPLE}
    return (
        facts
        | {
            "deck": terms.deck or "",
            "mark_up": "" if terms.mark_up is None else mark_up_text(terms.mark_up),
            "tax_mode": terms.tax_mode.value,
            "tax": _plain(terms.tax_ppm, 4),
            "rounding": terms.rounding.value,
            "calendar": terms.calendar or "",
            "unit": terms.unit or "",
        }
        | _cycle_facts(terms.cycle_steps)
    )


def _cycle_facts(cycle: CycleSteps | None) -> dict[str, str]:
    if cycle is None:
        return dict.fromkeys(("cycle_steps", "cycle_kind", "cycle", "cycle_zone", "cycle_destinations"), "")
    return {
        "cycle_steps": steps_text(cycle.steps),
        "cycle_kind": cycle.kind.value,
        "cycle": cycle.cycle,
        "cycle_zone": cycle.zone,
        "cycle_destinations": ", ".join(cycle.destinations),
    }


def terms_of(form: TariffForm, issuer_id: int) -> NewTariff:
    """What the form says; InputRefused where it makes no sense."""
    facts: dict[str, Any] = {key: form[key].data for key in SIMPLE}
    if form.prices.data == "deck":
        if not form.deck.data:
            raise TermRefused(gettext("choose the deck with its prices"), "deck")
        facts |= {"deck": form.deck.data}
    else:
        facts |= {"deck": None, "mark_up": _mark_up(form), "unit": form.unit.data}
    tax_ppm = form.tax.data or 0
    if tax_ppm and form.tax_mode.data == TaxMode.NONE.value:
        raise TermRefused(gettext("with a tax rate, say whether prices include it"), "tax_mode")
    return NewTariff(
        name=form.name.data or "",
        issuer_id=issuer_id,
        tax_mode=TaxMode(form.tax_mode.data),
        tax_ppm=tax_ppm,
        rounding=Rounding(form.rounding.data),
        calendar=form.calendar.data or None,
        cycle_steps=_cycle_steps(form),
        **facts,
    )


def _mark_up(form: TariffForm) -> MarkUp:
    found = MarkUp()
    if form.mark_up.data:
        found = found._replace(ppm=percent_ppm(plain_number(form.mark_up.data), gettext("a mark-up")))
    if form.mark_up_absolute.data:
        found = found._replace(absolute=signed_price(plain_number(form.mark_up_absolute.data)))
    if form.mark_up_rounding.data:
        step = compile_price(parse_decimal(plain_number(form.mark_up_rounding.data)))
        if step < 1:
            raise InputRefused(gettext("prices are rounded up to a multiple of something above zero"))
        found = found._replace(rounding_step=step)
    return found


def _cycle_steps(form: TariffForm) -> CycleSteps | None:
    if not form.cycle_steps.data:
        return None
    return CycleSteps(
        CycleStepKind(form.cycle_kind.data),
        form.cycle.data,
        form.cycle_zone.data or "UTC",
        steps_from_text(form.cycle_steps.data),
        tuple(x.strip() for x in (form.cycle_destinations.data or "").split(",") if x.strip()),
    )


def _plain(value: int, scale: int) -> str:
    return f"{to_decimal(value, scale).normalize():f}"
