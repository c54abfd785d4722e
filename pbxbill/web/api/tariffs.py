"""Tariffs: by what calls are charged; written version by version, tried on a number."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.listing.decks import visible_tariffs
from pbxbill.listing.tariffs import TARIFFS
from pbxbill.money import PRICE_SCALE, Rounding, compile_price, parse_decimal, to_decimal
from pbxbill.rating.rate_text import plain_price
from pbxbill.rating.tariff import CycleStepKind, CycleSteps, MarkUp, TaxMode
from pbxbill.rating.tariff_text import percent_ppm, signed_price, steps_from_text, steps_text
from pbxbill.store.models import TariffRow
from pbxbill.store.tariff_trial import newest_version_of, try_tariff
from pbxbill.store.tariffs import NewTariff, add_tariff_version, newest_terms
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Money, Sent, left_out, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, found, wrong
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.front import needs

TAG = "Tariffs"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
Percent = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,5}(\.[0-9]{1,4})?$")]
Price = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,6}(\.[0-9]{1,9})?$")]
Seconds = Annotated[int, Field(ge=1, le=604_800)]
_SIMPLE = (
    *("rounding_step", "slice_s", "renew_before_s", "max_call_s", "refuse_loss", "announce_balance"),
    *("announce_minutes", "announce_warning", "announce_denial"),
)


class TariffPath(Sent):
    """A tariff, by its id."""

    tariff_id: Id


class SentMarkUp(Sent):
    """Prices made of those that the tariff's owner pays himself."""

    percent: Percent = "0"
    absolute: Price = Field(default="0", description="Per minute, on top.")
    round_up_to: Price = left_out("A multiple of this, per minute.")


class SentCycleSteps(Sent):
    """Prices by what was used in a cycle."""

    kind: Literal["graduated", "volume"]
    cycle: Literal["day", "week", "month", "quarter", "year"] = "month"
    zone: Name = "UTC"
    steps: Annotated[Line, StringConstraints(min_length=1, max_length=500)] = Field(
        examples=["0:0.05 6000:0.04"], description="Seconds:price per minute."
    )
    destinations: Annotated[list[Name], Field(max_length=100)] = Field(default=[], description="None: all.")


class TariffTerms(Sent):
    """All terms of a version."""

    deck: Name = left_out("Its prices; or `mark_up`.")
    mark_up: SentMarkUp = left_out("On the prices that you pay yourself; with `unit`.")
    unit: Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")] = left_out("Of a mark-up.")
    tax_mode: Literal["none", "exclusive", "inclusive"] = "none"
    tax_percent: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,4})?$")] = "0"
    rounding: Literal["half_up", "up", "down"] = "half_up"
    rounding_step: Annotated[int, Field(ge=1, le=10**9)] = Field(
        default=1, description="Charges are multiples of so many of the unit's smallest steps."
    )
    slice_s: Annotated[int, Field(ge=2, le=3600)] = Field(
        default=60, description="For so long funds are held at once."
    )
    renew_before_s: Annotated[int, Field(ge=1, le=3599)] = 15
    max_call_s: Seconds = 14_400
    refuse_loss: bool = Field(default=False, description="Refuse calls that cost more than they bring.")
    announce_balance: bool = True
    announce_minutes: bool = True
    announce_warning: bool = True
    announce_denial: bool = True
    calendar: Name = left_out("Whose bands its rates know.")
    cycle_steps: SentCycleSteps = left_out()


class NewTariffBody(TariffTerms):
    """A tariff with its first terms."""

    name: Name


class Tariff(BaseModel):
    """A tariff with the terms that count for new calls."""

    id: int
    name: str
    own: bool = Field(description="False: another's, by whose tariff the key's account is charged.")
    version: int
    terms: dict[str, JsonValue] = Field(description="As they are sent; left out is what is not there.")


class TrialPath(TariffPath):
    """A number that somebody wonders about."""

    number: Annotated[str, StringConstraints(pattern="^[0-9]{3,15}$")] = Field(description="In E.164.")


class TrialQuery(Sent):
    """How it would be called."""

    seconds: Annotated[int, Field(ge=0, le=10_000_000)] = 60
    at: SentMoment = left_out("When it is answered. Default: now.")


class Trial(BaseModel):
    """What a call would cost."""

    called: str
    prefix: str
    destination: str
    price_per_min: str
    billable_s: int
    total: Money
    tax: Money


