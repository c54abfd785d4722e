"""Settings: units, exchange rates, calendars of time bands, and what is configured, without secrets."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.units import CALENDARS, EXCHANGE_RATES, UNITS
from pbxbill.rating.calendar_text import calendar_from_toml, calendar_to_toml
from pbxbill.store.calendars import calendar_of, set_calendar, tariffs_of_older_versions
from pbxbill.store.catalogue_models import BandCalendarRow, ExchangeRateRow
from pbxbill.store.exchange import ExchangeWriter, NewExchangeRate, parse_exchange_rate
from pbxbill.store.models import UnitRow
from pbxbill.store.units import UNIT_KINDS, add_unit, change_unit, checked_unit
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_file, declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

TAG = "Settings"
Code = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")]
Text = Annotated[Line, StringConstraints(max_length=40)]
Symbol = Annotated[Line, StringConstraints(max_length=8)]
MAX_CALENDAR_LENGTH = 200_000


class UnitPath(Sent):
    """A unit, by its code."""

    code: Code


class CalendarPath(Sent):
    """A calendar's version, by its id."""

    calendar_id: Id


class NewUnitBody(Sent):
    """A unit that is not known yet."""

    code: Code = Field(examples=["CHF"])
    kind: Literal[tuple(UNIT_KINDS)] = Field(  # type: ignore[valid-type]  # made of what there is
        description="How many digits amounts keep: it can never be changed."
    )
    name: Text = ""
    symbol: Symbol = ""


class UnitChange(Sent):
    """How a unit is shown; what is left out stays."""

    name: Text = left_out()
    symbol: Symbol = left_out()
    digits: Annotated[int, Field(ge=0, le=9)] = left_out("Shown.")


class SentRate(Sent):
    """What one unit is in another from a moment on."""

    from_unit: Code
    to_unit: Code
    rate: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,12})?$")] = Field(
        description="So many of to_unit is one of from_unit.", examples=["1.0834"]
    )
    since: SentMoment = left_out("Counts from then on. Default: at once.")


class SentCalendar(Sent):
    """A calendar of time bands in TOML, as docs/rate-decks.md has it."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)]
    toml: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CALENDAR_LENGTH)]


class CalendarShown(BaseModel):
    """A version of a calendar."""

    id: int
    name: str
    version: int
    zone: str
    made: Moment
    toml: str
    tariffs_behind: list[str] = Field(
        description="Tariffs that use an older version; the operator alone is told."
    )


class OptionShown(BaseModel):
    """One option of the configuration."""

    name: str
    value: str = Field(description="As it is in force; of a secret only whether there is one.")
    default: bool
    about: str


class OptionsShown(BaseModel):
    """One table of the configuration's file."""

    heading: str
    about: str
    options: list[OptionShown]


class Configuration(BaseModel):
    """How the machine is set up."""

    path: str
    tables: list[OptionsShown]


def settings(api: Api) -> None:
    """What all share. It is the operator's to change."""
    front = api.front

    @api.get("/configuration", Configuration, TAG)
    @needs(Permission.SETTINGS_READ)
    def get_configuration() -> Configuration:
        """What is configured, without secrets. Only the operator is told."""
        operators_only(front)
        known = front.rules.installation
        tables = [
            OptionsShown(
                heading=table.heading,
                about=table.about,
                options=[
                    OptionShown(name=x.name, value=x.value, default=x.is_default, about=x.about)
                    for x in table.options
                ],
            )
            for table in known.tables
        ]
        return Configuration(path=known.config_path, tables=tables)

    _declare_units(api)
    _declare_rates(api)
    _declare_calendars(api)


