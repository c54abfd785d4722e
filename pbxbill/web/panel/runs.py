"""Billing runs: begun, watched, stopped, gone on with; one account billed now; what was passed over."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, HiddenField, SelectField
from wtforms.widgets import HiddenInput

from pbxbill.access.permissions import Permission
from pbxbill.billing.invoices.interim import bill_to_now
from pbxbill.billing.invoices.looking_back import PassedOver, look_back_at, passed_over
from pbxbill.billing.invoices.run_control import ask_to_stop, go_on, is_silent, work_on
from pbxbill.billing.invoices.runs import (
    Counts,
    Definition,
    accounts_of,
    counts,
    failures,
    money_of,
    start_run,
)
from pbxbill.billing.invoices.together import choose
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.errors import InputRefused
from pbxbill.listing.billing_runs import BILLED_ACCOUNTS, BILLING_RUNS, in_scope
from pbxbill.listing.chosen_invoices import chosen_of_run
from pbxbill.listing.listing import N_
from pbxbill.rating.cycles import CYCLES
from pbxbill.store.accounts import account_by_code
from pbxbill.store.invoice_models import BillingRunRow
from pbxbill.store.models import AccountRow
from pbxbill.web.background import Background
from pbxbill.web.fields import (
    AccountField,
    CountField,
    LineField,
    MomentField,
    PanelForm,
    at_most,
    refusals,
    required,
    sentence,
)
from pbxbill.web.formatting import count, plain_amount
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.invoice_access import account_below, billed_account
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.words import word_of

FAILURES_SHOWN = 20
MAX_CODES = 200
PROCESSES = 2
"""On PostgreSQL: a run is worked on beside this process, which goes on showing pages."""


class RunForm(PanelForm):
    """Which accounts are billed, and up to when."""

    until = MomentField(
        lazy_gettext("Bill what is over at"),
        description=lazy_gettext("Left empty: at the beginning of today, UTC."),
    )
    drafts_only = BooleanField(
        lazy_gettext("Make drafts only"),
        default=True,
        description=lazy_gettext(
            "You look at them and issue them. Else what accounts are set to get at once is issued."
        ),
    )
    sends = BooleanField(lazy_gettext("Send what it issues"))
    accounts = LineField(
        lazy_gettext("Only these accounts"),
        [at_most(2000)],
        description=lazy_gettext("Their codes, with commas between."),
    )
    reseller = AccountField(lazy_gettext("Only below this reseller"), [at_most(64)])
    group = LineField(lazy_gettext("Only accounts of the group"), [at_most(64)])
    cycle = SelectField(
        lazy_gettext("Only accounts billed by the"),
        choices=lambda: [("", gettext("whatever their cycle is")), *((x, word_of(x)) for x in CYCLES)],
    )
    agreed = HiddenField(validators=[at_most(32)])
    """A fingerprint of what was shown before invoices are issued."""


class LookBackForm(PanelForm):
    """After which account it goes on."""

    after = CountField(most=10**17, widget=HiddenInput())


class NowForm(PanelForm):
    """Which account is billed up to now."""

    account = AccountField(lazy_gettext("Account"), [required(), at_most(64)])


def runs(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("runs", __name__)
    threads = Background()
    _add_lists(section, front)
    _add_start(section, front, threads)
    _add_watching(section, front, threads)
    _add_small(section, front)
    _add_look_back(section, front)
    return section


def _add_lists(section: Blueprint, front: Front) -> None:
    add_list(
        section,
        front,
        ListPage(
            BILLING_RUNS,
            "/runs",
            link="runs.show",
            empty=(
                N_("There was no billing run yet"),
                N_("A run charges subscriptions that are due and makes invoices of periods that are over."),
            ),
            actions=(
                (N_("New billing run"), "runs.new", Permission.INVOICES_WRITE),
                (N_("Bill one account now"), "runs.now", Permission.INVOICES_WRITE),
                (N_("Look back"), "runs.back", Permission.INVOICES_WRITE),
            ),
        ),
    )

    def of_run() -> dict[str, Any]:
        with front.reading() as session:
            return {"run": _seen(session, front, int((request.view_args or {})["id"]))}

    add_list(
        section,
        front,
        ListPage(
            BILLED_ACCOUNTS,
            "/runs/<int:id>/accounts",
            link="accounts.show",
            endpoint="accounts",
            template="panel/runs/accounts.html",
            empty=(N_("The run has no account"), N_("Nothing was due up to its moment.")),
            more=of_run,
            given=lambda: {"run": str(of_run()["run"].id)},
        ),
    )


def _seen(session: Session, front: Front, id: int) -> BillingRunRow:
    return front.one(session, select(BillingRunRow).where(BillingRunRow.id == id, in_scope(front.scope)))


def _work(front: Front, threads: Background, run_id: int, *, sends: bool) -> None:
    application = front.desks.application
    processes = 1 if application.database.dialect.name == "sqlite" else PROCESSES
    threads.start(
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


def _add_start(section: Blueprint, front: Front, threads: Background) -> None:
    @section.route("/runs/new", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def new() -> str | AnyResponse:
        form = RunForm()
        if form.validate_on_submit():
            run_id, accounts = 0, None
            with refusals(form) as refused:
                accounts = _to_be_agreed_to(front, form)
                if accounts is None:
                    run_id = _started(front, form)
            if accounts is not None:
                return render_template("panel/runs/new.html", form=form, accounts=accounts)
            if not refused:
                _work(front, threads, run_id, sends=form.sends.data)
                return redirect(url_for("runs.show", id=run_id), 303)
        return render_template("panel/runs/new.html", form=form)


def _started(front: Front, form: RunForm) -> int:
    with front.changing("run.start", "") as change:
        definition = _definition(front, change.session, form, change.now_us)
        scope_id = None if front.scope.is_everything else front.scope.account_id
        by = front.actor.name
        return start_run(change.session, definition, change.now_us, scope_id=scope_id, by=by)


def _to_be_agreed_to(front: Front, form: RunForm) -> int | None:
    """How many accounts a run may issue invoices of, which its form did not say yet; None: it did, or issues
    none. What was agreed to holds as long as nothing else is asked for."""
    if form.drafts_only.data:
        return None
    now_us = front.clock.now_us()
    with front.reading() as session:
        definition = _definition(front, session, form, now_us)
        accounts = accounts_of(session, definition, now_us)
    asked = f"{accounts} {form.sends.data} {json.dumps(asdict(definition))}"
    mark = hashlib.sha256(asked.encode()).hexdigest()[:32]
    if form.agreed.data == mark:
        return None
    form.agreed.data = mark
    return accounts


def _definition(front: Front, session: Session, form: RunForm, now_us: int) -> Definition:
    """What a form asks for, within the scope of who asks."""
    codes = sorted({x.strip() for x in (form.accounts.data or "").split(",") if x.strip()})
    if len(codes) > MAX_CODES:
        raise InputRefused(gettext("name up to %(most)d accounts, or a group", most=MAX_CODES))
    for code in codes:
        billed_account(front, session, code)
    own = session.get_one(AccountRow, front.scope.account_id)
    reseller = "" if front.scope.is_everything else own.code
    if form.reseller.data and form.reseller.data != reseller:
        account_below(front, session, form.reseller.data)
        reseller = account_by_code(session, form.reseller.data).code
    until_us = form.until.data
    if until_us is None:
        until_us = day_start_us(local_date(now_us, "UTC"), "UTC")
    return Definition(
        until_us,
        tuple(codes),
        group=form.group.data or "",
        reseller=reseller,
        cycle=form.cycle.data or "",
        drafts_only=form.drafts_only.data,
    )


def _add_watching(section: Blueprint, front: Front, threads: Background) -> None:
    @section.get("/runs/<int:id>")
    @needs(Permission.INVOICES_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _seen(session, front, id)
            return render_template(
                "panel/runs/show.html",
                row=row,
                definition=json.loads(row.definition),
                counts=counts(session, id),
                silent=is_silent(session, row, front.clock.now_us()),
                money=money_of(session, id),
                failures=failures(session, id, FAILURES_SHOWN),
                sentence=sentence,
            )

    @section.get("/runs/<int:id>/progress")
    @background
    @needs(Permission.INVOICES_READ)
    def progress(id: int) -> Response:
        """How far it is, for a page that is open."""
        with front.reading() as session:
            row = _seen(session, front, id)
            now = counts(session, id)
        done = now.done + now.failed
        over = row.state not in ("running", "stopping")
        return jsonify(done=done, total=sum(now), text=_said(now), over=over)

    @section.post("/runs/<int:id>/stop")
    @needs(Permission.INVOICES_WRITE)
    def stop(id: int) -> AnyResponse:
        try:
            with front.changing("run.stop", str(id)) as change:
                ask_to_stop(change.session, _seen(change.session, front, id).id)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            flash(gettext("The run stops after the account that it is at."))
        return redirect(url_for("runs.show", id=id), 303)

    @section.post("/runs/<int:id>/go-on")
    @needs(Permission.INVOICES_WRITE)
    def again(id: int) -> AnyResponse:
        try:
            with front.changing("run.go-on", str(id)) as change:
                row = _seen(change.session, front, id)
                run_id = go_on(change.session, row.id, change.now_us, front.actor.name)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(url_for("runs.show", id=id), 303)
        _work(front, threads, run_id, sends=False)
        return redirect(url_for("runs.show", id=run_id), 303)

    @section.post("/runs/<int:id>/<any(issue, discard, send):action>")
    @needs(Permission.INVOICES_WRITE)
    def all_of(id: int, action: str) -> AnyResponse:
        """What was made is issued, discarded or sent together: first it is shown."""
        try:
            with front.changing("invoices.choose", action) as change:
                row = _seen(change.session, front, id)
                ids = chosen_of_run(change.session, front.scope, action, row.id)
                scope_id, by = front.scope.account_id, front.actor.name
                chosen = choose(change.session, scope_id, action, ids, change.now_us, by).id
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return redirect(url_for("runs.show", id=id), 303)
        return redirect(url_for("together.show", id=chosen), 303)


def _said(now: Counts) -> str:
    done = now.done + now.failed
    return str(gettext("%(done)s of %(total)s accounts", done=count(done), total=count(sum(now))))


def _add_small(section: Blueprint, front: Front) -> None:
    @section.route("/runs/now", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def now() -> str | AnyResponse:
        form = NowForm()
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64]
        if form.validate_on_submit():
            code = form.account.data or ""
            with refusals(form, "account") as refused, front.changing("account.bill-now", code) as change:
                account = billed_account(front, change.session, code)
                billed = bill_to_now(change.session, change.books, account.id, change.now_us)
            if not refused:
                for made in billed.invoices:
                    total = plain_amount(made.total, made.unit)
                    flash(
                        gettext("An invoice over %(total)s is issued.", total=total)
                        if made.issued
                        else gettext("A draft over %(total)s waits to be looked at.", total=total)
                    )
                for reason in billed.nothing:
                    flash(sentence(reason), "warn")
                if len(billed.invoices) == 1:
                    return redirect(url_for("invoices.show", id=billed.invoices[0].invoice_id), 303)
                return redirect(url_for("invoices.listed", account=account.code), 303)
        return render_template("panel/runs/now.html", form=form)


def _add_look_back(section: Blueprint, front: Front) -> None:
    @section.route("/runs/look-back", methods=["GET", "POST"])
    @needs(Permission.INVOICES_WRITE)
    def back() -> str:
        form = LookBackForm()
        found: list[tuple[AccountRow, PassedOver]] | None = None
        if form.validate_on_submit():
            # It reads what wallets ever gave for: nobody is kept from writing meanwhile.
            with front.reading() as session:
                places = passed_over(session, front.scope.among, front.clock, form.after.data or 0)
            with front.changing("invoices.look-back", "") as change:
                found = look_back_at(change.session, places)
            form = LookBackForm(formdata=None, data={"after": places.after})
        return render_template("panel/runs/look_back.html", form=form, found=found)
