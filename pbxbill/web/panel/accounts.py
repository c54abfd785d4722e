"""Accounts: the tree of resellers and customers. The list, one account, opening and changing it.

What belongs to an account (wallets, endpoints, limits, notes) stands in account_parts.py, what bars it in
account_barring.py.
"""

from typing import Any

from flask import Blueprint, Response, flash, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import (
    ANNOUNCEMENTS,
    Concerns,
    Opening,
    change_account,
    concerns_of,
    offline_allowance,
    open_with_wallets,
    paying_unit,
    wallets_of,
)
from pbxbill.billing.life_cycle.account_events import events_of
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.billing.parties import party_of
from pbxbill.errors import TermRefused
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.listing.accounts import ACCOUNTS, find_accounts
from pbxbill.listing.ledger import LEDGER
from pbxbill.listing.listing import N_
from pbxbill.listing.subtrees import subtree_of
from pbxbill.money import format_amount
from pbxbill.store.accounts import NewAccount, parse_wallet_order, unit_of
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.models import AccountRow, ReservationRow, TariffRow
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_barring import add_barring
from pbxbill.web.panel.account_forms import (
    ChangeForm,
    OpenForm,
    announcements,
    chosen,
    credit_of,
    give_choices,
    leave_credit,
    leave_to_operator,
    unit_choices,
)
from pbxbill.web.panel.account_lists import add_account_list
from pbxbill.web.panel.account_parts import add_parts
from pbxbill.web.panel.account_saved_cards import add_saved_cards
from pbxbill.web.panel.account_services import add_services
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.account_tree import add_tree
from pbxbill.web.panel.lists import ListPage, add_list

MAX_SUGGESTED = 12
MAX_EVENTS = 10