def _declare_units(api: Api) -> None:
    front = api.front
    types = declare_list(api, "/units", UNITS, TAG)

    @api.get("/units/<code>", types.item, TAG)
    @needs(Permission.SETTINGS_READ)
    def get_unit(path: UnitPath) -> BaseModel:
        """One unit."""
        with front.reading() as session:
            return types.shown(session, front.scope, path.code)

    @api.post("/units", types.item, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def make_unit(body: NewUnitBody) -> Answer:
        """Have wallets and prices in another unit. Only the operator does. 409: there is one of this code."""
        operators_only(front)
        with api.writing("unit.add", body.code) as change:
            if change.session.get(UnitRow, body.code) is not None:
                raise Refused(409, "There is a unit of this code.")
            usual = UNIT_KINDS[body.kind]
            with field("code"):
                unit = checked_unit(body.code, usual.scale, usual.digits)
                add_unit(change.session, unit, body.name, body.symbol)
            return change.done(types.shown(change.session, front.scope, body.code), 201)

    @api.patch("/units/<code>", types.item, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def change_a_unit(path: UnitPath, body: UnitChange) -> Answer:
        """Change how a unit is shown. Only the operator does; pages follow when they are started anew."""
        sent: Any = body
        with front.reading() as session:
            types.shown(session, front.scope, path.code)
        operators_only(front)
        with api.writing("unit.change", path.code) as change:
            with field("digits"):
                change_unit(change.session, path.code, name=sent.name, symbol=sent.symbol, digits=sent.digits)
            return change.done(types.shown(change.session, front.scope, path.code))


def _declare_rates(api: Api) -> None:
    front = api.front
    types = declare_list(api, "/exchange-rates", EXCHANGE_RATES, TAG)
    declare_file(api, "/exchange-rates.csv", EXCHANGE_RATES, TAG)
    declare_item(api, "/exchange-rates/<int:rate_id>", types, TAG, "get_exchange_rate", "One exchange rate.")

    @api.post("/exchange-rates", types.item, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def set_exchange_rate(body: SentRate) -> Answer:
        """Say what a unit is in another from a moment on. Only the operator does.

        Charges keep the rate that they were made by. 409: the pair has a rate of this very moment.
        """
        operators_only(front)
        sent: Any = body
        pair = f"{body.from_unit} {body.to_unit}"
        with api.writing("exchange.set", pair) as change:
            session = change.session
            for name in ("from_unit", "to_unit"):
                if session.get(UnitRow, getattr(body, name)) is None:
                    raise wrong(name, "there is no such unit")
            if body.from_unit == body.to_unit:
                raise wrong("to_unit", "is the same unit")
            with field("rate"):
                rate = parse_exchange_rate(body.rate)
            since_us = at_us(sent.since, change.now_us) or change.now_us
            with conflicts():
                writer = ExchangeWriter(session, front.actor.name, change.now_us)
                writer.add(NewExchangeRate(body.from_unit, body.to_unit, rate, since_us))
                writer.finish()
            session.flush()
            made = rate_at(session, body, since_us)
            return change.done(types.shown(session, front.scope, made), 201)

    def rate_at(session: Session, body: SentRate, since_us: int) -> int:
        return session.scalars(
            select(ExchangeRateRow.id).where(
                ExchangeRateRow.from_unit == body.from_unit,
                ExchangeRateRow.to_unit == body.to_unit,
                ExchangeRateRow.effective_from_us == since_us,
            )
        ).one()


def _declare_calendars(api: Api) -> None:
    front = api.front
    declare_list(api, "/calendars", CALENDARS, TAG)

    @api.get("/calendars/<int:calendar_id>", CalendarShown, TAG)
    @needs(Permission.SETTINGS_READ)
    def get_calendar(path: CalendarPath) -> CalendarShown:
        """One version of a calendar, with its bands."""
        with front.reading() as session:
            row = session.get(BandCalendarRow, path.calendar_id)
            if row is None:
                raise Refused(404)
            return shown(session, row)

    @api.post("/calendars", CalendarShown, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def write_calendar(body: SentCalendar) -> Answer:
        """Write a calendar, or the newest version of the one of that name. Only the operator does.

        Tariffs take it when they are changed.
        """
        operators_only(front)
        with api.writing("calendar.set", body.name) as change:
            with field("toml"):
                calendar = calendar_from_toml(body.toml, name=body.name)
                row = set_calendar(change.session, calendar, change.now_us)
            return change.done(shown(change.session, row), 201)

    def shown(session: Session, row: BandCalendarRow) -> CalendarShown:
        calendar = calendar_of(row)
        return CalendarShown(
            id=row.id,
            name=row.name,
            version=row.number,
            zone=str(calendar.zone),
            made=moment(row.created_us),
            toml=calendar_to_toml(calendar),
            tariffs_behind=tariffs_of_older_versions(session, row) if front.scope.is_everything else [],
        )


def operators_only(front: Front) -> None:
    """What all share is the operator's."""
    if not front.scope.is_everything:
        raise Refused(403, "This is the operator's.")