def tariffs(api: Api) -> None:
    """Tariffs that the key's account made, and those that it is charged by."""
    front = api.front
    declare_list(api, "/tariffs", TARIFFS, TAG)
    declare_file(api, "/tariffs.csv", TARIFFS, TAG)

    def seen(session: Session, id: int) -> TariffRow:
        return found(session, TariffRow, id, visible_tariffs(front.scope))

    def own(session: Session, id: int) -> TariffRow:
        return found(session, TariffRow, id, front.scope.issued(TariffRow.issuer_id))

    def shown(session: Session, row: TariffRow) -> Tariff:
        mine = row.issuer_id == front.scope.account_id
        return _shown(session, row, mine=mine)

    @api.get("/tariffs/<int:tariff_id>", Tariff, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_tariff(path: TariffPath) -> Tariff:
        """One tariff, with its terms."""
        with front.reading() as session:
            return shown(session, seen(session, path.tariff_id))

    @api.get("/tariffs/<int:tariff_id>/trials/<number>", Trial, TAG)
    @needs(Permission.CATALOGUE_READ)
    def try_a_tariff(path: TrialPath, query: TrialQuery) -> Trial:
        """What a call would cost by a tariff, without any account. 422 says why there is no price."""
        with front.reading() as session:
            row = seen(session, path.tariff_id)
            at = at_us(query.at, front.clock.now_us())
            done = try_tariff(session, row, path.number, query.seconds, at or 0)
            unit = done.tariff.unit
        return Trial(
            called=done.called,
            prefix=done.rate.prefix,
            destination=done.rate.destination,
            price_per_min=plain_price(done.rate.price_per_min),
            billable_s=done.charge.billable_s,
            total=money(done.charge.total, unit),
            tax=money(done.charge.tax, unit),
        )

    @api.post("/tariffs", Tariff, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def make_tariff(body: NewTariffBody) -> Answer:
        """Make a tariff. 409: there is one of that name."""
        with api.writing("tariff.make", body.name) as change:
            known = select(TariffRow.id).where(
                front.scope.issued(TariffRow.issuer_id), TariffRow.name == body.name
            )
            if change.session.scalar(known) is not None:
                raise Refused(409, "There is a tariff of this name.")
            new = _terms(body.name, front.scope.account_id, body)
            version = add_tariff_version(change.session, new, change.now_us)
            return change.done(shown(change.session, own(change.session, version.tariff_id)), 201)

    @api.post("/tariffs/<int:tariff_id>/versions", Tariff, TAG, of="/tariffs/<int:tariff_id>")
    @needs(Permission.CATALOGUE_WRITE)
    def change_tariff(path: TariffPath, body: TariffTerms) -> Answer:
        """Give a tariff new terms: all of them. Calls that are up keep those that they began with."""
        with front.reading() as session:
            name = own(session, path.tariff_id).name
        with api.writing("tariff.change", name) as change:
            row = own(change.session, path.tariff_id)
            add_tariff_version(change.session, _terms(name, row.issuer_id, body), change.now_us)
            return change.done(shown(change.session, row), 201)


def _terms(name: str, issuer_id: int, sent: TariffTerms) -> NewTariff:
    body: Any = sent  # what was left out is None
    facts: dict[str, Any] = {key: getattr(body, key) for key in _SIMPLE}
    tax_ppm = percent_ppm(body.tax_percent, "a tax rate")
    if tax_ppm and body.tax_mode == "none":
        raise wrong("tax_mode", "with a tax rate, say whether prices include it")
    return NewTariff(
        name=name,
        issuer_id=issuer_id,
        deck=body.deck or None,
        mark_up=None if body.mark_up is None else _mark_up(body.mark_up),
        unit=body.unit if body.deck is None else None,
        tax_mode=TaxMode(body.tax_mode),
        tax_ppm=tax_ppm,
        rounding=Rounding(body.rounding),
        calendar=body.calendar or None,
        cycle_steps=None if body.cycle_steps is None else _cycle_steps(body.cycle_steps),
        **facts,
    )


def _mark_up(sent: Any) -> MarkUp:
    step = 1
    if sent.round_up_to is not None:
        try:
            step = compile_price(parse_decimal(sent.round_up_to))
        except InputRefused as error:
            raise wrong("mark_up.round_up_to", said(error)) from None
        if step < 1:
            raise wrong("mark_up.round_up_to", "must be more than zero")
    return MarkUp(percent_ppm(sent.percent, "a mark-up"), signed_price(sent.absolute), step)


def _cycle_steps(sent: SentCycleSteps) -> CycleSteps:
    try:
        steps = steps_from_text(sent.steps)
    except InputRefused as error:
        raise wrong("cycle_steps.steps", said(error)) from None
    kind = CycleStepKind(sent.kind)
    return CycleSteps(kind, sent.cycle, sent.zone, steps, tuple(sent.destinations))


def _shown(session: Session, row: TariffRow, *, mine: bool) -> Tariff:
    terms = newest_terms(session, row)
    facts: dict[str, Any] = {key: getattr(terms, key) for key in _SIMPLE}
    if mine and terms.deck is not None:  # another's deck is his business
        facts["deck"] = terms.deck
    if mine and terms.mark_up is not None:
        facts["mark_up"] = _sent_mark_up(terms.mark_up)
    if terms.cycle_steps is not None:
        cycle = terms.cycle_steps
        facts["cycle_steps"] = SentCycleSteps.model_construct(
            kind=cycle.kind.value,
            cycle=cycle.cycle,
            zone=cycle.zone,
            steps=steps_text(cycle.steps),
            destinations=list(cycle.destinations),
        )
    if terms.calendar is not None:
        facts["calendar"] = terms.calendar
    version = newest_version_of(session, row.id)
    shown = TariffTerms.model_construct(
        unit=version.unit,
        tax_mode=terms.tax_mode.value,
        tax_percent=_plain(terms.tax_ppm, 4),
        rounding=terms.rounding.value,
        **facts,
    )
    terms_shown = shown.model_dump(exclude_none=True)
    return Tariff(id=row.id, name=row.name, own=mine, version=version.number, terms=terms_shown)


def _sent_mark_up(mark_up: MarkUp) -> SentMarkUp:
    rounded = {}
    if mark_up.rounding_step > 1:
        rounded = {"round_up_to": _plain(mark_up.rounding_step, PRICE_SCALE)}
    return SentMarkUp(
        percent=_plain(mark_up.ppm, 4), absolute=_plain(mark_up.absolute, PRICE_SCALE), **rounded
    )


def _plain(value: int, scale: int) -> str:
    return f"{to_decimal(value, scale).normalize():f}"
