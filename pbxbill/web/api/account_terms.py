"""What is said of an account when it is opened, and changed afterwards."""

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import (
    ANNOUNCEMENTS,
    FAILURE_POLICIES,
    Opening,
    offline_allowance,
    paying_unit,
    unit_of_tariff,
)
from pbxbill.billing.period import day_start_us
from pbxbill.money import Unit, parse_amount
from pbxbill.store.accounts import (
    NewAccount,
    dialling_rule_by_name,
    parse_wallet_order,
    set_wallet_order,
    tariff_of_issuer,
    unit_of,
)
from pbxbill.store.models import AccountRow
from pbxbill.web.api.fields import Amount, Code, Line, Sent, left_out
from pbxbill.web.api.objects import SentDay, field, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front

Found = TypeVar("Found")
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]
UnitCode = Annotated[str, StringConstraints(pattern="^[A-Z0-9]{1,12}$")]
OPERATORS = ("failure_policy", "offline_allowance", "shadow")
"""Calls that nobody authorizes or cuts cost whoever owns the switch: only he lets them pass."""


class SentEndpoint(Sent):
    """What tells the switch whose call it is."""

    kind: Literal["sip", "ip", "caller_id", "did"]
    value: Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class SentTerms(Sent):
    """What can be said when it is opened and afterwards."""

    wallet_order: Annotated[list[UnitCode], Field(max_length=20)] = left_out(
        "Units of the wallets that a charge takes from, in order. Empty: that of the tariff's unit alone."
    )
    announce_balance: bool | None = left_out("Before a call. null: as the tariff says; so below.")
    announce_minutes: bool | None = left_out()
    announce_warning: bool | None = left_out("Before its end.")
    announce_denial: bool | None = left_out("Say why a call is denied.")
    failure_policy: Literal[FAILURE_POLICIES] = left_out(  # type: ignore[valid-type]  # made of what there is
        "When nobody can authorize a call: closed, it is refused; open, it passes up to the allowance. "
        "This and the next two are for the operator's keys."
    )
    offline_allowance: Amount = left_out("The most that such calls may cost beyond its limit.")
    shadow: bool = left_out("Only watch: its calls are charged, and nobody is cut or denied.")


class NewAccountBody(SentTerms):
    """An account with its first wallet."""

    code: Code = Field(description="What people know it by; it never changes.")
    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = left_out("Default: the code.")
    kind: Literal["customer", "reseller"] = "customer"
    mode: Literal["prepaid", "postpaid", "hybrid"] = "prepaid"
    reseller: Code = left_out("Code of who bills it. Default: the key's own account.")
    unit: UnitCode = Field(description="What its wallet counts: EUR, say.")
    credit_limit: Amount = Field(default="0", description="How far below zero its wallet may go.")
    tariff: Name = left_out("What its calls are charged by. Without one it cannot call.")
    inbound_tariff: Name = left_out("What calls to its DIDs are charged by. Without one they are free.")
    dialling_rule: Name = left_out("Default: as the account above.")
    language: Literal["en", "fr", "es"] = "en"
    endpoints: Annotated[list[SentEndpoint], Field(max_length=100)] = Field(default=[])
    opened: SentDay = left_out("It is billed since this day, in UTC, which is not to come. Default: now.")


class AccountChange(SentTerms):
    """What to change of an account; what is left out stays."""

    name: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = left_out()
    mode: Literal["prepaid", "postpaid", "hybrid"] = left_out()
    tariff: Name = left_out()
    inbound_tariff: Name | None = left_out("null: calls to its DIDs are free.")
    dialling_rule: Name | None = left_out("null: as the account above.")
    language: Literal["en", "fr", "es"] = left_out()
    minimum_balance: Amount | None = left_out(
        "With less to spend no call to the outside begins, in its tariff's currency. null: no such floor."
    )


def opened_at(body: NewAccountBody, now_us: int) -> int | None:
    """Since when an account is billed; None: from now on."""
    sent: Any = body
    if sent.opened is None:
        return None
    opened_us = day_start_us(date.fromisoformat(sent.opened), "UTC")
    if opened_us > now_us:
        raise wrong("opened", "is to come; an account is opened now, or was")
    return opened_us


