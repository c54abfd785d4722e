"""Carriers, the gateways of switches that lead to them, and what they ask: the operator's."""

from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.carriers import CARRIERS
from pbxbill.store.carriers import put_carrier, remove_gateway, set_gateway
from pbxbill.store.catalogue_models import CarrierRow, GatewayRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent
from pbxbill.web.api.listed import declare_item, declare_list
from pbxbill.web.api.objects import field
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Carriers"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class CarrierPath(Sent):
    """A carrier, by its id."""

    carrier_id: Id


class NewCarrier(Sent):
    """A carrier, and by which of your tariffs it asks."""

    name: Name
    tariff: Name = Field(description="With a rate deck.")


class CarrierChange(Sent):
    """What calls from now on cost."""

    tariff: Name


class SentGateway(Sent):
    """A gateway, as the switch calls it."""

    gateway: Name


def carriers(api: Api) -> None:
    """Carriers."""
    front = api.front
    types = declare_list(api, "/carriers", CARRIERS, TAG)
    declare_item(api, "/carriers/<int:carrier_id>", types, TAG, "get_carrier", "One carrier.")

    def seen(session: Session, id: int) -> CarrierRow:
        row = session.get(CarrierRow, id)
        if row is None or not front.scope.is_everything:
            raise Refused(404)
        return row

    def operators() -> None:
        if not front.scope.is_everything:
            raise Refused(403, "Carriers are the operator's.")

    @api.post("/carriers", types.item, TAG)
    @needs(Permission.CARRIERS_WRITE)
    def make_carrier(body: NewCarrier) -> Answer:
        """Make a carrier. 409: there is one of that name."""
        operators()
        with api.writing("carrier.make", body.name) as change:
            known = select(CarrierRow.id).where(CarrierRow.name == body.name)
            if change.session.scalar(known) is not None:
                raise Refused(409, "There is a carrier of this name.")
            row, _ = put_carrier(change.session, body.name, body.tariff)
            return change.done(types.shown(change.session, front.scope, row.id), 201)

    @api.patch("/carriers/<int:carrier_id>", types.item, TAG)
    @needs(Permission.CARRIERS_WRITE)
    def change_carrier(path: CarrierPath, body: CarrierChange) -> Answer:
        """Say by which tariff a carrier asks from now on."""
        with front.reading() as session:
            name = seen(session, path.carrier_id).name
        with api.writing("carrier.change", name) as change:
            with field("tariff"):
                put_carrier(change.session, name, body.tariff)
            return change.done(types.shown(change.session, front.scope, path.carrier_id))

    @api.post("/carriers/<int:carrier_id>/gateways", types.item, TAG)
    @needs(Permission.CARRIERS_WRITE)
    def add_gateway(path: CarrierPath, body: SentGateway) -> Answer:
        """Say that calls through a gateway are this carrier's, whosever they were."""
        with front.reading() as session:
            seen(session, path.carrier_id)
        with api.writing("gateway.set", body.gateway) as change:
            with field("gateway"):
                set_gateway(change.session, body.gateway, seen(change.session, path.carrier_id))
            return change.done(types.shown(change.session, front.scope, path.carrier_id), 201)

    @api.post("/carriers/<int:carrier_id>/gateways/removal", types.item, TAG)
    @needs(Permission.CARRIERS_WRITE)
    def drop_gateway(path: CarrierPath, body: SentGateway) -> Answer:
        """Forget a gateway: what calls through it cost is unknown from now on."""
        with front.reading() as session:
            seen(session, path.carrier_id)
        with api.writing("gateway.remove", body.gateway) as change:
            row = change.session.get(GatewayRow, body.gateway)
            if row is None or row.carrier_id != path.carrier_id:
                raise Refused(409, "The carrier has no such gateway.")
            remove_gateway(change.session, body.gateway)
            return change.done(types.shown(change.session, front.scope, path.carrier_id), 201)
