"""Re-rating: what past calls should have cost, reckoned first, corrected when it is agreed to, stopped."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.operators import operators
from pbxbill.listing.rerating import (
    RERATINGS,
    begin_rerating,
    definition_of,
    definition_of_call,
    plan_rerating,
    state_of,
    stop_rerating,
)
from pbxbill.mediation.rerate import Definition
from pbxbill.money import Unit
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow
from pbxbill.store.rerating_models import ReratingPlanRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Code, Id, Line, Moment, Money, Sent, left_out, moment, money
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, account_named, at_us, conflicts, field, found, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import Front, needs
from pbxbill.web.rerate_worker import RerateWorker

TAG = "Re-rating"
RULE = "/re-ratings/<int:rerating_id>"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class ReratingPath(Sent):
    """A re-rating, by its id."""

    rerating_id: Id


class NewRerating(Sent):
    """Which calls, and by what: those of a period, or one."""

    from_: SentMoment = left_out("Calls that began from here on.", alias="from")
    to: SentMoment = left_out("And before this moment, which is past.")
    call: Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")] = left_out(
        "Instead: one call, by its id."
    )
    account: Code = left_out("Calls that it was charged for, those of accounts below it included.")
    tariff: Name = left_out("Instead of the one that each call was charged by; only with an account.")
    deck: Name = left_out("The same with a rate deck, as it stands now for the time of each call.")


class Change(BaseModel):
    """What changes for one account."""

    account: str
    calls: int
    changed: int
    old: Money
    new: Money
    unrated: int = Field(description="Calls that have no rate now: they keep what they were charged.")
    kept: int = Field(description="Calls that cannot be re-rated: they keep it too.")


class Preview(BaseModel):
    """What would change."""

    calls: int
    accounts: list[Change]
    reasons: dict[str, int] = Field(description="Why some keep what they were charged, and how many.")


class Corrected(BaseModel):
    """What was corrected for one account."""

    account: str
    calls: int
    delta: Money = Field(description="Below zero: it was given back.")
    tax: Money
    uncollected: Money = Field(description="Owed, and not to be had of the wallet.")


class CorrectingNote(BaseModel):
    """A note that corrects an invoice."""

    invoice_id: int
    kind: str
    number: str
    account: str
    total: Money
    corrects_id: int


class Result(BaseModel):
    """What was done."""

    corrected: list[Corrected]
    notes: list[CorrectingNote]
    tax_alone: int = Field(description="Calls on invoices in which only the tax would differ: no note.")


class Rerating(BaseModel):
    """A re-rating, and how far it is."""

    id: int
    state: str = Field(description="reckoning, ready (agree to it), running, stopped, done, failed.")
    by: str
    created: Moment
    from_: Moment = Field(serialization_alias="from")
    to: Moment
    accounts: list[str] = Field(description="Empty: all.")
    tariff: str | None
    deck: str | None
    done: int = Field(description="Calls so far.")
    total: int
    reason: str = Field(description="Why it failed.")
    preview: Preview | None
    result: Result | None


def rerating(api: Api) -> None:
    """The operator's."""
    front = api.front
    worker = RerateWorker(front)
    declare_list(api, "/re-ratings", RERATINGS, TAG)

    @api.get(RULE, Rerating, TAG)
    @needs(Permission.OPERATIONS_READ)
    def get_rerating(path: ReratingPath) -> Rerating:
        """One re-rating: what would change, how far it is, what was done."""
        with front.reading() as session:
            return _shown(session, _row(session, front, path.rerating_id), front.clock.now_us())

    @api.post("/re-ratings", Rerating, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def plan_a_rerating(body: NewRerating) -> Answer:
        """Have reckoned what calls should have cost. Nothing is corrected: GET says what would be."""
        if not front.scope.is_everything:
            raise Refused(403)
        sent: Any = body
        with api.writing("rerating.plan", sent.call or sent.account or "every account") as change:
            definition = _definition(change.session, front, sent)
            with field("to"):
                row = plan_rerating(change.session, definition, front.actor.name, change.now_us)
            id = row.id
            answer = change.done(_shown(change.session, row, change.now_us), 202)
        worker.reckon(id)
        return answer

    @api.post(f"{RULE}/agreement", Rerating, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def agree_to_rerating(path: ReratingPath) -> Answer:
        """Correct what was charged, or go on where it stopped. It is not taken back, only corrected again.

        409: it does not wait for that.
        """
        answer = _told(api, path.rerating_id, "begin")
        worker.carry_out(path.rerating_id)
        return answer

    @api.post(f"{RULE}/stop", Rerating, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def stop_a_rerating(path: ReratingPath) -> Answer:
        """Have it stop after the calls that it is at; what is corrected stays. 409: it does not run."""
        return _told(api, path.rerating_id, "stop")


def _told(api: Api, id: int, do: str) -> Answer:
    front = api.front
    with api.writing(f"rerating.{do}", str(id)) as change:
        _row(change.session, front, id)
        with conflicts():
            if do == "begin":
                begin_rerating(change.session, id, change.now_us)
            else:
                stop_rerating(change.session, id)
        return change.done(_shown(change.session, _row(change.session, front, id), change.now_us), 202)


def _definition(session: Session, front: Front, sent: Any) -> Definition:
    if sent.call is not None:
        if any(x is not None for x in (sent.from_, sent.to, sent.account, sent.tariff, sent.deck)):
            raise wrong("call", "is all that is said of one call")
        of_call = definition_of_call(session, front.scope, sent.call)
        if of_call is None:
            raise wrong("call", "there is no such call")
        return of_call[0]
    for name, value in (("from", sent.from_), ("to", sent.to)):
        if value is None:
            raise wrong(name, "say which calls: from and to, or call")
    accounts: tuple[str, ...] = ()
    if sent.account is not None:
        accounts = (account_named(session, front.scope, sent.account).code,)
    for name, model in (("tariff", TariffRow), ("deck", RateDeckRow)):
        wanted = getattr(sent, name)
        if wanted is None:
            continue
        if not accounts:
            raise wrong("account", f"name the account whose calls another {name} counts for")
        mine = select(model.id).where(front.scope.issued(model.issuer_id), model.name == wanted)
        if session.scalar(mine) is None:
            raise wrong(name, f"there is no such {name}")
    return Definition(at_us(sent.from_) or 0, at_us(sent.to) or 0, accounts, sent.tariff, sent.deck)


def _row(session: Session, front: Front, id: int) -> ReratingPlanRow:
    return found(session, ReratingPlanRow, id, operators(front.scope))


def _shown(session: Session, row: ReratingPlanRow, now_us: int) -> Rerating:
    wanted = definition_of(row)
    preview = json.loads(row.preview) if row.preview else None
    result = json.loads(row.result) if row.result else None
    named = [*((preview or {}).get("accounts", ())), *((result or {}).get("posted", ()))]
    named += (result or {}).get("notes", ())
    query = select(AccountRow.id, AccountRow.code).where(AccountRow.id.in_({x["account_id"] for x in named}))
    codes = {x.id: x.code for x in session.execute(query)}
    units = units_by_code(session)
    return Rerating(
        id=row.id,
        state=state_of(row, now_us),
        by=row.by,
        created=moment(row.created_us),
        from_=moment(wanted.from_us),
        to=moment(wanted.to_us),
        accounts=list(wanted.accounts),
        tariff=wanted.tariff,
        deck=wanted.deck,
        done=row.done or 0,
        total=row.total or 0,
        reason=row.reason or "",
        preview=None if preview is None else _preview(preview, codes, units),
        result=None if result is None else _result(result, codes, units),
    )


def _preview(kept: dict[str, Any], codes: dict[int, str], units: dict[str, Unit]) -> Preview:
    return Preview(
        calls=kept["calls"],
        accounts=[
            Change(
                account=codes[x["account_id"]],
                old=money(x["old"], units[x["unit"]]),
                new=money(x["new"], units[x["unit"]]),
                **{name: x[name] for name in ("calls", "changed", "unrated", "kept")},
            )
            for x in kept["accounts"]
        ],
        reasons=kept["reasons"],
    )


def _result(kept: dict[str, Any], codes: dict[int, str], units: dict[str, Unit]) -> Result:
    return Result(
        corrected=[
            Corrected(
                account=codes[x["account_id"]],
                calls=x["calls"],
                **{name: money(x[name], units[x["unit"]]) for name in ("delta", "tax", "uncollected")},
            )
            for x in kept["posted"]
        ],
        notes=[
            CorrectingNote(
                invoice_id=x["note_id"],
                kind=x["kind"],
                number=x["number"],
                account=codes[x["account_id"]],
                total=money(x["total"], units[x["unit"]]),
                corrects_id=x["corrects_id"],
            )
            for x in kept["notes"]
        ],
        tax_alone=kept.get("tax_alone", 0),
    )
