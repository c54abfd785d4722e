"""What gateways send: believed only when it is proven, kept raw, acted on once, in whatever order it comes.

Proof and questions back to the gateway come first, with no transaction open. Then one transaction keeps the
webhook and does what it asks for: it is durable with its money, or comes again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from pbxbill.billing.payments.gateway_facts import Applied, Outcome, apply_payment_facts
from pbxbill.billing.payments.gateway_payments import GatewayDesk
from pbxbill.billing.payments.refunds import apply_refund_facts
from pbxbill.billing.payments.saved_methods import method_changed, method_removed
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import SECOND_US
from pbxbill.errors import PbxbillError
from pbxbill.gateways.gateway import (
    Fact,
    Forged,
    GatewayUnreachable,
    MethodChanged,
    MethodRemoved,
    PaymentFacts,
    PaymentGateway,
    RefundFacts,
    WebhookEvent,
)
from pbxbill.store.engine import reading, transaction
from pbxbill.store.payment_models import (
    GatewayPaymentRow,
    PaymentGatewayRow,
    ReceivedWebhookRow,
    RefundRow,
    SavedMethodRow,
)

MAX_BODY_BYTES = 262_144
"""Larger than any gateway sends; more is refused before it is read."""
REFUSED_KEPT = 1000
"""Of each gateway: what anybody may send must not fill the disk."""
REFUSED_A_MINUTE = 60
"""More are only logged: who sends anything at all must not keep the database busy writing."""
REFUSED_BODY_BYTES = 4096
MAX_HEADERS_LENGTH = 8192
KEPT_S = 400 * 86_400
"""What was handled: much longer than any gateway sends again, and than banks commonly argue about."""
_UNKEPT_HEADERS = frozenset(("authorization", "cookie", "proxy-authorization"))
_REFUSED = "refused:"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the gateway is answered."""

    status: int
    """200: never send it again; 400: not believed; 404: nobody of that name here; 503: send it later."""
    detail: str


