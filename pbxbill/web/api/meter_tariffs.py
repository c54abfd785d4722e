"""Meter tariffs: what consumption costs; a change is a version of its own."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.meters import METER_TARIFFS
from pbxbill.mediation.meter_tariffs import (
    MAX_TERMS_LENGTH,
    add_meter_tariff,
    newest_number,
    versions_of,
)
from pbxbill.store.mediation_models import MeterTariffRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.meters import TAG
from pbxbill.web.api.objects import SentMoment, at_us, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

Toml = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TERMS_LENGTH)]


class MeterTariffPath(Sent):
    """A meter tariff's version, by its id."""

    tariff_id: Id


class SentMeterTariffTerms(Sent):
    """What consumption costs from a moment on."""

    toml: Toml = Field(
        description="A unit, a tax, and a [[component]] for each price, as docs/mediation.md has them.",
        examples=['unit = "EUR"\n[[component]]\nname = "energy"\nkind = "per_piece"\nprice = "0.50"\n'],
    )
    since: SentMoment = left_out("What is read from then on is charged by it. Default: at once.")


class SentMeterTariff(SentMeterTariffTerms):
    """A meter tariff that is new."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = Field(examples=["power"])


class MeterTariffVersion(BaseModel):
    """One version of it."""

    id: int
    version: int
    counts_from: Moment
    made: Moment


class MeterTariff(BaseModel):
    """A version of a meter tariff, and which others there are."""

    id: int
    name: str
    version: int
    unit: str
    counts_from: Moment
    made: Moment
    toml: str
    versions: list[MeterTariffVersion] = Field(description="All of the tariff, the newest first.")


def meter_tariffs(api: Api) -> None:
    """Of the installation: they are the operator's."""
    front = api.front
    declare_list(api, "/meter-tariffs", METER_TARIFFS, TAG)

    def row_of(session: Session, id: int) -> MeterTariffRow:
        row = session.get(MeterTariffRow, id)
        if row is None or not front.scope.is_everything:
            raise Refused(404)
        return row

    @api.get("/meter-tariffs/<int:tariff_id>", MeterTariff, TAG)
    @needs(Permission.OPERATIONS_READ)
    def get_meter_tariff(path: MeterTariffPath) -> MeterTariff:
        """One version of a meter tariff, with its prices. The list names the newest of each."""
        with front.reading() as session:
            return _shown(session, row_of(session, path.tariff_id))

    @api.post("/meter-tariffs", MeterTariff, TAG)
    @needs(Permission.OPERATIONS_WRITE)
    def make_meter_tariff(body: SentMeterTariff) -> Answer:
        """Write a meter tariff. 409: there is one of that name, which takes another version."""
        with api.writing("meter-tariff.set", body.name) as change:
            if newest_number(change.session, body.name):
                raise Refused(409, "There is a meter tariff of this name.")
            return change.done(_written(change.session, body.name, body, change.now_us), 201)

    @api.post(
        "/meter-tariffs/<int:tariff_id>/versions", MeterTariff, TAG, of="/meter-tariffs/<int:tariff_id>"
    )
    @needs(Permission.OPERATIONS_WRITE)
    def change_meter_tariff(path: MeterTariffPath, body: SentMeterTariffTerms) -> Answer:
        """Write the next version of a meter tariff: all its terms. Those before keep what they charged."""
        with front.reading() as session:
            name = row_of(session, path.tariff_id).name
        with api.writing("meter-tariff.set", name) as change:
            row_of(change.session, path.tariff_id)
            return change.done(_written(change.session, name, body, change.now_us), 201)


def _written(session: Session, name: str, body: SentMeterTariffTerms, now_us: int) -> MeterTariff:
    sent: Any = body
    with field("toml"):
        made = add_meter_tariff(session, name, body.toml, at_us(sent.since, now_us) or now_us, now_us)
    return _shown(session, made)


def _shown(session: Session, row: MeterTariffRow) -> MeterTariff:
    return MeterTariff(
        id=row.id,
        name=row.name,
        version=row.number,
        unit=row.unit,
        counts_from=moment(row.effective_from_us),
        made=moment(row.created_us),
        toml=row.terms,
        versions=[
            MeterTariffVersion(
                id=x.id, version=x.number, counts_from=moment(x.effective_from_us), made=moment(x.created_us)
            )
            for x in versions_of(session, row.name)
        ],
    )