def opening_of(session: Session, front: Front, body: NewAccountBody) -> Opening:
    """An account as it is asked for."""
    sent: Any = body
    _leave_to_operator(front, body)
    unit = _named(lambda: unit_of(session, body.unit), "unit")
    limit = _amount(body.credit_limit, unit, "credit_limit")
    if limit and not front.actor.may(Permission.PAYMENTS_CORRECT):
        raise Refused(403, f"To give credit, the key needs {Permission.PAYMENTS_CORRECT}.")
    above = _above(session, front, body.reseller or "")
    for name in ("tariff", "inbound_tariff"):
        if getattr(body, name):
            _tariff_id(session, above.id, getattr(body, name), name)
    if body.dialling_rule:
        _rule_id(session, body.dialling_rule)
    allowed = offline_allowance(sent.failure_policy, body.mode, unit)
    if sent.offline_allowance is not None:
        allowed = _amount(sent.offline_allowance, unit, "offline_allowance")
    order = _wallet_order(session, sent.wallet_order or [])
    if order and unit.code not in order:
        raise wrong("wallet_order", f"must name {unit.code}, the wallet's unit, too")
    new = NewAccount(
        body.code,
        body.name or body.code,
        kind=body.kind,
        mode=body.mode,
        parent=None if above.parent_id is None else above.code,
        tariff=body.tariff or None,
        inbound_tariff=body.inbound_tariff or None,
        dialling_rule=body.dialling_rule or None,
        language=body.language,
        failure_policy=sent.failure_policy,
        offline_allowance=allowed,
        wallet_order=order,
        shadow=bool(sent.shadow),
        **{name: getattr(body, name) for name in ANNOUNCEMENTS},
    )
    return Opening(new, unit.code, limit, tuple((x.kind, x.value) for x in body.endpoints))


def changes_of(session: Session, front: Front, account: AccountRow, body: AccountChange) -> dict[str, Any]:
    """What is to change, as it is kept."""
    _leave_to_operator(front, body)
    sent = body.model_dump(include=body.model_fields_set)
    for name in ("tariff", "inbound_tariff"):
        if name in sent:
            named = sent.pop(name)
            sent[f"{name}_id"] = (
                None if named is None else _tariff_id(session, account.parent_id, named, name)
            )
    if "dialling_rule" in sent:
        rule = sent.pop("dialling_rule")
        sent["dialling_rule_id"] = None if rule is None else _rule_id(session, rule)
    for name in ("minimum_balance", "offline_allowance"):
        if sent.get(name) is not None:
            sent[name] = _amount(sent[name], _paying(session, account, sent, name), name)
    if "wallet_order" in sent:
        sent["wallet_order"] = _wallet_order(session, sent["wallet_order"], account)
    return sent


def _leave_to_operator(front: Front, body: SentTerms) -> None:
    if not front.scope.is_everything and body.model_fields_set & set(OPERATORS):
        raise Refused(403, "Whether calls pass that nobody authorizes or cuts is the operator's to say.")


def _above(session: Session, front: Front, code: str) -> AccountRow:
    """Below whom an account is opened: whoever asks, or a reseller whom he may see."""
    if not code:
        return session.get_one(AccountRow, front.scope.account_id)
    above = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if (
        above is None
        or above.kind != "reseller"
        or not (above.id == front.scope.account_id or front.scope.covers(above))
    ):
        raise wrong("reseller", "there is no such reseller")
    return above


def _paying(session: Session, account: AccountRow, sent: dict[str, Any], name: str) -> Unit:
    """What its terms are in: what the tariff charges that it has, or gets."""
    code = unit_of_tariff(session, sent["tariff_id"]) if "tariff_id" in sent else None
    unit = paying_unit(session, account) if code is None else unit_of(session, code)
    if unit is None:
        raise wrong(name, "the account has neither tariff nor wallet that says what it is paid in")
    return unit


def _amount(text: str, unit: Unit, name: str) -> int:
    with field(name):
        amount = parse_amount(text, unit)
    if amount < 0:
        raise wrong(name, "must be 0 or more")
    return amount


def _wallet_order(session: Session, codes: list[str], account: AccountRow | None = None) -> tuple[str, ...]:
    """Units of wallets that the account has, where it is there; set at once, so that the field is named."""
    with field("wallet_order"):
        order = parse_wallet_order(session, ",".join(codes)) if codes else ()
        if account is not None:
            set_wallet_order(session, account, order)
    return order


def _tariff_id(session: Session, issuer_id: int | None, name: str, field: str) -> int:
    return _named(lambda: tariff_of_issuer(session, issuer_id, name), field).id


def _rule_id(session: Session, name: str) -> int:
    return _named(lambda: dialling_rule_by_name(session, name), "dialling_rule").id


def _named(find: Callable[[], Found], name: str) -> Found:
    with field(name):
        return find()
