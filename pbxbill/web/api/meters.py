"""Meters: what counts for an account, what it showed, and what was charged for it."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select

from pbxbill.access.permissions import Permission
from pbxbill.listing.meters import METERS, READINGS
from pbxbill.mediation.meter_tariffs import NewMeter, add_meter, parse_quantity
from pbxbill.mediation.meters import PeriodPosted, Reading, quantity_text, take_reading_within
from pbxbill.store.mediation_models import MeterRow, MeterTariffRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Money, Sent, left_out, money
from pbxbill.web.api.listed import declare_file, declare_item, declare_list
from pbxbill.web.api.objects import SentMoment, at_us, conflicts, field, found, wrong
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Meters"
Shown = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]


class MeterPath(Sent):
    """A meter, by its id."""

    meter_id: Id


class SentMeter(Sent):
    """A meter that is new."""

    code: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(
        description="Its number, as readings name it."
    )
    tariff: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(
        description="A meter tariff, by its name."
    )
    measure: Annotated[Line, StringConstraints(min_length=1, max_length=20)] = Field(
        description="What it counts.", examples=["kWh"]
    )
    rolls_over_at: Shown = left_out("The value after its highest one, which it shows as 0.")


class SentReading(Sent):
    """What a meter shows."""

    value: Shown
    at: SentMoment = left_out("When it was read. Default: now.")
    restarts_at: Shown = left_out(
        "Only where the meter was replaced: this is the old one's last reading, the new one begins with that."
    )


class TakenReading(BaseModel):
    """What a reading brought."""

    taken: bool = Field(description="False: the same was taken before; nothing changed.")
    first: bool = Field(description="The meter begins with it: nothing is charged.")
    consumed: str | None
    total: Money | None = Field(description="Charged for what was consumed since the reading before.")
    tax: Money | None = Field(description="In it.")
    entry: str | None = Field(description="Of the ledger; null: nothing was owed.")
    explanation: list[str]


def meters(api: Api) -> None:
    """Meters of accounts in scope."""
    front = api.front
    types = declare_list(api, "/meters", METERS, TAG)
    declare_item(api, "/meters/<int:meter_id>", types, TAG, "get_meter", "One meter, and what it shows.")
    declare_list(api, "/meter-readings", READINGS, TAG)
    declare_file(api, "/meter-readings.csv", READINGS, TAG)

    @api.post("/accounts/<int:account_id>/meters", types.item, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def make_meter(path: AccountPath, body: SentMeter) -> Answer:
        """Give an account a meter. Its first reading starts it. 409: there is one of that number."""
        with api.writing("meter.add", body.code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            known = select(MeterTariffRow.id).where(MeterTariffRow.name == body.tariff).limit(1)
            if session.scalar(known) is None:
                raise wrong("tariff", "there is no such meter tariff")
            new = NewMeter(body.code, body.tariff, body.measure, body.rolls_over_at)
            with conflicts():
                made = add_meter(session, account.id, new, change.now_us)
            return change.done(types.shown(session, front.scope, made.id), 201)

    @api.post("/meters/<int:meter_id>/readings", TakenReading, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def read_meter(path: MeterPath, body: SentReading) -> Answer:
        """Write down what a meter shows, and charge what was consumed. They are taken in their order.

        409: a later one is charged, it shows less than before, or it cannot be charged.
        """
        sent: Any = body
        mine = front.scope.among(MeterRow.account_id)
        with front.reading() as session:
            meter = found(session, MeterRow, path.meter_id, mine)
        with api.writing("meter.read", meter.code, account_id=meter.account_id) as change:
            found(change.session, MeterRow, path.meter_id, mine)
            with field("value"):
                value = parse_quantity(body.value)
            with field("restarts_at"):
                restarts = None if sent.restarts_at is None else parse_quantity(sent.restarts_at)
            reading = Reading(meter.code, value, at_us(sent.at, change.now_us) or 0, restarts)
            connect = front.desks.application.connect
            with conflicts():
                taken = take_reading_within(change.session, connect, reading, change.now_us)
            if not isinstance(taken, PeriodPosted):
                return change.done(_nothing(taken=False), 201)
            if "first" in taken.explanation:
                return change.done(_nothing(taken=True), 201)
            unit = units_by_code(change.session)[taken.unit]
            answer = TakenReading(
                taken=True,
                first=False,
                consumed=f"{quantity_text(taken.consumed)} {meter.measure}",
                total=money(taken.total, unit),
                tax=money(taken.tax, unit),
                entry=taken.entry_id,
                explanation=[str(x) for x in taken.explanation.get("lines", ())],
            )
            return change.done(answer, 201)


def _nothing(*, taken: bool) -> TakenReading:
    return TakenReading(
        taken=taken, first=taken, consumed=None, total=None, tax=None, entry=None, explanation=[]
    )
