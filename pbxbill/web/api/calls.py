"""Call records: found, shown, explained, exported."""

from dataclasses import replace

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.charging.explain import explain
from pbxbill.charging.explanation import Explanation
from pbxbill.charging.statement import Audience, statement
from pbxbill.clock import SECOND_US
from pbxbill.listing.calls import CALLS, SELLERS_FILTERS, charges_of
from pbxbill.money import Unit
from pbxbill.store.accounts import account_by_code
from pbxbill.store.models import AccountRow, CdrRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.fields import Moment, Money, Sent, moment, moment_or_none, money
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs

TAG = "Calls"


class CallPath(Sent):
    """A call, by its session."""

    session_id: str = Field(pattern="^[0-9a-f]{32}$")


class Charge(BaseModel):
    """What a wallet gave for a call."""

    total: Money = Field(description="With tax.")
    tax: Money
    uncollected: Money = Field(description="What was owed beyond it, and could not be taken.")
    billable_s: int = Field(description="Seconds after increments.")
    entry: str | None = Field(description="Of the ledger; null: nothing was charged.")


class Call(BaseModel):
    """A call record with what its account was charged."""

    id: str
    account: str | None
    account_id: int | None
    switch: str
    call_id: str
    direction: str
    caller: str
    dialled: str
    called: str
    destination: str
    started: Moment
    pdd_ms: int | None = Field(
        description="Post-dial delay: from dialling until it rang, in milliseconds. Null: not known."
    )
    answered: Moment | None
    ended: Moment
    state: str = Field(description="answered, unanswered or denied.")
    duration_s: int | None
    charged_s: int | None = Field(description="Null: it was never answered.")
    hangup_cause: int
    denial: str | None
    charges: list[Charge] = Field(description="As a rule one; several, where several wallets paid.")


class Step(BaseModel):
    """A line of the reckoning."""

    label: str
    value: str


class Level(BaseModel):
    """What one account of the chain pays for the call."""

    account: str
    tariff: str
    tariff_version: int
    deck: str
    deck_version: int
    prefix: str
    destination: str
    arithmetic: list[Step]
    charges: list[Money]


class Explained(BaseModel):
    """How a charge came about."""

    id: str
    text: str = Field(description="All of it, as a person reads it.")
    levels: list[Level]


def calls(api: Api) -> None:
    """Calls, and the same of the key's own account."""
    front = api.front
    declare_list(api, "/calls", CALLS, TAG)
    declare_file(api, "/calls.csv", CALLS, TAG)
    own = replace(CALLS, filters=tuple(x for x in CALLS.filters if x.key not in SELLERS_FILTERS))
    declare_list(api, "/own/calls", own, TAG, permission=Permission.OWN_READ, name="list_own_calls")

    @api.get("/calls/<session_id>", Call, TAG)
    @needs(Permission.CALLS_READ)
    def get_call(path: CallPath) -> Call:
        """One call, with what each wallet of its account gave."""
        with front.reading() as session:
            return shown_call(session, seen_call(session, front.scope, path.session_id))

    @api.get("/calls/<session_id>/explanation", Explained, TAG)
    @needs(Permission.CALLS_READ)
    def explain_call(path: CallPath) -> Explained:
        """Why a call cost what it cost, line by line, from what was frozen when it was charged."""
        with front.reading() as session:
            seen_call(session, front.scope, path.session_id)
        return explained(front, path.session_id)


def explained(front: Front, session_id: str) -> Explained:
    """Why a call that may be seen cost what it cost."""
    driver = front.desks.application.connect()
    try:
        (explanation,) = explain(driver, session_id)
    finally:
        driver.close()
    with front.reading() as session:
        return _explained(session, front.scope, explanation)


def seen_call(session: Session, scope: Scope, session_id: str) -> CdrRow:
    """A call of the scope; 404 for any other."""
    row = session.get(CdrRow, session_id)
    account = None if row is None or row.account_id is None else session.get(AccountRow, row.account_id)
    if row is None or not (scope.is_everything if account is None else scope.covers(account)):
        raise Refused(404)
    return row


def shown_call(session: Session, row: CdrRow) -> Call:
    """As it was charged."""
    units = units_by_code(session)
    account = None if row.account_id is None else session.get(AccountRow, row.account_id)
    answered_us = row.answered_us
    return Call(
        id=row.session_id,
        account=None if account is None else account.code,
        account_id=row.account_id,
        switch=row.switch,
        call_id=row.call_id,
        direction=row.direction,
        caller=row.caller,
        dialled=row.dialled,
        called=row.called,
        destination=row.destination,
        started=moment(row.started_us),
        pdd_ms=None if row.ringing_us is None else row.ringing_us // 1000,
        answered=moment_or_none(answered_us),
        ended=moment(row.ended_us),
        state="denied" if row.denial else "unanswered" if answered_us is None else "answered",
        duration_s=None if answered_us is None else max(0, row.ended_us - answered_us) // SECOND_US,
        charged_s=None if answered_us is None else -(-row.billed_us // SECOND_US),
        hangup_cause=row.hangup_cause,
        denial=row.denial,
        charges=[
            Charge(
                total=money(charge.total, units[unit]),
                tax=money(charge.tax, units[unit]),
                uncollected=money(charge.uncollected, units[unit]),
                billable_s=charge.billable_s,
                entry=charge.entry_id,
            )
            for charge, unit in charges_of(session, [row.session_id]).get(row.session_id, [])
        ],
    )


def _explained(session: Session, scope: Scope, explanation: Explanation) -> Explained:
    seen = explanation
    if not scope.is_everything:
        # What those above are charged, and what carriers ask, is theirs.
        levels = tuple(
            replace(x, marked_up=()) for x in explanation.levels if _may_see(session, scope, x.account)
        )
        seen = replace(explanation, levels=levels, cost=None)
    audience = Audience.ACCOUNT if scope.own else Audience.OPERATOR
    return Explained(
        id=seen.call.session_id,
        text=statement(seen, audience),
        levels=[
            Level(
                account=x.account,
                tariff=x.tariff.name,
                tariff_version=x.tariff_number,
                deck=x.origin.deck,
                deck_version=x.origin.number,
                prefix=x.rate.prefix,
                destination=x.rate.destination,
                arithmetic=[Step(label=line.label, value=line.value) for line in x.arithmetic],
                charges=[_money(share.total, share.unit) for share in x.shares],
            )
            for x in seen.levels
        ],
    )


def _money(total: int | None, unit: Unit) -> Money:
    return money(total or 0, unit)


def _may_see(session: Session, scope: Scope, code: str) -> bool:
    account = account_by_code(session, code)
    return account.id == scope.account_id or scope.covers(account)
