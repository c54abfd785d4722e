"""Limits of an account and its endpoints, and countries that were held or released."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused
from pbxbill.money import MAX_AMOUNT
from pbxbill.store.catalogue_models import LimitRow
from pbxbill.store.limits import (
    NEEDS,
    WINDOWS,
    NewLimit,
    list_countries,
    list_limits,
    release_country,
    remove_limit,
    set_limit,
)
from pbxbill.store.models import EndpointRow
from pbxbill.store.points_units import refuse_points
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Money, Sent, SentMoney, left_out, money
from pbxbill.web.api.objects import conflicts, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Limits"
AMOUNTS = ("spend", "call_cost")
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class LimitPath(AccountPath):
    """A limit of an account."""

    limit_id: Id


class CountryPath(AccountPath):
    """A country, as an account may call it."""

    region: str = Field(pattern="^[A-Z]{2}$|^[0-9]{3}$", description="FR, say.")


class SentLimit(Sent):
    """A limit; what its kind does not use is left out."""

    kind: Literal[tuple(NEEDS)]  # type: ignore[valid-type]  # made of what there is
    value: Annotated[int, Field(ge=0, le=10**12)] = left_out("Calls, or seconds.")
    money: SentMoney = left_out("Of spend and call_cost.")
    window: Literal[WINDOWS] = left_out("Of spend.")  # type: ignore[valid-type]  # the same
    window_s: Annotated[int, Field(ge=1, le=604_800)] = left_out("Of call_rate and short_calls.")
    shorter_s: Annotated[int, Field(ge=1, le=3600)] = left_out("Of short_calls.")
    zone: Name = left_out("Of spend: in which days begin.")
    destinations: Annotated[list[Name], Field(max_length=200)] = left_out(
        "Of blocked and allowed: names, classes or prefixes; of new_country: countries."
    )
    suspends: bool = Field(default=False, description="Suspend the endpoint that goes beyond it.")
    endpoint_id: Id = left_out("Of one endpoint. Default: of the account.")


class Limit(BaseModel):
    """A limit."""

    id: int
    kind: str
    endpoint_id: int | None
    value: int | None
    money: Money | None
    window: str | None
    window_s: int | None
    shorter_s: int | None
    zone: str
    destinations: list[str]
    suspends: bool


class Country(BaseModel):
    """A country that was called for the first time."""

    region: str
    released: bool


class Limits(BaseModel):
    """All that holds an account back."""

    items: list[Limit]
    countries: list[Country]


class Release(Sent):
    """Whether calls there pass."""

    released: bool


def limits(api: Api) -> None:
    """Limits."""
    front = api.front

    def shown(session: Session, account_id: int) -> Limits:
        account = front.account(session, account_id)
        return Limits(
            items=[_shown(session, row) for row, *_ in list_limits(session, account)],
            countries=[
                Country(region=row.region, released=row.released)
                for row, _ in list_countries(session, account)
            ],
        )

    @api.get("/accounts/<int:account_id>/limits", Limits, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def list_account_limits(path: AccountPath) -> Limits:
        """Limits of an account, and countries that it called for the first time."""
        with front.reading() as session:
            return shown(session, path.account_id)

    @api.post("/accounts/<int:account_id>/limits", Limit, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def set_account_limit(path: AccountPath, body: SentLimit) -> Answer:
        """Set a limit, in the place of the one of this kind."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("limit.set", code, account_id=path.account_id) as change:
            session = change.session
            account = front.account(session, path.account_id)
            endpoint = None
            if body.endpoint_id is not None:
                endpoint = session.get(EndpointRow, body.endpoint_id)
                if endpoint is None or endpoint.account_id != path.account_id:
                    raise wrong("endpoint_id", "the account has no such endpoint")
            row = set_limit(session, account, _new(session, body), endpoint)
            return change.done(_shown(session, row), 201)

    @api.delete(
        "/accounts/<int:account_id>/limits/<int:limit_id>", TAG, of="/accounts/<int:account_id>/limits"
    )
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_account_limit(path: LimitPath) -> Answer:
        """Remove a limit."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("limit.remove", code, account_id=path.account_id) as change:
            try:
                remove_limit(change.session, front.account(change.session, path.account_id), path.limit_id)
            except InputRefused:
                raise Refused(404) from None
            return change.done(None)

    @api.put(
        "/accounts/<int:account_id>/countries/<region>", Limits, TAG, of="/accounts/<int:account_id>/limits"
    )
    @needs(Permission.ACCOUNTS_WRITE)
    def release_a_country(path: CountryPath, body: Release) -> Answer:
        """Let calls to a country pass, or hold them."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("country.release", f"{code} {path.region}", account_id=path.account_id) as change:
            account = front.account(change.session, path.account_id)
            with conflicts():
                release_country(change.session, account, path.region, change.now_us, released=body.released)
            return change.done(shown(change.session, path.account_id))


def _new(session: Session, sent: SentLimit) -> NewLimit:
    body: Any = sent  # what was left out is None
    given: dict[str, Any] = body.model_dump(
        include={"window", "window_s", "shorter_s", "zone"}, exclude_none=True
    )
    if body.kind in AMOUNTS:
        if body.money is None or body.value is not None:
            raise wrong("money", f"a {body.kind} limit has an amount, and no value")
        with field("money"):
            amount, unit = body.money.of(session)
            refuse_points(session, unit.code)
        if not 0 <= amount <= MAX_AMOUNT:
            raise wrong("money.amount", "must be 0 or more")
        given |= {"value": amount, "unit": unit.code}
    elif body.money is not None:
        raise wrong("money", f"a {body.kind} limit has no amount")
    elif body.value is not None:
        given["value"] = body.value
    elif "value" in NEEDS[body.kind]:
        raise wrong("value", f"a {body.kind} limit needs its value")
    return NewLimit(body.kind, destinations=tuple(body.destinations or ()), suspends=body.suspends, **given)


def _shown(session: Session, row: LimitRow) -> Limit:
    is_amount = row.kind in AMOUNTS
    has_value = "value" in NEEDS[row.kind] and not is_amount
    return Limit(
        id=row.id,
        kind=row.kind,
        endpoint_id=row.endpoint_id or None,
        value=row.value if has_value else None,
        money=money(row.value, units_by_code(session)[row.unit]) if is_amount else None,
        window=row.window or None,
        window_s=row.window_s or None,
        shorter_s=row.shorter_s or None,
        zone=row.zone,
        destinations=row.destinations.split("\n") if row.destinations else [],
        suspends=row.suspends,
    )