def receive_webhook(desk: GatewayDesk, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Handle what came for a gateway; headers: names in lower case."""
    now_us = desk.clock.now_us()
    with transaction(reading(desk.database)) as session:
        row = session.scalar(select(PaymentGatewayRow).where(PaymentGatewayRow.name == name))
    if row is None:
        return Answer(404, "no such gateway")
    gateway = desk.open(row)
    try:
        event = gateway.read_webhook(headers, body, now_us)
    except GatewayUnreachable as error:
        _log.warning("webhook_waits", gateway=row.name, error=str(error))
        return Answer(503, "the gateway cannot be asked about it now")
    if isinstance(event, Forged):
        _refuse(desk, row, headers, body, event.why, now_us)
        return Answer(400, event.why)
    if _known(desk, row, event):
        return Answer(200, "known already")
    try:
        facts = _understood(desk, gateway, row, event)
    except GatewayUnreachable as error:
        # It is not written down: it comes again, and is understood then.
        _log.warning("webhook_waits", gateway=row.name, webhook=event.event_ref, error=str(error))
        return Answer(503, "the gateway cannot be asked about it now")
    with desk.writing() as (session, books):
        kept = _kept(session, row, event, headers, body, now_us)
        if kept is None:
            return Answer(200, "known already")
        done = _applied(session, books, row, facts, now_us)
        kept.outcome, kept.detail = done.outcome.value, done.detail[:300]
        kept.payment_id = done.payment_id
    _log.info("webhook_handled", gateway=row.name, kind=event.kind, outcome=kept.outcome, detail=kept.detail)
    return Answer(200, kept.outcome)


def _known(desk: GatewayDesk, row: PaymentGatewayRow, event: WebhookEvent) -> bool:
    """Whether it was acted on before; counted then."""
    own = (
        ReceivedWebhookRow.gateway_id == row.id,
        ReceivedWebhookRow.event_ref == event.event_ref[:128],
    )
    with transaction(reading(desk.database)) as session:
        if session.scalar(select(ReceivedWebhookRow.id).where(*own)) is None:
            return False
    with desk.writing() as (session, _):
        known = session.scalar(select(ReceivedWebhookRow).where(*own).with_for_update())
        if known is not None:
            known.times += 1
    return True


# --- understanding: questions to the gateway, with no transaction open ---


def _understood(
    desk: GatewayDesk, gateway: PaymentGateway, row: PaymentGatewayRow, event: WebhookEvent
) -> tuple[Fact, ...]:
    """What is to be written down, in this order: what a refund needs to be known goes before it."""
    found: list[Fact] = []
    if event.ask_again:
        said = _found(desk, gateway, row, event.ask_again)
        found += [said] if said is not None else []
    if isinstance(event.fact, RefundFacts) and not _is_booked(desk, row, event.fact):
        # Its payment is not in the books yet: the webhook that tells of that is late, or never comes.
        said = _found(desk, gateway, row, event.fact.payment_ref)
        found += [said] if said is not None else []
    if event.fact is not None:
        found.append(event.fact)
    return tuple(found)


def _found(
    desk: GatewayDesk, gateway: PaymentGateway, row: PaymentGatewayRow, gateway_ref: str
) -> PaymentFacts | None:
    with transaction(reading(desk.database)) as session:
        payment = session.scalar(
            select(GatewayPaymentRow).where(
                GatewayPaymentRow.gateway_id == row.id, GatewayPaymentRow.gateway_ref == gateway_ref
            )
        )
        method_id = None if payment is None else payment.method_id
        method = None if method_id is None else session.get(SavedMethodRow, method_id)
    key, customer_ref = payment.key if payment else "", method.customer_ref if method else ""
    return gateway.find(key, gateway_ref, customer_ref)


def _is_booked(desk: GatewayDesk, row: PaymentGatewayRow, facts: RefundFacts) -> bool:
    """Whether the payment of a refund is known, and its money with it."""
    with transaction(reading(desk.database)) as session:
        if facts.key and session.scalar(select(RefundRow.id).where(RefundRow.key == facts.key)) is not None:
            return True
        payment = session.scalar(
            select(GatewayPaymentRow).where(
                GatewayPaymentRow.gateway_id == row.id, GatewayPaymentRow.gateway_ref == facts.payment_ref
            )
        )
        return payment is not None and (payment.entry_id is not None or payment.state == "held")


# --- writing down ---


def _kept(  # what is kept
    session: Session,
    row: PaymentGatewayRow,
    event: WebhookEvent,
    headers: Mapping[str, str],
    body: bytes,
    now_us: int,
) -> ReceivedWebhookRow | None:
    """The webhook's own row; None if another process has it. Whoever comes second waits here."""
    inserted = _insert_unless_there(session, row.id, event.event_ref[:128], now_us)
    kept = session.scalar(
        select(ReceivedWebhookRow)
        .where(
            ReceivedWebhookRow.gateway_id == row.id,
            ReceivedWebhookRow.event_ref == event.event_ref[:128],
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    assert kept is not None
    if not inserted:
        kept.times += 1
        return None
    kept.kind, kept.headers, kept.body = event.kind[:64], _headers(headers), body
    return kept


def _insert_unless_there(session: Session, gateway_id: int, event_ref: str, now_us: int) -> bool:
    values = {
        "gateway_id": gateway_id,
        "event_ref": event_ref,
        "received_us": now_us,
        "kind": "",
        "headers": "",
        "body": b"",
        "outcome": Outcome.NOTHING.value,
        "detail": "",
    }
    is_postgres = session.get_bind().dialect.name == "postgresql"
    if is_postgres:
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
    new = insert(ReceivedWebhookRow).values(**values).on_conflict_do_nothing()
    return session.scalar(new.returning(ReceivedWebhookRow.id)) is not None


def _applied(
    session: Session, books: Bookkeeper, row: PaymentGatewayRow, facts: tuple[Fact, ...], now_us: int
) -> Applied:
    """The last that did something is what the webhook did."""
    done = Applied(Outcome.NOTHING, "it concerns nothing that is acted on")
    for fact in facts:
        applied = _apply_one(session, books, row, fact, now_us)
        if applied.outcome is not Outcome.NOTHING or done.outcome is Outcome.NOTHING:
            done = applied
    return done


def _apply_one(
    session: Session, books: Bookkeeper, row: PaymentGatewayRow, fact: Fact, now_us: int
) -> Applied:
    match fact:
        case PaymentFacts():
            return apply_payment_facts(session, books, row, fact, now_us)
        case RefundFacts():
            return apply_refund_facts(session, books, row, fact, now_us)
        case MethodRemoved():
            return _methods(method_removed(session, row.id, fact.method_ref))
        case MethodChanged():
            return _methods(method_changed(session, row.id, fact.method))


def _methods(count: int) -> Applied:
    return Applied(Outcome.HANDLED if count else Outcome.NOTHING, f"{count} saved methods")


def _refuse(  # what is kept
    desk: GatewayDesk,
    row: PaymentGatewayRow,
    headers: Mapping[str, str],
    body: bytes,
    why: str,
    now_us: int,
) -> None:
    """Keep what was not believed, for whoever looks into it: the newest, and not much of each."""
    _log.warning("webhook_refused", gateway=row.name, why=why)
    event_ref = _REFUSED + hashlib.sha256(body).hexdigest()
    try:
        if _is_flooded(desk, row.id, now_us):
            return
        with desk.writing() as (session, _):
            if _insert_unless_there(session, row.id, event_ref, now_us):
                _drop_oldest_refused(session, row.id)
            kept = session.scalars(
                select(ReceivedWebhookRow).where(
                    ReceivedWebhookRow.gateway_id == row.id, ReceivedWebhookRow.event_ref == event_ref
                )
            ).one()
            kept.times += 1 if kept.outcome == "refused" else 0
            kept.outcome, kept.detail, kept.received_us = "refused", why[:300], now_us
            kept.headers, kept.body = _headers(headers), body[:REFUSED_BODY_BYTES]
    except PbxbillError as error:
        _log.warning("refused_webhook_not_kept", gateway=row.name, error=str(error))


def _is_flooded(desk: GatewayDesk, gateway_id: int, now_us: int) -> bool:
    lately = select(func.count()).select_from(ReceivedWebhookRow)
    lately = lately.where(
        ReceivedWebhookRow.received_us.between(now_us - 60 * SECOND_US, now_us),
        ReceivedWebhookRow.gateway_id == gateway_id,
        ReceivedWebhookRow.outcome == "refused",
    )
    with transaction(reading(desk.database)) as session:
        return (session.scalar(lately) or 0) >= REFUSED_A_MINUTE


def _drop_oldest_refused(session: Session, gateway_id: int) -> None:
    refused = (
        ReceivedWebhookRow.gateway_id == gateway_id,
        ReceivedWebhookRow.event_ref >= _REFUSED,
        ReceivedWebhookRow.event_ref < _REFUSED + "~",
    )
    count = session.scalar(select(func.count()).select_from(ReceivedWebhookRow).where(*refused)) or 0
    if count > REFUSED_KEPT:
        oldest = select(ReceivedWebhookRow.id).where(*refused).order_by(ReceivedWebhookRow.id)
        ids = session.scalars(oldest.limit(count - REFUSED_KEPT)).all()
        session.execute(delete(ReceivedWebhookRow).where(ReceivedWebhookRow.id.in_(ids)))


def forget_handled(session: Session, now_us: int, most: int) -> int:
    """Forget what was handled long ago, at most so much; how much. Refused ones are bounded by number."""
    old = (
        select(ReceivedWebhookRow.id)
        .where(
            ReceivedWebhookRow.received_us < now_us - KEPT_S * SECOND_US,
            ReceivedWebhookRow.outcome != "refused",
        )
        .order_by(ReceivedWebhookRow.received_us)
        .limit(most)
    )
    ids = session.scalars(old).all()
    session.execute(delete(ReceivedWebhookRow).where(ReceivedWebhookRow.id.in_(ids)))
    return len(ids)


def _headers(headers: Mapping[str, str]) -> str:
    kept = {name: value for name, value in sorted(headers.items()) if name not in _UNKEPT_HEADERS}
    told = json.dumps(kept)
    return told if len(told) <= MAX_HEADERS_LENGTH else json.dumps({"left_out": f"{len(told)} characters"})
