"""Where notices are posted to: endpoints of accounts, in the form of Standard Webhooks."""

from typing import Annotated

from flask import request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import NoticeKind
from pbxbill.billing.notices.webhook_endpoints import (
    add_endpoint,
    end_rotation,
    remove,
    retry_given_up,
    rotate,
    switch,
    try_endpoint,
)
from pbxbill.notify.webhook import Accepted
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import WebhookEndpointRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Id, Moment, Sent, left_out, moment, moment_or_none
from pbxbill.web.api.problems import FieldError, Refused
from pbxbill.web.front import needs

TAG = "Webhooks"


class EndpointPath(Sent):
    """An endpoint, by its id."""

    endpoint_id: Id


class NewEndpoint(Sent):
    """Where to post notices."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern="^[!-~]+$")] = Field(
        examples=["https://shop.example/pbxbill"]
    )
    account: Code = left_out("Its code: notices about it and all below it. Left out: the key's own account.")
    kinds: Annotated[list[str], Field(max_length=100)] = Field(
        default=[], description="Only these kinds of notices; none: all.", examples=[["payment", "invoice"]]
    )


class EndpointChange(Sent):
    """What to change of an endpoint."""

    active: bool = Field(description="Post there, or no longer.")


class Endpoint(BaseModel):
    """An address that notices are posted to; its secret is shown when it is made."""

    id: int
    account: str
    url: str
    kinds: list[str]
    state: str = Field(description="active, off, or failing: given up after days.")
    rotating: bool = Field(description="Signed with the old secret as well.")
    failures: int = Field(description="In a row.")
    failing_since: Moment | None
    error: str
    created: Moment


class WithSecret(Endpoint):
    """An endpoint, with what its deliveries are signed with."""

    secret: str


class Retried(BaseModel):
    """What is delivered once more."""

    deliveries: int


class Tried(BaseModel):
    """What became of a test."""

    taken: bool
    why: str | None = Field(description="Why it was not.")


class EndpointsQuery(Sent):
    """Which page."""

    size: Annotated[int, Field(ge=1, le=200)] = 50
    after: Id = left_out("Those after this one.")


class Endpoints(BaseModel):
    """Endpoints, the oldest first."""

    items: list[Endpoint]
    next: str | None


def _address(size: int, after: int) -> str:
    return f"{request.script_root}{request.path}?size={size}&after={after}"


def webhooks(api: Api) -> None:
    """Endpoints."""
    front = api.front

    @api.get("/webhooks", Endpoints, TAG)
    @needs(Permission.NOTICES_READ)
    def list_webhooks(query: EndpointsQuery) -> Endpoints:
        """Endpoints of the key's account and of those below it."""
        with front.reading() as session:
            wanted = (
                select(WebhookEndpointRow, AccountRow.code)
                .join(AccountRow, AccountRow.id == WebhookEndpointRow.account_id)
                .where(_seen(front.scope), WebhookEndpointRow.id > (query.after or 0))
                .order_by(WebhookEndpointRow.id)
                .limit(query.size + 1)
            )
            found = [_shown(row, code) for row, code in session.execute(wanted)]
        items = found[: query.size]
        more = len(found) > query.size
        return Endpoints(items=items, next=_address(query.size, items[-1].id) if more else None)

    @api.get("/webhooks/<int:endpoint_id>", Endpoint, TAG, moving=("failures", "failing_since", "error"))
    @needs(Permission.NOTICES_READ)
    def get_webhook(path: EndpointPath) -> Endpoint:
        """One endpoint."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
            return _shown(row, account.code)

    @api.post("/webhooks", WithSecret, TAG)
    @needs(Permission.NOTICES_WRITE)
    def add_webhook(body: NewEndpoint) -> Answer:
        """Have notices posted to an address from now on. The secret is shown this once."""
        kinds = _kinds(body.kinds)
        with front.reading() as session:
            account = _account(session, front.scope, body.account or "")
        with api.writing("webhook.add", body.url, account_id=account.id) as change:
            row = add_endpoint(change.session, account, body.url, kinds=kinds, now_us=change.now_us)
            return change.done(_with_secret(row, account.code), 201)

    @api.patch("/webhooks/<int:endpoint_id>", Endpoint, TAG)
    @needs(Permission.NOTICES_WRITE)
    def change_webhook(path: EndpointPath, body: EndpointChange) -> Answer:
        """Post there again, or no longer. What is missed meanwhile is not made up for."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        with api.writing("webhook.change", row.url, account_id=account.id) as change:
            changed = switch(change.session, path.endpoint_id, on=body.active)
            return change.done(_shown(changed, account.code))

    @api.post("/webhooks/<int:endpoint_id>/rotation", WithSecret, TAG)
    @needs(Permission.NOTICES_WRITE)
    def rotate_webhook(path: EndpointPath) -> Answer:
        """Give it a new secret. Deliveries are signed with both until the rotation is ended."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        with api.writing("webhook.rotate", row.url, account_id=account.id) as change:
            return change.done(_with_secret(rotate(change.session, path.endpoint_id), account.code), 201)

    @api.delete("/webhooks/<int:endpoint_id>/rotation", TAG)
    @needs(Permission.NOTICES_WRITE)
    def end_webhook_rotation(path: EndpointPath) -> Answer:
        """The receiver knows the new secret: the old one is forgotten."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        with api.writing("webhook.end_rotation", row.url, account_id=account.id) as change:
            end_rotation(change.session, path.endpoint_id)
            return change.done(None)

    @api.delete("/webhooks/<int:endpoint_id>", TAG)
    @needs(Permission.NOTICES_WRITE)
    def remove_webhook(path: EndpointPath) -> Answer:
        """Forget an endpoint. Deliveries that wait are given up."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        with api.writing("webhook.remove", row.url, account_id=account.id) as change:
            remove(change.session, path.endpoint_id)
            return change.done(None)

    _tried(api)


def _tried(api: Api) -> None:
    """What is posted because somebody asks for it."""
    front = api.front

    @api.post("/webhooks/<int:endpoint_id>/test", Tried, TAG)
    @needs(Permission.NOTICES_WRITE)
    def test_webhook(path: EndpointPath) -> Answer:
        """Post a test there, now, and say whether the address took it."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        # No transaction is open while the address is waited for.
        answer = try_endpoint(row, account, front.clock.now_us(), private=False)
        why = None if isinstance(answer, Accepted) else answer.why
        with api.writing("webhook.test", row.url, account_id=account.id) as change:
            return change.done(Tried(taken=why is None, why=why))

    @api.post("/webhooks/<int:endpoint_id>/retry", Retried, TAG, 202)
    @needs(Permission.NOTICES_WRITE)
    def retry_webhook_deliveries(path: EndpointPath) -> Answer:
        """Deliver once more what was given up, up to 10,000. `/webhook-deliveries` says what became of it."""
        with front.reading() as session:
            row, account = _endpoint(session, front.scope, path.endpoint_id)
        with api.writing("webhook.retry", row.url, account_id=account.id) as change:
            count = retry_given_up(change.session, path.endpoint_id, change.now_us)
            return change.done(Retried(deliveries=count), 202)


