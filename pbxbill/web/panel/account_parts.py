"""What belongs to an account, each on a part of its page: wallets, endpoints, limits, notes."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import identify, identify_no_more, set_credit_limit, unit_of_tariff
from pbxbill.billing.subscriptions.did_inventory import check_not_in_inventory
from pbxbill.errors import InputRefused
from pbxbill.listing.account_notes import ACCOUNT_NOTES
from pbxbill.listing.endpoints import ACCOUNT_ENDPOINTS
from pbxbill.listing.limits import ACCOUNT_COUNTRIES, OF_SOME_KINDS, account_limits
from pbxbill.listing.listing import N_
from pbxbill.money import Unit, format_amount
from pbxbill.store.access_models import AccountNoteRow
from pbxbill.store.accounts import open_wallet, unit_of
from pbxbill.store.limits import (
    ACTIVE,
    SUSPENDED,
    NewLimit,
    release_country,
    remove_limit,
    set_endpoint_status,
    set_limit,
)
from pbxbill.store.models import AccountRow, EndpointRow, WalletRow
from pbxbill.store.points_units import refuse_points
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_forms import (
    EndpointForm,
    LimitForm,
    LimitOfWalletForm,
    NoteForm,
    WalletForm,
    credit_of,
    leave_credit,
    unit_choices,
)
from pbxbill.web.panel.account_lists import add_account_list
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.lists import list_page

AMOUNTS = ("spend", "call_cost")


def add_parts(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_wallets(section, front)
    _add_endpoints(section, front)
    _add_limits(section, front)
    _add_notes(section, front)


def _add_wallets(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/<int:id>/wallets/new", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def wallet(id: int) -> str | AnyResponse:
        form = WalletForm()
        leave_credit(form, front.actor)
        with front.reading() as session:
            account = front.account(session, id)
            unit_choices(session, form)
        if form.validate_on_submit():
            with (
                refusals(form, "unit") as refused,
                front.changing("wallet.open", account.code, account_id=id) as change,
            ):
                now = front.account(change.session, id)
                open_wallet(change.session, now, form.unit.data, credit_of(form))
            if not refused:
                flash(
                    gettext("Account %(code)s has a %(unit)s wallet.", code=account.code, unit=form.unit.data)
                )
                return redirect(url_for("accounts.show", id=id), 303)
        return render_template("panel/accounts/wallet.html", form=form, account=account)

    @section.route("/accounts/<int:id>/wallets/<unit>/limit", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def credit_limit(id: int, unit: str) -> str | AnyResponse:
        form = LimitOfWalletForm()
        with front.reading() as session:
            account = front.billed(session, id)
            held, known = _wallet(session, id, unit)
        form.credit_limit.unit = known
        if request.method == "GET":
            form.credit_limit.data = held.credit_limit
            form.edition.data = edition_of({"credit_limit": format_amount(held.credit_limit, known)})
        if form.validate_on_submit():
            with (
                refusals(form, "credit_limit") as refused,
                front.changing("wallet.limit", f"{account.code} {unit}", account_id=id) as change,
            ):
                now = front.billed(change.session, id)
                # A row of a transaction that is undone can be shown no more: it has a name of its own.
                locked, _ = _wallet(change.session, id, unit)
                check_edition(form, {"credit_limit": format_amount(locked.credit_limit, known)})
                set_credit_limit(
                    change.session,
                    change.books,
                    now,
                    known,
                    limit=form.credit_limit.data,
                    now_us=change.now_us,
                )
            if not refused:
                flash(gettext("The credit limit is set."))
                return redirect(url_for("accounts.show", id=id), 303)
        return render_template("panel/accounts/credit_limit.html", form=form, account=account, wallet=held)


def _wallet(session: Session, account_id: int, unit: str) -> tuple[WalletRow, Unit]:
    query = select(WalletRow).where(WalletRow.account_id == account_id, WalletRow.unit == unit)
    row = Front.one(session, query)
    return row, unit_of(session, unit)


def _add_endpoints(section: Blueprint, front: Front) -> None:
    page = add_account_list(
        section,
        front,
        ACCOUNT_ENDPOINTS,
        "endpoints",
        empty=(
            N_("Nothing identifies this account yet"),
            N_("Its calls are refused until something does."),
        ),
        template="endpoints",
        more=lambda account: {"form": EndpointForm()},
    )

    @section.post("/accounts/<int:id>/endpoints")
    @needs(Permission.ACCOUNTS_WRITE)
    def add_endpoint(id: int) -> str | tuple[str, int] | AnyResponse:
        form = EndpointForm()
        with front.reading() as session:
            account = front.account(session, id)
        if form.validate_on_submit():
            with (
                refusals(form, "value") as refused,
                front.changing("endpoint.add", account.code, account_id=id) as change,
            ):
                now = front.account(change.session, id)
                identify(
                    change.session, now, form.kind.data, form.value.data or "", form.tech_prefix.data or ""
                )
            if not refused:
                flash(gettext("%(value)s identifies %(code)s.", value=form.value.data, code=account.code))
                return redirect(url_for("accounts.endpoints", id=id), 303)
        return list_page(section, front, page, form=form)

    @section.post("/accounts/<int:id>/endpoints/<int:endpoint_id>/<do>")
    @needs(Permission.ACCOUNTS_WRITE)
    def endpoint(id: int, endpoint_id: int, do: str) -> AnyResponse:
        if do not in ("remove", "suspend", "resume"):
            abort(404)
        with front.reading() as session:
            code = front.account(session, id).code
        try:
            with front.changing(f"endpoint.{do}", code, account_id=id) as change:
                account = front.account(change.session, id)
                row = change.session.get(EndpointRow, endpoint_id)
                if row is None or row.account_id != id:
                    abort(404)
                if do == "remove":
                    identify_no_more(change.session, account, row.kind, row.value, row.tech_prefix)
                else:
                    check_not_in_inventory(change.session, row.kind, row.value)
                    set_endpoint_status(change.session, row, SUSPENDED if do == "suspend" else ACTIVE)
            flash(gettext("Done: %(value)s.", value=row.value))
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for("accounts.endpoints", id=id), 303)


def _add_limits(section: Blueprint, front: Front) -> None:
    def known(id: int, form: LimitForm) -> AccountRow:
        with front.reading() as session:
            account = front.account(session, id)
            code = unit_of_tariff(session, account.tariff_id)
            form.amount.unit = None if code is None else unit_of(session, code)
        return account

    def form_for(account: AccountRow) -> dict[str, Any]:
        form = LimitForm()
        known(account.id, form)
        return {"form": form}

    page = add_account_list(
        section,
        front,
        account_limits(front.clock.now_us),
        "limits",
        empty=(N_("No limit is set"), N_("A limit on spending per day keeps a stolen password cheap.")),
        template="limits",
        more=form_for,
        sparse=OF_SOME_KINDS,
    )
    add_account_list(
        section,
        front,
        ACCOUNT_COUNTRIES,
        "countries",
        empty=(
            N_("It has called no country yet that a limit watches"),
            N_("With the limit for new countries, the first call to each waits here for your release."),
        ),
        tab="limits",
        template="countries",
    )

    @section.post("/accounts/<int:id>/limits")
    @needs(Permission.ACCOUNTS_WRITE)
    def add_limit(id: int) -> str | tuple[str, int] | AnyResponse:
        form = LimitForm()
        account = known(id, form)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("limit.set", account.code, account_id=id) as change,
            ):
                now = front.account(change.session, id)
                set_limit(change.session, now, _new_limit(change.session, form))
            if not refused:
                flash(gettext("The limit is set."))
                return redirect(url_for("accounts.limits", id=id), 303)
        return list_page(section, front, page, form=form)

    @section.post("/accounts/<int:id>/limits/<int:limit_id>/remove")
    @needs(Permission.ACCOUNTS_WRITE)
    def limit_gone(id: int, limit_id: int) -> AnyResponse:
        with front.reading() as session:
            code = front.account(session, id).code
        with front.changing("limit.remove", code, account_id=id) as change:
            try:
                remove_limit(change.session, front.account(change.session, id), limit_id)
            except InputRefused:
                abort(404)
        flash(gettext("The limit is removed."))
        return redirect(url_for("accounts.limits", id=id), 303)

    @section.post("/accounts/<int:id>/countries/<region>/<do>")
    @needs(Permission.ACCOUNTS_WRITE)
    def country(id: int, region: str, do: str) -> AnyResponse:
        if do not in ("release", "keep"):
            abort(404)
        with front.reading() as session:
            code = front.account(session, id).code
        try:
            with front.changing(f"country.{do}", f"{code} {region[:4]}", account_id=id) as change:
                account = front.account(change.session, id)
                release_country(change.session, account, region, change.now_us, released=do == "release")
            flash(gettext("Done: %(value)s.", value=region))
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for("accounts.countries", id=id), 303)


def _new_limit(session: Session, form: LimitForm) -> NewLimit:
    kind = form.kind.data
    is_amount = kind in AMOUNTS
    if is_amount and form.amount.unit is None:
        raise InputRefused(gettext("The account has no tariff yet, which says what its calls are paid in."))
    if is_amount:
        refuse_points(session, form.amount.unit_code)
    value = form.amount.data if is_amount else form.value.data
    has_no_value = kind in ("blocked", "allowed", "new_country")
    if value is None and not has_no_value:
        name = form.amount if is_amount else form.value
        raise InputRefused(gettext("This limit needs its value: %(field)s.", field=name.label.text))
    listed = [x.strip() for x in (form.destinations.data or "").split(",")]
    is_listed = kind in ("blocked", "allowed", "new_country")
    return NewLimit(
        kind,
        0 if has_no_value else value,
        unit=form.amount.unit_code if is_amount else "",
        window=form.window.data if kind == "spend" else "",
        zone=(form.zone.data or "") if kind == "spend" else "",
        window_s=(form.window_s.data or 0) if kind in ("call_rate", "short_calls") else 0,
        shorter_s=(form.shorter_s.data or 0) if kind == "short_calls" else 0,
        destinations=tuple(filter(None, listed)) if is_listed else (),
        suspends=form.suspends.data,
    )


def _add_notes(section: Blueprint, front: Front) -> None:
    page = add_account_list(
        section,
        front,
        ACCOUNT_NOTES,
        "notes",
        empty=(N_("No notes yet"), N_("What colleagues should know of this account.")),
        template="notes",
        more=lambda account: {"form": NoteForm()},
    )

    @section.post("/accounts/<int:id>/notes")
    @needs(Permission.ACCOUNTS_WRITE)
    def add_note(id: int) -> str | tuple[str, int] | AnyResponse:
        form = NoteForm()
        with front.reading() as session:
            account = front.account(session, id)
        if form.validate_on_submit():
            with front.changing("note.add", account.code, account_id=id) as change:
                front.account(change.session, id)
                change.session.add(
                    AccountNoteRow(
                        account_id=id,
                        issuer_id=front.scope.account_id,
                        at_us=change.now_us,
                        by=front.actor.name,
                        text=(form.text.data or "").strip(),
                    )
                )
            flash(gettext("The note is kept."))
            return redirect(url_for("accounts.notes", id=id), 303)
        return list_page(section, front, page, form=form)

    @section.route("/accounts/<int:id>/notes/<int:note_id>/remove", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def note_gone(id: int, note_id: int) -> str | AnyResponse:
        form = PanelForm()
        with front.reading() as session:
            account = front.account(session, id)
            row = _own_note(session, front, id, note_id)
        if not form.validate_on_submit():
            return account_part("note_gone", front, account, form=form, row=row)
        with front.changing("note.remove", account.code, account_id=id) as change:
            front.account(change.session, id)
            change.session.delete(_own_note(change.session, front, id, note_id))
        flash(gettext("The note is removed."))
        return redirect(url_for("accounts.notes", id=id), 303)


def _own_note(session: Session, front: Front, account_id: int, id: int) -> AccountNoteRow:
    row = session.get(AccountNoteRow, id)
    if row is None or row.account_id != account_id or row.issuer_id != front.scope.account_id:
        abort(404)
    return row


def account_part(name: str, front: Front, account: AccountRow, **more: Any) -> str:
    """One part of an account's page."""
    return render_template(
        f"panel/accounts/{name}.html",
        account=account,
        tabs=account_tabs(account, front.actor),
        tab=name,
        may_write=front.actor.may(Permission.ACCOUNTS_WRITE),
        **more,
    )
