"""Billing runs: begun, watched, stopped, gone on with."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.billing.invoices.looking_back import look_back_at, passed_over
from pbxbill.billing.invoices.run_control import ask_to_stop, go_on, is_silent, work_on
from pbxbill.billing.invoices.runs import Definition, counts, failures, money_of, start_run
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.listing.billing_runs import BILLED_ACCOUNTS, BILLING_RUNS, in_scope
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.invoice_models import BillingRunRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import (
    MAX_ID,
    Code,
    Id,
    Line,
    Moment,
    Money,
    Sent,
    left_out,
    moment,
    moment_or_none,
    money,
)
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import SentMoment, account_named, at_us, billed_account, conflicts, found, issuer
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.background import Background
from pbxbill.web.front import Front, needs

TAG = "Billing runs"
PROCESSES = 2


class RunPath(Sent):
    """A run, by its number."""

    run_id: Id


class NewBillingRun(Sent):
    """Which accounts are billed, and up to when."""

    until: SentMoment = left_out("Periods that are over then. Default: today's beginning, UTC.")
    drafts_only: bool = Field(default=True, description="Issue nothing.")
    sends: bool = Field(default=False, description="Send what it issues.")
    accounts: Annotated[list[Code], Field(max_length=200)] = Field(
        default=[], description="Only these, by their codes."
    )
    reseller: Code = left_out("Only below this one.")
    group: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out("Only of this group.")
    cycle: Literal[tuple(CYCLES)] = left_out(  # type: ignore[valid-type]  # made of what there is
        "Only those billed by it."
    )


class Failed(BaseModel):
    """An account that could not be billed."""

    account: str
    why: str


class Sum(BaseModel):
    """What a run made."""

    kind: str
    state: str
    invoices: int
    total: Money


class BillingRun(BaseModel):
    """A run, and how far it is."""

    id: int
    state: str = Field(description="running, stopping, stopped, done.")
    by: str
    started: Moment
    ended: Moment | None
    waiting: int = Field(description="Accounts.")
    done: int
    failed: int
    silent: bool = Field(description="It says that it runs, and nobody seems to work on it.")
    made: list[Sum]
    failures: list[Failed] = Field(description="The first hundred.")


class PassedOver(BaseModel):
    """What no invoice asked for, and the next one will."""

    account: str
    entries: int
    money: Money = Field(description="Taken from the wallet.")


class LookBackQuery(Sent):
    """Where to go on."""

    after: Annotated[int, Field(ge=0, le=MAX_ID)] = Field(
        default=0, description="As the answer before said it."
    )


class LookedBack(BaseModel):
    """What was found."""

    items: list[PassedOver]
    after: int | None = Field(description="The account that was looked at last; null: all were.")


class BilledInvoice(BaseModel):
    """An invoice that was made."""

    invoice_id: int
    total: Money
    issued: bool


class BilledNow(BaseModel):
    """What billing an account up to now made."""

    invoices: list[BilledInvoice]
    nothing: list[str] = Field(description="Why there is none in a currency.")


def billing_runs(api: Api) -> None:
    """Runs; a reseller's are of his own accounts."""
    front = api.front
    background = Background()
    declare_list(api, "/billing-runs", BILLING_RUNS, TAG)
    declare_list(api, "/billed-accounts", BILLED_ACCOUNTS, TAG)

    def seen(session: Session, id: int) -> BillingRunRow:
        return found(session, BillingRunRow, id, in_scope(front.scope))

    @api.get("/billing-runs/<int:run_id>", BillingRun, TAG)
    @needs(Permission.INVOICES_READ)
    def get_billing_run(path: RunPath) -> BillingRun:
        """One run: how far it is, what it made, what failed."""
        with front.reading() as session:
            return _shown(session, seen(session, path.run_id), front.clock.now_us())

    @api.post("/billing-runs", BillingRun, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def start_billing_run(body: NewBillingRun) -> Answer:
        """Bill accounts. It goes on in the background: GET says how far it is."""
        with api.writing("run.start", "") as change:
            definition = _definition(front, change.session, body, change.now_us)
            scope_id = None if front.scope.is_everything else front.scope.account_id
            by = front.actor.name
            run_id = start_run(change.session, definition, change.now_us, scope_id=scope_id, by=by)
            answer = change.done(_shown(change.session, seen(change.session, run_id), change.now_us), 202)
        _work(front, background, run_id, sends=body.sends)
        return answer

    @api.post("/billing-runs/<int:run_id>/stop", BillingRun, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def stop_billing_run(path: RunPath) -> Answer:
        """Have a run stop after the account that it is at. 409: it does not run."""
        with api.writing("run.stop", str(path.run_id)) as change:
            seen(change.session, path.run_id)
            with conflicts():
                ask_to_stop(change.session, path.run_id)
            return change.done(_shown(change.session, seen(change.session, path.run_id), change.now_us), 202)

    @api.post("/billing-runs/<int:run_id>/continuation", BillingRun, TAG, 202)
    @needs(Permission.INVOICES_WRITE)
    def continue_billing_run(path: RunPath) -> Answer:
        """Go on where a run stopped, or begin another of its kind."""
        with api.writing("run.go-on", str(path.run_id)) as change:
            seen(change.session, path.run_id)
            with conflicts():
                run_id = go_on(change.session, path.run_id, change.now_us, front.actor.name)
            answer = change.done(_shown(change.session, seen(change.session, run_id), change.now_us), 202)
        _work(front, background, run_id, sends=False)
        return answer

    _declare_looking_back(api)

    @api.post("/accounts/<int:account_id>/billing", BilledNow, TAG)
    @needs(Permission.INVOICES_WRITE)
    def bill_account_now(path: AccountPath) -> Answer:
        """Bill one account up to now, whatever its cycle is: when it leaves, say."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("account.bill", code, account_id=path.account_id) as change:
            billed_account(front, change.session, path.account_id)
            with conflicts():
                done = bill_to_now(change.session, change.books, path.account_id, change.now_us)
            units = units_by_code(change.session)
            made = [
                BilledInvoice(invoice_id=x.invoice_id, total=money(x.total, units[x.unit]), issued=x.issued)
                for x in done.invoices
            ]
            return change.done(BilledNow(invoices=made, nothing=list(done.nothing)), 201)


def _declare_looking_back(api: Api) -> None:
    front = api.front

    @api.post("/billing-runs/look-back", LookedBack, TAG)
    @needs(Permission.INVOICES_WRITE)
    def look_for_passed_over(query: LookBackQuery) -> Answer:
        """Have the next invoices look at what the ones before them passed over.

        It reads for some seconds what wallets of the key's customers ever gave for. Ask again with `after`
        as it is answered, until it is null.
        """
        # Nobody is kept from writing meanwhile.
        with front.reading() as session:
            places = passed_over(session, front.scope.among, front.clock, query.after)
        with api.writing("invoices.look-back", "") as change:
            units = units_by_code(change.session)
            made = [
                PassedOver(account=x.code, entries=over.entries, money=money(over.gross, units[over.unit]))
                for x, over in look_back_at(change.session, places)
            ]
            return change.done(LookedBack(items=made, after=places.after), 201)


def _definition(front: Front, session: Session, body: NewBillingRun, now_us: int) -> Definition:
    sent: Any = body
    for place, code in enumerate(body.accounts):
        account = account_named(session, front.scope, code, f"accounts.{place}")
        billed_account(front, session, account.id)
    reseller = ""
    if sent.reseller is not None:
        reseller = account_named(session, front.scope, sent.reseller, "reseller").code
    elif not front.scope.is_everything:
        reseller = issuer(session, front.scope).code
    until_us = at_us(sent.until, day_start_us(local_date(now_us, "UTC"), "UTC"))
    return Definition(
        until_us or 0,
        tuple(sorted(set(body.accounts))),
        group=sent.group or "",
        reseller=reseller,
        cycle=sent.cycle or "",
        drafts_only=body.drafts_only,
    )


def _work(front: Front, background: Background, run_id: int, *, sends: bool) -> None:
    application = front.desks.application
    processes = 1 if application.database.dialect.name == "sqlite" else PROCESSES
    background.start(
        f"run-{run_id}",
        lambda: work_on(
            application.database,
            application.database_url,
            application.redis_url,
            application.clock,
            run_id,
            processes=processes,
            sends=sends,
        ),
    )


def _shown(session: Session, row: BillingRunRow, now_us: int) -> BillingRun:
    counted = counts(session, row.id)
    units = units_by_code(session)
    return BillingRun(
        id=row.id,
        state=row.state,
        by=row.by,
        started=moment(row.started_us),
        ended=moment_or_none(row.ended_us),
        waiting=counted.waiting,
        done=counted.done,
        failed=counted.failed,
        silent=is_silent(session, row, now_us),
        made=[
            Sum(kind=x.kind, state=x.state, invoices=x.invoices, total=money(x.total, units[x.unit]))
            for x in money_of(session, row.id)
        ],
        failures=[Failed(account=x.account, why=x.why) for x in failures(session, row.id)],
    )
