"""Payment gateways: accounts at payment services, and what the services sent.

Secrets stand in files on the server. Their names are for who runs it: the operator alone is told settings.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.payment_gateways import add_gateway, change_gateway
from pbxbill.errors import ConfigurationError
from pbxbill.gateways.registry import KINDS, is_address, setting_names
from pbxbill.listing.gateways import RECEIVED_WEBHOOKS
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import PaymentGatewayRow, ReceivedWebhookRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Id, Line, Moment, Sent, left_out, moment
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import account_named, field, found, issuer, wrong
from pbxbill.web.api.payments import TAG
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

MAX_BODY_SHOWN = 20_000
Unit = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")]
Settings = Annotated[
    dict[
        Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,39}$")],
        Annotated[Line, StringConstraints(min_length=1, max_length=500)] | int | bool,
    ],
    Field(max_length=40),
]


class GatewayPath(Sent):
    """A gateway, by its id."""

    gateway_id: Id


class ReceivedPath(Sent):
    """Something that a gateway sent, by its id."""

    webhook_id: Id


class SettingShown(BaseModel):
    """Something that a kind of gateway is told."""

    name: str
    needed: bool


class GatewayKindShown(BaseModel):
    """A service that payments can go through."""

    kind: str
    about: str
    settings: list[SettingShown]


class GatewayKinds(BaseModel):
    """All that there are."""

    items: list[GatewayKindShown]


class GatewayShown(BaseModel):
    """An account at a payment service."""

    id: int
    name: str
    kind: str
    issuer: str
    units: list[str] = Field(description="None: whatever the service takes.")
    enabled: bool = Field(description="False: it takes no new payments.")
    since: Moment
    webhooks: str | None = Field(description="Where the service sends to; null: web.public_url is not set.")
    settings: dict[str, str | int | bool] | None = Field(
        description="Never a secret, but names of the files that hold them; null but for the operator."
    )


class NewGatewayBody(Sent):
    """An account at a payment service."""

    name: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9-]{0,63}$")] = Field(
        description="Part of the address that the service sends to."
    )
    kind: Literal[tuple(KINDS)]  # type: ignore[valid-type]  # made of what there is
    issuer: Code = left_out("A reseller's code, whose customers pay through it. Default: the operator.")
    settings: Settings = Field(description="As the kind has them; secrets by files on the server.")
    units: Annotated[list[Unit], Field(max_length=40)] = Field(default=[], description="None: all.")


class GatewayChange(Sent):
    """What to change; what is left out stays, among the settings as well."""

    settings: Settings = left_out()
    units: Annotated[list[Unit], Field(max_length=40)] = left_out("All of them.")
    enabled: bool = left_out("One that is not takes no new payments; it still hears of those it had.")


class ReceivedWebhook(BaseModel):
    """Something that a gateway sent."""

    id: int
    gateway: str
    received: Moment
    kind: str
    outcome: str
    payment_id: int | None
    times: int
    detail: str
    body: str = Field(description="The first 20,000 characters.")


def payment_gateways(api: Api) -> None:
    """One by one; the list stands with payments. What they sent."""
    front = api.front

    def seen(session: Session, id: int) -> PaymentGatewayRow:
        own = kept_by_sellers(front.scope, PaymentGatewayRow.issuer_id)
        return found(session, PaymentGatewayRow, id, own)

    @api.get("/payment-gateway-kinds", GatewayKinds, TAG)
    @needs(Permission.SETTINGS_READ)
    def list_gateway_kinds() -> GatewayKinds:
        """Services that payments can go through, and what each is told."""
        kinds = [
            GatewayKindShown(
                kind=kind.name,
                about=kind.about,
                settings=[SettingShown(name=x, needed=y) for x, y in setting_names(kind.name).items()],
            )
            for kind in KINDS.values()
        ]
        return GatewayKinds(items=kinds)

    @api.get("/payment-gateways/<int:gateway_id>", GatewayShown, TAG)
    @needs(Permission.SETTINGS_READ)
    def get_payment_gateway(path: GatewayPath) -> GatewayShown:
        """One gateway."""
        with front.reading() as session:
            return _shown(front, session, seen(session, path.gateway_id))

    @api.post("/payment-gateways", GatewayShown, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def make_payment_gateway(body: NewGatewayBody) -> Answer:
        """Set an account at a service up. Only the operator does. 409: the name is taken."""
        _operators(front)
        _refuse_addresses(body.settings)
        sent: Any = body
        with api.writing("gateway.make", body.name) as change:
            session = change.session
            taken = select(PaymentGatewayRow.id).where(PaymentGatewayRow.name == body.name)
            if session.scalar(taken) is not None:
                raise Refused(409, "There is a gateway of this name.")
            owner = issuer(session, front.scope)
            if sent.issuer is not None:
                owner = account_named(session, front.scope, sent.issuer, "issuer")
            with field("settings"), _opened():
                made = add_gateway(
                    session,
                    owner,
                    name=body.name,
                    kind=body.kind,
                    settings=body.settings,
                    units=tuple(body.units),
                    now_us=change.now_us,
                )
            return change.done(_shown(front, session, made), 201)

    @api.patch("/payment-gateways/<int:gateway_id>", GatewayShown, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def change_payment_gateway(path: GatewayPath, body: GatewayChange) -> Answer:
        """Change a gateway. Only the operator does."""
        sent: Any = body
        with front.reading() as session:
            name = seen(session, path.gateway_id).name
        _operators(front)
        _refuse_addresses(sent.settings or {})
        with api.writing("gateway.change", name) as change:
            row = seen(change.session, path.gateway_id)
            with field("settings"), _opened():
                change_gateway(
                    change.session,
                    row,
                    settings=sent.settings,
                    units=None if sent.units is None else tuple(sent.units),
                    enabled=sent.enabled,
                )
            return change.done(_shown(front, change.session, row))

    _declare_received(api)


def _declare_received(api: Api) -> None:
    front = api.front
    declare_list(api, "/received-webhooks", RECEIVED_WEBHOOKS, TAG)

    @api.get("/received-webhooks/<int:webhook_id>", ReceivedWebhook, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def get_received_webhook(path: ReceivedPath) -> ReceivedWebhook:
        """What a gateway sent, as it came."""
        with front.reading() as session:
            both = session.execute(
                select(ReceivedWebhookRow, PaymentGatewayRow.name)
                .join(PaymentGatewayRow, PaymentGatewayRow.id == ReceivedWebhookRow.gateway_id)
                .where(
                    ReceivedWebhookRow.id == path.webhook_id,
                    kept_by_sellers(front.scope, PaymentGatewayRow.issuer_id),
                )
            ).one_or_none()
        if both is None:
            raise Refused(404)
        row, gateway = both
        return ReceivedWebhook(
            id=row.id,
            gateway=gateway,
            received=moment(row.received_us),
            kind=row.kind or "",
            outcome=row.outcome,
            payment_id=row.payment_id,
            times=row.times,
            detail=row.detail or "",
            body=bytes(row.body).decode("utf-8", "replace")[:MAX_BODY_SHOWN],
        )


@contextmanager
def _opened() -> Iterator[None]:
    """Files of secrets that cannot be read are said of the settings that name them."""
    try:
        yield
    except ConfigurationError as error:
        raise wrong("settings", str(error)) from None


def _operators(front: Front) -> None:
    """Which files the server reads is for who runs it."""
    if not front.scope.is_everything:
        raise Refused(403, "Payment gateways are set up by the operator.")


def _refuse_addresses(settings: dict[str, Any]) -> None:
    for name in settings:
        if is_address(name):
            raise wrong(f"settings.{name}", "is set by the command line alone")


def _shown(front: Front, session: Session, row: PaymentGatewayRow) -> GatewayShown:
    public_url = front.desks.public_url
    return GatewayShown(
        id=row.id,
        name=row.name,
        kind=row.kind,
        issuer=session.get_one(AccountRow, row.issuer_id).code,
        units=[x for x in row.units.split(",") if x],
        enabled=row.enabled,
        since=moment(row.created_us),
        webhooks=f"{public_url}/webhooks/{row.name}" if public_url else None,
        settings=json.loads(row.settings) if front.scope.is_everything else None,
    )
