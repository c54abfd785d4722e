"""Bundles: what is included per cycle; given to accounts by hand, or by plans."""

from dataclasses import fields
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.errors import TermRefused
from pbxbill.listing.bundles import BUNDLE_ID, BUNDLES, bundle_holders
from pbxbill.listing.listing import N_, Asked, narrowed, page_of
from pbxbill.rating.cycles import CYCLES
from pbxbill.rating.sheet_profile import parse_increments
from pbxbill.store.bundles import MEASURES, NewBundle, add_bundle, bundle_of, give_bundle, take_bundle
from pbxbill.store.catalogue_models import BundleRow
from pbxbill.store.models import AccountRow
from pbxbill.web.fields import (
    AccountField,
    CountField,
    LineField,
    MomentField,
    PanelForm,
    ZoneField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Change, Front, needs
from pbxbill.web.panel.asking import done_when_sure
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.words import word_of

HOLDERS_SHOWN = 50


class BundleForm(PanelForm):
    """A bundle's terms."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(64)])
    pieces = CountField(
        lazy_gettext("Included per cycle"),
        [required()],
        least=1,
        most=10**15,
        description=lazy_gettext("Seconds of calls: 600 minutes are 36000."),
    )
    measure = SelectField(lazy_gettext("Of"), choices=lambda: [(x, word_of(x)) for x in MEASURES])
    cycle = SelectField(
        lazy_gettext("Cycle"), choices=lambda: [(x, word_of(x)) for x in CYCLES], default="month"
    )
    zone = ZoneField(lazy_gettext("Zone in which cycles begin"), default="UTC")
    destinations = LineField(
        lazy_gettext("For the destinations"),
        [at_most(2_000)],
        description=lazy_gettext("Names, classes or prefixes with commas between them; empty: all."),
    )
    shared = BooleanField(lazy_gettext("Whoever is below the account uses it too"))
    rollover_cycles = CountField(
        lazy_gettext("Unused pieces stay for so many cycles more"), most=120, default=0
    )
    priority = CountField(
        lazy_gettext("Priority"),
        least=-(10**6),
        most=10**6,
        default=0,
        description=lazy_gettext("Of several bundles the highest is used first."),
    )
    increments = LineField(
        lazy_gettext("Increments"),
        [at_most(20)],
        default="1/1",
        description=lazy_gettext("For example 60/60."),
    )
    fee_owed = BooleanField(lazy_gettext("The connection fee is owed even if the bundle pays the call"))


class GiveForm(PanelForm):
    """Who gets it, from when to when."""

    account = AccountField(lazy_gettext("Account"), [required()])
    begins = MomentField(
        lazy_gettext("From"), description=lazy_gettext("Empty: now. Month cycles begin on its day.")
    )
    ends = MomentField(lazy_gettext("Until"), description=lazy_gettext("Empty: until it is taken."))


def bundles(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("bundles", __name__)
    add_list(
        section,
        front,
        ListPage(
            BUNDLES,
            "/bundles",
            link="bundles.show",
            empty=(
                N_("There is no bundle yet"),
                N_("A bundle includes minutes, messages or megabytes per cycle. Plans bring bundles."),
            ),
            actions=((N_("New bundle"), "bundles.new", Permission.CATALOGUE_WRITE),),
        ),
    )
    _add_new(section, front)
    _add_list_of_holders(section, front)
    _add_holders(section, front)
    return section


def _add_list_of_holders(section: Blueprint, front: Front) -> None:
    def of_path() -> BundleRow:
        with front.reading() as session:
            return _row(session, front, int((request.view_args or {})["id"]))

    add_list(
        section,
        front,
        ListPage(
            bundle_holders(front.clock.now_us),
            "/bundles/<int:id>/accounts",
            endpoint="holders",
            link=lambda row: url_for("accounts.show", id=row["account_id"]),
            template="panel/bundles/holders.html",
            empty=(N_("No account has it yet"), N_("Give it to accounts on its page, or name it in a plan.")),
            more=lambda: {"bundle": of_path()},
            given=lambda: {BUNDLE_ID: str(of_path().id)},
        ),
    )


def _add_new(section: Blueprint, front: Front) -> None:
    @section.route("/bundles/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        form = BundleForm()
        if form.validate_on_submit():
            name, id = form.name.data or "", 0
            with refusals(form) as refused, front.changing("bundle.make", name) as change:
                id = add_bundle(change.session, _new(form, front.scope.account_id)).id
            if not refused:
                flash(gettext("The bundle is made. Give it to accounts, or name it in a plan."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/bundles/form.html", form=form)

    @section.get("/bundles/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        return _page(front, id, GiveForm(formdata=None))


def _add_holders(section: Blueprint, front: Front) -> None:
    @section.post("/bundles/<int:id>/give")
    @needs(Permission.ACCOUNTS_WRITE)
    def give(id: int) -> str | Response:
        form = GiveForm()
        with front.reading() as session:
            name = _row(session, front, id).name
        if form.validate_on_submit():
            with refusals(form, "account") as refused, front.changing("bundle.give", name) as change:
                account = _holder(change.session, front, form.account.data or "")
                begins_us = change.now_us if form.begins.data is None else form.begins.data
                give_bundle(
                    change.session, account, _row(change.session, front, id), begins_us, form.ends.data
                )
            if not refused:
                flash(gettext("The account has the bundle."))
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, form)

    @section.route("/bundles/<int:id>/take/<int:account_id>", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def take(id: int, account_id: int) -> str | Response:
        with front.reading() as session:
            code = front.account(session, account_id).code
            name = _row(session, front, id).name
        back = url_for(".show", id=id)

        def taken(change: Change) -> str:
            account = front.account(change.session, account_id)
            take_bundle(change.session, account, _row(change.session, front, id), change.now_us)
            return str(gettext("The bundle is taken. Calls that are up keep what they hold of it."))

        return done_when_sure(
            front,
            "bundle.take",
            name,
            taken,
            back,
            account_id,
            title=gettext("Take %(bundle)s from %(account)s", bundle=name, account=code),
            button=gettext("Take it"),
            crumbs=[(gettext("Bundles"), url_for(".listed")), (name, back)],
            warning=gettext(
                "What is left of it is lost, and what stayed of former cycles. Given again, it begins anew."
            ),
        )


def _page(front: Front, id: int, form: GiveForm) -> str:
    with front.reading() as session:
        row = _row(session, front, id)
        listing, asked = bundle_holders(front.clock.now_us), Asked({BUNDLE_ID: str(id)}, size=HOLDERS_SHOWN)
        holders = page_of(session, listing, front.scope, asked).rows
        every = narrowed(session, listing, front.scope, asked).subquery()
        total = session.scalar(select(func.count()).select_from(every)) or 0
    return render_template(
        "panel/bundles/show.html", row=row, bundle=bundle_of(row), holders=holders, total=total, form=form
    )


def _row(session: Session, front: Front, id: int) -> BundleRow:
    return front.one(
        session, select(BundleRow).where(BundleRow.id == id, front.scope.issued(BundleRow.issuer_id))
    )


def _holder(session: Session, front: Front, code: str) -> AccountRow:
    account = session.scalar(
        select(AccountRow).where(AccountRow.code == code, front.scope.among(AccountRow.id))
    )
    if account is None:
        raise TermRefused(gettext("there is no account of this code"), "account")
    return account


def _new(form: BundleForm, issuer_id: int) -> NewBundle:
    initial_s, following_s = parse_increments(form.increments.data or "1/1")
    known = {f.name for f in fields(NewBundle)}
    facts: dict[str, Any] = {key: value for key, value in form.data_entered.items() if key in known}
    written = form.destinations.data or ""
    facts |= {
        "destinations": tuple(x.strip() for x in written.split(",") if x.strip()),
        "rollover_cycles": form.rollover_cycles.data or 0,
        "priority": form.priority.data or 0,
        "initial_increment_s": initial_s,
        "following_increment_s": following_s,
        "issuer_id": issuer_id,
    }
    return NewBundle(**facts)
