"""Points: rules by which accounts earn them, what an account has, who brought whom."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units
from pbxbill.billing.points.points import Spending, give_by_hand, holdings, spend
from pbxbill.billing.points.points_rules import (
    KINDS,
    MOST_POINTS,
    MOST_VALID_DAYS,
    NewRule,
    add_rule,
    end_rule,
)
from pbxbill.billing.points.referrals import refer
from pbxbill.listing.listing import N_
from pbxbill.listing.points import REFERRALS, RULES
from pbxbill.store.models import UnitRow
from pbxbill.store.payment_models import PointsLotRow, PointsRuleRow, ReferralRow
from pbxbill.web.fields import (
    AccountField,
    AmountField,
    CountField,
    LineField,
    PanelForm,
    UnitField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.asking import (
    OnceField,
    account_of_code,
    form_page,
    issuer,
    wallet_units,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.vouchers import voucher_tabs
from pbxbill.web.words import word_of

MOST_LOTS = 200


class RuleForm(PanelForm):
    """How points are earned."""

    kind = SelectField(lazy_gettext("Earned by"), choices=lambda: [(x, word_of(x)) for x in KINDS])
    amount = AmountField(
        lazy_gettext("For each"),
        [required()],
        least=1,
        bare=True,
        description=lazy_gettext("Of a referral: from such a first top-up on."),
    )
    unit = UnitField(lazy_gettext("Currency"))
    points = CountField(lazy_gettext("Points"), [required()], least=1, most=MOST_POINTS)
    points_unit = UnitField(
        lazy_gettext("Kept as"), description=lazy_gettext("A unit of whole pieces, for points alone.")
    )
    valid_days = CountField(
        lazy_gettext("Valid for days"),
        least=1,
        most=MOST_VALID_DAYS,
        description=lazy_gettext("Empty: they do not expire."),
    )
    worth = AmountField(
        lazy_gettext("What one is worth"),
        least=0,
        bare=True,
        description=lazy_gettext("When it is spent, in the currency. Empty: it cannot be spent on funds."),
    )


class ReferForm(PanelForm):
    """Who brought whom."""

    account = AccountField(lazy_gettext("Account"), [required()])
    referrer = AccountField(
        lazy_gettext("Brought by"),
        [required()],
        description=lazy_gettext("Rewarded once the account has brought its first money."),
    )


class GiveForm(PanelForm):
    """Points given by hand."""

    rule = SelectField(lazy_gettext("By the rule"), coerce=int)
    points = CountField(lazy_gettext("Points"), [required()], least=1, most=MOST_POINTS)
    reason = LineField(lazy_gettext("Reason"), [required(), at_most()])
    key = OnceField()


class SpendForm(PanelForm):
    """Points that become funds."""

    points_unit = SelectField(lazy_gettext("Points"))
    points = CountField(lazy_gettext("How many"), [required()], least=1, most=2**53)
    unit = UnitField(lazy_gettext("Into the wallet in"))
    key = OnceField()


def points(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("points", __name__)
    add_list(
        section,
        front,
        ListPage(
            RULES,
            "/points",
            link="points.rule",
            template="panel/payments/tabbed.html",
            empty=(
                N_("No points can be earned yet"),
                N_("A rule gives them for top-ups, for usage, or for who brings somebody."),
            ),
            actions=((N_("New rule"), "points.new", Permission.CATALOGUE_WRITE),),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "points"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            REFERRALS,
            "/referrals",
            endpoint="referrals",
            link=lambda row: url_for("accounts.show", id=row["id"]),
            template="panel/payments/tabbed.html",
            empty=(
                N_("Nobody has brought anybody yet"),
                N_("Write down who brought an account: a rule rewards it."),
            ),
            actions=((N_("Write one down"), "points.refer_account", Permission.ACCOUNTS_WRITE),),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "referrals"},
        ),
    )
    _add_rules(section, front)
    _add_referring(section, front)
    _add_account(section, front)
    return section


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Points"), url_for("points.listed"))]


def _rule(session: Session, front: Front, id: int) -> PointsRuleRow:
    return front.one(
        session,
        select(PointsRuleRow).where(PointsRuleRow.id == id, front.scope.issued(PointsRuleRow.issuer_id)),
    )


def _add_rules(section: Blueprint, front: Front) -> None:
    @section.get("/points/rules/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def rule(id: int) -> str:
        with front.reading() as session:
            row = _rule(session, front, id)
        return render_template("panel/points/rule.html", row=row, crumbs=_crumbs())

    @section.route("/points/rules/<int:id>/end", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def end(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            _rule(session, front, id)
        back = url_for(".rule", id=id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("points.end", str(id)) as change:
                end_rule(change.session, _rule(change.session, front, id).id)
            if not refused:
                flash(gettext("The rule has ended."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("End rule %(number)s", number=id),
            gettext("End the rule"),
            back,
            [*_crumbs(), (str(id), back)],
            warning=gettext("Nothing is earned by it any more. What was earned stays and keeps its worth."),
        )

    @section.route("/points/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        form = RuleForm()
        with front.reading() as session:
            units = {x.code: x for x in money_units(session)}
            whole = list(
                session.scalars(select(UnitRow.code).where(UnitRow.scale == 0).order_by(UnitRow.code))
            )
        form.unit.choices = [(x, x) for x in units]
        form.points_unit.choices = [(x, x) for x in whole]
        form.amount.unit = form.worth.unit = units.get(form.unit.data or "") or next(
            iter(units.values()), None
        )
        if form.validate_on_submit():
            made = 0
            with refusals(form) as refused, front.changing("points.rule", form.kind.data) as change:
                wanted = NewRule(
                    kind=form.kind.data,
                    points_unit=form.points_unit.data,
                    unit=form.unit.data,
                    per=form.amount.data or 0,
                    points=form.points.data or 0,
                    valid_days=form.valid_days.data,
                    worth=form.worth.data or 0,
                )
                made = add_rule(change.session, issuer(change.session, front), wanted, change.now_us).id
            if not refused:
                flash(gettext("Points are earned by it from now on."))
                return redirect(url_for(".rule", id=made), 303)
        lead = "" if whole else gettext("There is no unit of whole pieces yet: add one for points first.")
        return form_page(
            form, gettext("New rule"), gettext("Make the rule"), url_for(".listed"), _crumbs(), lead=lead
        )


def _add_referring(section: Blueprint, front: Front) -> None:
    @section.route("/referrals/new", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def refer_account() -> str | Response:
        form = ReferForm()
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("points.refer", form.account.data or "") as change:
                brought = account_of_code(change.session, front, form.account.data or "")
                referrer = account_of_code(change.session, front, form.referrer.data or "")
                refer(change.session, brought, referrer, change.now_us)
            if not refused:
                flash(gettext("It is written down."))
                return redirect(url_for(".referrals"), 303)
        return form_page(
            form,
            gettext("Who brought an account?"),
            gettext("Write it down"),
            url_for(".referrals"),
            [(gettext("Referrals"), url_for(".referrals"))],
        )


def _add_account(section: Blueprint, front: Front) -> None:
    @section.get("/points/of-account/<int:id>")
    @needs(Permission.ACCOUNTS_READ)
    def account(id: int) -> str:
        with front.reading() as session:
            row = front.account(session, id)
            lots = session.scalars(
                select(PointsLotRow)
                .where(PointsLotRow.account_id == id)
                .order_by(PointsLotRow.id.desc())
                .limit(MOST_LOTS)
            )
            return render_template(
                "panel/points/account.html",
                account=row,
                tabs=account_tabs(row, front.actor),
                tab="points",
                held=holdings(session, id, front.clock.now_us()),
                lots=list(lots),
                referral=session.get(ReferralRow, id),
            )

    @section.route("/points/of-account/<int:id>/give", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_CORRECT)
    def give(id: int) -> str | Response:
        form = GiveForm()
        with front.reading() as session:
            row = front.account(session, id)
            rules = session.scalars(
                select(PointsRuleRow)
                .where(PointsRuleRow.issuer_id == (row.parent_id or 0), PointsRuleRow.state == "active")
                .where(front.scope.issued(PointsRuleRow.issuer_id))
                .order_by(PointsRuleRow.id)
            )
            form.rule.choices = [(x.id, f"{x.id}: {x.points_unit}, {word_of(x.kind)}") for x in rules]
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("points.give", row.code, account_id=id) as change,
            ):
                give_by_hand(
                    change.session,
                    change.books,
                    front.account(change.session, id),
                    form.rule.data,
                    form.points.data or 0,
                    key=f"panel:{form.key.data}",
                    reason=form.reason.data or "",
                    now_us=change.now_us,
                )
            if not refused:
                flash(gettext("The points are given."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Give points to %(name)s", name=row.name),
            gettext("Give them"),
            back,
            [(gettext("Accounts"), url_for("accounts.listed")), (row.code, back)],
            lead=gettext("They last and are worth as the rule says."),
        )

    @section.route("/points/of-account/<int:id>/spend", methods=["GET", "POST"])
    @needs(Permission.PAYMENTS_TAKE)
    def use(id: int) -> str | Response:
        form = SpendForm()
        with front.reading() as session:
            row = front.account(session, id)
            held = holdings(session, id, front.clock.now_us())
            form.points_unit.choices = [(x.unit, x.unit) for x in held]
            form.unit.choices = [(x, x) for x in wallet_units(session, row)]
        back = url_for(".account", id=id)
        if form.validate_on_submit():
            with (
                refusals(form) as refused,
                front.changing("points.spend", row.code, account_id=id) as change,
            ):
                wanted = Spending(
                    form.points_unit.data, form.points.data or 0, form.unit.data, f"panel:{form.key.data}"
                )
                spend(change.session, change.books, front.account(change.session, id), wanted, change.now_us)
            if not refused:
                flash(gettext("The points became funds."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Turn points of %(name)s into funds", name=row.name),
            gettext("Turn them into funds"),
            back,
            [(gettext("Accounts"), url_for("accounts.listed")), (row.code, back)],
        )