def _seen(scope: Scope) -> ColumnElement[bool]:
    """Who sells has endpoints of his own, beside those of his customers."""
    column = WebhookEndpointRow.account_id
    return or_(scope.among(column), column == scope.account_id)


def _endpoint(session: Session, scope: Scope, id: int) -> tuple[WebhookEndpointRow, AccountRow]:
    row = session.scalar(select(WebhookEndpointRow).where(WebhookEndpointRow.id == id, _seen(scope)))
    if row is None:
        raise Refused(404)
    return row, session.get_one(AccountRow, row.account_id)


def _account(session: Session, scope: Scope, code: str) -> AccountRow:
    if not code:
        return session.get_one(AccountRow, scope.account_id)
    account = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if account is None or not (account.id == scope.account_id or scope.covers(account)):
        raise Refused(422, errors=[FieldError(field="body.account", detail="there is no such account")])
    return account


def _kinds(sent: list[str]) -> list[NoticeKind]:
    known = {x.value for x in NoticeKind}
    errors = [
        FieldError(field=f"body.kinds.{place}", detail="is no kind of notice")
        for place, kind in enumerate(sent)
        if kind not in known
    ]
    if errors:
        raise Refused(422, errors=errors[:20])
    return [NoticeKind(x) for x in sent]


def _shown(row: WebhookEndpointRow, account: str) -> Endpoint:
    return Endpoint(
        id=row.id,
        account=account,
        url=row.url,
        kinds=row.kinds.split(),
        state=row.state,
        rotating=bool(row.old_secret),
        failures=row.failures,
        failing_since=moment_or_none(row.failing_since_us),
        error=row.error,
        created=moment(row.created_us),
    )


def _with_secret(row: WebhookEndpointRow, account: str) -> WithSecret:
    return WithSecret(**_shown(row, account).model_dump(), secret=row.secret)
