"""/panel/first-steps: from an empty database to the first call that is charged, step by step.

Each step can be left out and come back to. The line in the menu goes once a call was charged.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.actor import Actor
from pbxbill.access.permissions import Permission
from pbxbill.access.users import change_facts, facts_of
from pbxbill.billing.account_terms import Opening, money_units, open_with_wallets
from pbxbill.billing.parties import Issuer, Party, issuer_of, party_of, set_issuer, set_party
from pbxbill.billing.payments.top_ups import NewTopUp, top_up
from pbxbill.billing.taxes.tax_rates import NewTaxRate, add_tax_rate, tax_rates, usual_tax
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.listing.first_steps import has_charged, is_begun, steps_of
from pbxbill.listing.listing import N_
from pbxbill.money import to_decimal
from pbxbill.quote import Quote, quote
from pbxbill.rating.tariff import TaxMode
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import NewAccount, account_by_code, rename_operator
from pbxbill.store.billing_models import TaxRateRow
from pbxbill.store.models import AccountRow, CdrRow, EndpointRow, RateDeckRow, TariffRow
from pbxbill.store.sample_deck import SAMPLE, add_sample_deck
from pbxbill.store.tariffs import NewTariff, add_tariff_version
from pbxbill.store.units import UNIT_KINDS, add_unit, checked_unit
from pbxbill.web.editions import as_text, check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, background, needs
from pbxbill.web.installation import Checked
from pbxbill.web.panel.first_steps_forms import (
    AccountForm,
    CompanyForm,
    DeckForm,
    TariffForm,
    TaxForm,
    TryForm,
)
from pbxbill.web.panel.navigation import Group

STEPS = (
    ("company", N_("Your company")),
    ("tax", N_("Time zone and tax")),
    ("switch", N_("Your switch")),
    ("rates", N_("First rates")),
    ("tariff", N_("A tariff")),
    ("account", N_("First account")),
    ("try", N_("What a call costs")),
    ("call", N_("First call")),
)
ADDRESS = (
    "legal_name", "street", "postal_code", "city", "country", "vat_id", "email", "phone", "iban", "bic",
)  # fmt: skip


def first_steps(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("first_steps", __name__)

    @section.before_request
    def only_for_the_operator() -> None:
        if not front.scope.is_everything:
            abort(404)

    @section.get("/first-steps")
    @needs(Permission.SETTINGS_WRITE)
    def show() -> str:
        return render_template("panel/first_steps/show.html", **_frame(front, ""))

    _add_company(section, front)
    _add_tax(section, front)
    _add_switch(section, front)
    _add_rates(section, front)
    _add_tariff(section, front)
    _add_account(section, front)
    _add_call(section, front)
    return section


def guided(front: Front) -> Callable[[tuple[Group, ...], Actor], tuple[Group, ...]]:
    """What shows the line in the menu while it is of use: until somebody has called."""
    done: list[bool] = []

    def menu(groups: tuple[Group, ...], actor: Actor) -> tuple[Group, ...]:
        if not _is_his(actor) or done:
            return _without(groups)
        with front.reading() as session:
            if has_charged(session):
                done.append(True)
                return _without(groups)
        return groups

    return menu


def leads_there(front: Front, actor: Actor) -> bool:
    """Whether a log-in leads here: where nobody can call yet at all."""
    if not _is_his(actor):
        return False
    with front.reading() as session:
        return not is_begun(session) and not has_charged(session)


def _is_his(actor: Actor) -> bool:
    return actor.scope.is_everything and actor.may(Permission.SETTINGS_WRITE)


def _without(groups: tuple[Group, ...]) -> tuple[Group, ...]:
    return tuple(
        Group(x.title, tuple(y for y in x.items if y.endpoint != "first_steps.show")) for x in groups
    )


def _has_switch(front: Front) -> bool:
    return bool(front.rules.installation.switches)


def _frame(front: Front, key: str) -> dict[str, Any]:
    """What every page of it shows: all steps, and where one goes on."""
    with front.reading() as session:
        steps = steps_of(session, front.scope.account_id, has_switch=_has_switch(front))
    keys = [x for x, _title in STEPS]
    place = keys.index(key) if key else -1
    after = keys[place + 1] if place + 1 < len(keys) else ""
    return {
        "shown": [(x, gettext(title), "" if x == "try" else x not in steps.missing) for x, title in STEPS],
        "here": key,
        "title": gettext(STEPS[place][1]) if key else gettext("First steps"),
        "next_url": url_for(f"first_steps.{_view(after)}") if after else url_for("dashboard.show"),
        "view": _view,
        "missing": steps.missing,
    }


def _view(key: str) -> str:
    return {"try": "try_call", "call": "first_call"}.get(key, key)


def _page(front: Front, key: str, **more: Any) -> str:
    return render_template(f"panel/first_steps/{_view(key)}.html", **_frame(front, key), **more)


def _go_on(front: Front, key: str, told: str) -> Response:
    flash(told)
    url: str = _frame(front, key)["next_url"]
    return redirect(url, 303)


def _operator(session: Session, front: Front) -> AccountRow:
    return session.get_one(AccountRow, front.scope.account_id)


def _add_company(section: Blueprint, front: Front) -> None:
    def address_of(party: Party) -> dict[str, str]:
        return {x: getattr(party, x) for x in ADDRESS}

    @section.route("/first-steps/company", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def company() -> str | Response:
        form = CompanyForm()
        with front.reading() as session:
            operator = _operator(session, front)
            party = party_of(session, operator.id)
            units = [x.code for x in money_units(session)]
        if request.method == "GET":
            for name, value in address_of(party).items():
                form[name].data = value
            form.edition.data = edition_of(address_of(party))
        if form.validate_on_submit():
            with (
                refusals(form, "legal_name") as refused,
                front.changing("operator.change", operator.code, account_id=operator.id) as change,
            ):
                check_edition(form, address_of(party_of(change.session, operator.id)))
                set_party(change.session, operator.id, {x: form[x].data or "" for x in ADDRESS})
                rename_operator(change.session, form.legal_name.data or "")
                code = (form.currency.data or "").upper()
                if code and code not in units:
                    kind = UNIT_KINDS["currency"]
                    add_unit(change.session, checked_unit(code, kind.scale, kind.digits))
            if not refused:
                return _go_on(front, "company", gettext("Your company is known."))
        return _page(front, "company", form=form, units=units)


def _add_tax(section: Blueprint, front: Front) -> None:
    def now_of(terms: Issuer, usual: TaxRateRow | None) -> dict[str, object]:
        """What the form shows, by field."""
        percent = None if usual is None else f"{to_decimal(usual.ppm, 4).normalize():f}"
        tax = None if usual is None else usual.name
        return {"zone": terms.zone, "payment_days": terms.payment_days, "tax": tax, "percent": percent}

    @section.route("/first-steps/tax", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def tax() -> str | Response:
        form = TaxForm()
        with front.reading() as session:
            issuer_id = front.scope.account_id
            known = tax_rates(session, issuer_id)
            now = issuer_of(session, issuer_id)
            country = party_of(session, issuer_id).country
            usual = usual_tax(session, issuer_id, front.clock.now_us())
        if request.method == "GET":
            form.edition.data = edition_of(as_text(now_of(now, usual)))
            form.zone.data, form.payment_days.data = now.zone, now.payment_days
            if usual is not None:
                form.tax.data, form.percent.data = usual.name, usual.ppm
        if form.validate_on_submit():
            with (
                refusals(form, "percent") as refused,
                front.changing("operator.tax", _code(front), account_id=issuer_id) as change,
            ):
                terms = issuer_of(change.session, issuer_id)
                usual = usual_tax(change.session, issuer_id, change.now_us)
                check_edition(form, as_text(now_of(terms, usual)))
                terms = replace(terms, zone=form.zone.data or "UTC", payment_days=form.payment_days.data or 0)
                set_issuer(change.session, issuer_id, terms)
                name, ppm = form.tax.data or "VAT", form.percent.data
                if ppm and (usual is None or (usual.name, usual.ppm) != (name, ppm)):
                    add_tax_rate(change.session, issuer_id, NewTaxRate(name, ppm, 0, country=country))
                if form.own_zone.data:
                    user = change.session.get_one(UserRow, front.actor.user_id)
                    facts = facts_of(user)
                    if facts.zone != terms.zone:
                        change_facts(change.session, user, replace(facts, zone=terms.zone))
            if not refused:
                return _go_on(front, "tax", gettext("Time zone and tax are set."))
        return _page(front, "tax", form=form, known=known)


def _code(front: Front) -> str:
    with front.reading() as session:
        return _operator(session, front).code


def _add_switch(section: Blueprint, front: Front) -> None:
    def page(checked: list[Checked] | None) -> str:
        installation = front.rules.installation
        return _page(
            front,
            "switch",
            switches=installation.switches,
            config=installation.config_path or "pbxbill.toml",
            can_check=installation.diagnose is not None,
            checked=checked,
        )

    @section.get("/first-steps/switch")
    @needs(Permission.SETTINGS_WRITE)
    def switch() -> str:
        return page(None)

    @section.post("/first-steps/switch")
    @needs(Permission.SETTINGS_WRITE)
    def check_switch() -> str:
        diagnose = front.rules.installation.diagnose
        return page(None if diagnose is None else list(diagnose()))


def _add_rates(section: Blueprint, front: Front) -> None:
    @section.route("/first-steps/rates", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def rates() -> str | Response:
        form = DeckForm()
        with front.reading() as session:
            form.unit.choices = [(x.code, x.code) for x in money_units(session)]
            decks = session.scalars(select(RateDeckRow).order_by(RateDeckRow.name)).all()
        if form.validate_on_submit():
            name = form.name.data or ""
            with refusals(form, "name") as refused, front.changing("deck.sample", name) as change:
                if name in {x.name for x in decks}:
                    raise InputRefused(gettext("There is a deck of that name already"))
                add_sample_deck(change.session, name, form.unit.data, change.now_us)
            if not refused:
                return _go_on(front, "rates", gettext("The sample rates are there."))
        return _page(front, "rates", form=form, decks=decks, sample=SAMPLE)


def _add_tariff(section: Blueprint, front: Front) -> None:
    @section.route("/first-steps/tariff", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def tariff() -> str | Response:
        form = TariffForm()
        with front.reading() as session:
            names = list(session.scalars(select(RateDeckRow.name).order_by(RateDeckRow.name)))
            tariffs = list(session.scalars(select(TariffRow.name).order_by(TariffRow.name)))
            usual = usual_tax(session, front.scope.account_id, front.clock.now_us())
        form.deck.choices = [(x, x) for x in names]
        if request.method == "GET" and usual is not None:
            form.tax.data = usual.ppm
        if names and form.validate_on_submit():
            name = form.name.data or ""
            with refusals(form, "name") as refused, front.changing("tariff.make", name) as change:
                if name in tariffs:
                    raise InputRefused(gettext("There is a tariff of that name already"))
                mode = TaxMode(form.tax_mode.data)
                ppm = 0 if mode is TaxMode.NONE else form.tax.data or 0
                new = NewTariff(name, form.deck.data, tax_mode=mode, tax_ppm=ppm)
                add_tariff_version(change.session, new, change.now_us)
            if not refused:
                return _go_on(front, "tariff", gettext("Tariff %(name)s is there.", name=name))
        return _page(front, "tariff", form=form, decks=names, tariffs=tariffs)


def _add_account(section: Blueprint, front: Front) -> None:
    @section.route("/first-steps/account", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def account() -> str | Response:
        form = AccountForm()
        with front.reading() as session:
            tariffs = list(session.scalars(select(TariffRow.name).order_by(TariffRow.name)))
            units = {x.code: x for x in money_units(session)}
        form.tariff.choices = [(x, x) for x in tariffs]
        form.unit.choices = [(x, x) for x in units]
        form.amount.unit = units.get(form.unit.data or "") or next(iter(units.values()), None)
        form.limit.unit = form.amount.unit
        can_call = True
        if tariffs and form.validate_on_submit():
            code = form.code.data or ""
            with refusals(form, "code") as refused, front.changing("account.open", code) as change:
                new = NewAccount(code, form.name.data or "", mode=form.mode.data, tariff=form.tariff.data)
                endpoints = (("sip", form.sip.data or ""),)
                limit = (form.limit.data or 0) if form.mode.data == "postpaid" else 0
                opening = Opening(new, form.unit.data, limit, endpoints)
                opened = open_with_wallets(change.session, opening, change.now_us)
                can_call = bool(limit or form.amount.data)
                if form.amount.data:
                    funds = NewTopUp(
                        form.amount.data,
                        form.unit.data,
                        "cash",
                        f"first:{opened.id}",
                        by=front.actor.name,
                        receipt=False,
                    )
                    top_up(change.session, change.books, opened, funds, change.now_us)
            if not refused:
                if can_call:
                    flash(gettext("Account %(code)s can call.", code=code))
                else:
                    told = gettext("Account %(code)s is open. It can call once it has funds.", code=code)
                    flash(told, "warn")
                return redirect(url_for("first_steps.try_call", account=code), 303)
        return _page(front, "account", form=form, tariffs=tariffs)


def _add_call(section: Blueprint, front: Front) -> None:
    @section.route("/first-steps/try", methods=["GET", "POST"])
    @needs(Permission.SETTINGS_WRITE)
    def try_call() -> str:
        form = TryForm()
        if request.method == "GET":
            form.account.data = request.args.get("account", "")[:64] or _somebody(front)
        found: Quote | None = None
        if form.validate_on_submit():
            with refusals(form, "number") as refused:
                with front.reading() as session:
                    account_by_code(session, form.account.data or "")
                seconds = (form.minutes.data or 1) * 60
                found = quote(
                    front.desks.application,
                    form.account.data or "",
                    form.number.data or "",
                    seconds * SECOND_US,
                )
            if refused:
                found = None
        return _page(front, "try", form=form, found=found)

    @section.get("/first-steps/call")
    @needs(Permission.SETTINGS_WRITE)
    def first_call() -> str:
        with front.reading() as session:
            last = session.scalar(
                select(CdrRow).order_by(CdrRow.started_us.desc(), CdrRow.session_id.desc()).limit(1)
            )
            endpoint = session.execute(
                select(EndpointRow, AccountRow)
                .join(AccountRow, AccountRow.id == EndpointRow.account_id)
                .where(EndpointRow.kind == "sip")
                .order_by(EndpointRow.id.desc())
                .limit(1)
            ).first()
            charged = has_charged(session)
        return _page(
            front,
            "call",
            last=last,
            sip=endpoint[0].value if endpoint else "",
            account=endpoint[1] if endpoint else None,
            charged=charged,
        )

    @section.get("/first-steps/call/now")
    @background
    @needs(Permission.SETTINGS_WRITE)
    def first_call_now() -> str:
        """The same as it is now, for a page that waits for the call."""
        return first_call()


def _somebody(front: Front) -> str:
    """The account that was opened last and can be called from."""
    with front.reading() as session:
        query = (
            select(AccountRow.code)
            .join(EndpointRow, EndpointRow.account_id == AccountRow.id)
            .where(EndpointRow.kind != "did")
        )
        return session.scalar(query.order_by(AccountRow.id.desc()).limit(1)) or ""