def accounts(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("accounts", __name__)
    _add_lists(section, front)
    _add_pages(section, front)
    _add_editing(section, front)
    add_tree(section, front)
    add_parts(section, front)
    add_saved_cards(section, front)
    add_services(section, front)
    add_barring(section, front)
    return section


def _add_lists(section: Blueprint, front: Front) -> None:
    add_list(
        section,
        front,
        ListPage(
            ACCOUNTS,
            "/accounts",
            link="accounts.show",
            empty=(N_("There is no account yet"), N_("Accounts pay for calls: open one for whoever calls.")),
            actions=(
                (N_("New account"), "accounts.create", Permission.ACCOUNTS_WRITE),
                (N_("Identification"), "accounts.identification", Permission.ACCOUNTS_READ),
            ),
        ),
    )

    add_account_list(
        section,
        front,
        LEDGER,
        "ledger",
        empty=(N_("Nothing has moved in its wallets yet"), N_("Top-ups, calls and charges appear here.")),
    )


def _add_pages(section: Blueprint, front: Front) -> None:
    @section.get("/accounts/suggested")
    @needs(Permission.ACCOUNTS_READ)
    def suggested() -> Response:
        text = request.args.get("q", "").strip()[:64]
        query = (
            select(AccountRow.code, AccountRow.name)
            .where(front.scope.among(AccountRow.id), AccountRow.kind != "operator")
            .order_by(AccountRow.code, AccountRow.id)
            .limit(MAX_SUGGESTED)
        )
        with front.reading() as session:
            found = session.execute(find_accounts(query, text)).all() if text else ()
        return jsonify([{"value": code, "label": name} for code, name in found])

    @section.get("/accounts/<int:id>")
    @needs(Permission.ACCOUNTS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            account = front.account(session, id)
            return render_template(
                "panel/accounts/show.html",
                account=account,
                tabs=account_tabs(account, front.actor),
                tab="overview",
                party=party_of(session, account.id),
                wallets=wallets_of(session, account.id),
                terms=_terms(session, account),
                unit=paying_unit(session, account),
                barred=all_in_force(session, account.id),
                events=events_of(session, account.id, MAX_EVENTS),
                concerns=concerns_of(session, account, front.clock.now_us()),
                open_calls=_open_calls(session, account),
                subtree=subtree_of(session, account) if account.kind == "reseller" else None,
                above=session.get(AccountRow, account.parent_id) if account.parent_id else None,
            )


def _terms(session: Session, account: AccountRow) -> dict[str, str]:
    """What stands behind the ids of an account's terms."""

    def named(row: Any) -> str:
        return row.name if row is not None else ""

    tariffs = {"tariff": account.tariff_id, "inbound_tariff": account.inbound_tariff_id}
    terms = {key: named(session.get(TariffRow, id)) if id else "" for key, id in tariffs.items()}
    rule_id = account.dialling_rule_id
    terms["dialling_rule"] = named(session.get(DiallingRuleRow, rule_id)) if rule_id else ""
    return terms


def _open_calls(session: Session, account: AccountRow) -> int:
    query = select(func.count()).select_from(ReservationRow)
    is_open = ReservationRow.state.in_([str(x) for x in OPEN_STATES])
    return session.scalar(query.where(ReservationRow.account_id == account.id, is_open)) or 0


def _add_editing(section: Blueprint, front: Front) -> None:
    @section.route("/accounts/new", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def create() -> str | AnyResponse:
        form = OpenForm()
        leave_to_operator(form, front.scope)
        leave_credit(form, front.actor)
        with front.reading() as session:
            give_choices(session, form, front.scope.account_id, front.scope.account_id)
            units = unit_choices(session, form)
        if "offline_allowance" in form:
            form.offline_allowance.unit = units.get(form.unit.data)
        if request.method == "GET":
            form.parent.data = request.args.get("parent", "")[:64]
            form.language.data = front.actor.language
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("account.open", form.code.data or "") as change,
            ):
                account = _open(change.session, front, form, change.now_us)
                concerns = concerns_of(change.session, account, change.now_us)
            if not refused:
                flash(gettext("Account %(code)s is open.", code=account.code))
                tell_concerns(concerns)
                return redirect(url_for("accounts.show", id=account.id), 303)
        return render_template("panel/accounts/create.html", form=form)

    @section.route("/accounts/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def edit(id: int) -> str | AnyResponse:
        with front.reading() as session:
            account = front.account(session, id)
            form = ChangeForm(data=_shown(account))
            leave_to_operator(form, front.scope)
            give_choices(session, form, account.parent_id or 0, front.scope.account_id)
            form.minimum_balance.unit = unit = paying_unit(session, account)
            if "offline_allowance" in form:
                form.offline_allowance.unit = unit
            if request.method == "GET":
                form.edition.data = edition_of(_facts(session, account))
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("account.change", account.code, account_id=id) as change,
            ):
                now = front.account(change.session, id)
                check_edition(form, _facts(change.session, now))
                change_account(change.session, now, _changes(change.session, form))
                concerns = concerns_of(change.session, now, change.now_us)
            if not refused:
                flash(gettext("Account %(code)s is changed.", code=account.code))
                tell_concerns(concerns)
                return redirect(url_for("accounts.show", id=id), 303)
        return render_template(
            "panel/accounts/edit.html", form=form, account=account, announcements=ANNOUNCEMENTS
        )


def _open(session: Session, front: Front, form: OpenForm, now_us: int) -> AccountRow:
    parent = _parent(session, front, form.parent.data or "")
    terms: dict[str, Any] = {}
    if "shadow" in form:
        allowed = form.offline_allowance.data
        if allowed is None:
            unit = unit_of(session, form.unit.data)
            allowed = offline_allowance(form.failure_policy.data, form.mode.data, unit)
        terms = {"failure_policy": form.failure_policy.data, "offline_allowance": allowed}
        terms["shadow"] = form.shadow.data
    new = NewAccount(
        form.code.data or "",
        form.name.data or "",
        kind=form.kind.data,
        mode=form.mode.data,
        parent=parent,
        language=form.language.data,
        **terms,
    )
    endpoints = (("sip", form.sip.data),) if form.sip.data else ()
    opening = Opening(new, form.unit.data, credit_of(form), endpoints)
    account = open_with_wallets(session, opening, now_us, form.opened.start_us())
    change_account(session, account, _tariffs(form))
    return account


def _parent(session: Session, front: Front, code: str) -> str | None:
    """Below whom an account is opened: whoever acts, or a reseller whom he may see."""
    if not code:
        own = session.get_one(AccountRow, front.scope.account_id)
        return None if own.kind == "operator" else own.code
    above = session.scalar(select(AccountRow).where(AccountRow.code == code))
    if above is None or not front.scope.covers(above):
        raise TermRefused(gettext("There is no reseller %(code)s.", code=code[:64]), "parent")
    return above.code


def _tariffs(form: Any) -> dict[str, Any]:
    return {
        "tariff_id": form.tariff.data or None,
        "inbound_tariff_id": form.inbound_tariff.data or None,
        "dialling_rule_id": form.dialling_rule.data or None,
    }


def _shown(account: AccountRow) -> dict[str, Any]:
    """What the form for changing shows."""
    return {
        "name": account.name,
        "mode": account.mode,
        "tariff": account.tariff_id or 0,
        "inbound_tariff": account.inbound_tariff_id or 0,
        "language": account.language,
        "failure_policy": account.failure_policy,
        "offline_allowance": account.offline_allowance,
        "minimum_balance": account.minimum_balance,
        "dialling_rule": account.dialling_rule_id or 0,
        "wallet_order": account.wallet_order or "",
        "shadow": account.shadow,
        **{name: chosen(getattr(account, name)) for name in ANNOUNCEMENTS},
    }


def _facts(session: Session, account: AccountRow) -> dict[str, str | None]:
    """The same as text, so that two who edit see each other."""
    unit = paying_unit(session, account)
    facts = {key: str(value) for key, value in _shown(account).items() if value is not None}
    facts |= _terms(session, account)
    for name in ("offline_allowance", "minimum_balance"):
        amount = getattr(account, name)
        facts[name] = format_amount(amount, unit) if unit is not None and amount is not None else ""
    return dict(facts)


def _changes(session: Session, form: ChangeForm) -> dict[str, Any]:
    order = form.wallet_order.data
    changes = {
        "name": form.name.data,
        "mode": form.mode.data,
        "language": form.language.data,
        "minimum_balance": form.minimum_balance.data,
        "wallet_order": parse_wallet_order(session, order) if order else (),
        **_tariffs(form),
        **announcements(form),
    }
    if "shadow" in form:
        changes |= {"failure_policy": form.failure_policy.data, "shadow": form.shadow.data}
        if form.offline_allowance.unit is not None:
            changes["offline_allowance"] = form.offline_allowance.data or 0
    return changes


def tell_concerns(concerns: Concerns) -> None:
    """Say what is allowed, and yet not what somebody wants."""
    if concerns.without_tariff:
        flash(gettext("It cannot call yet: it has no tariff."), "warn")
    if concerns.without_credit:
        flash(gettext("It cannot call yet: it pays afterwards, and its credit limit is zero."), "warn")
    if concerns.nobody_passes:
        flash(gettext("No call passes unauthorized, since its allowance for them is zero."), "warn")
    for tariff_unit, unit in concerns.without_exchange:
        flash(
            gettext(
                "Its %(unit)s wallet pays nothing yet: no exchange rate from %(tariff_unit)s is known.",
                unit=unit,
                tariff_unit=tariff_unit,
            ),
            "warn",
        )
    if concerns.tax:
        flash(concerns.tax, "warn")
