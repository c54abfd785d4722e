"""/my/auto-top-up: a balance that fills itself from a saved card before it is empty, within caps."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, resume, set_auto_top_up, turn_off
from pbxbill.billing.payments.payment_gateways import gateways_for
from pbxbill.billing.payments.saved_methods import methods_of
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import AmountField, PanelForm, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.portal.own import own_account, own_wallet, own_wallets
from pbxbill.web.portal.paying import card_text

AMOUNTS = ("below", "amount", "daily_cap", "monthly_cap")


class AutoTopUpForm(PanelForm):
    """When, how much, from which card, and how much at most."""

    below = AmountField(
        lazy_gettext("When the balance falls below"),
        [required()],
        least=0,
        description=lazy_gettext("0: as soon as nothing is left."),
    )
    amount = AmountField(lazy_gettext("Add"), [required()], least=1)
    card = SelectField(lazy_gettext("From"))
    daily_cap = AmountField(lazy_gettext("At most in a day"))
    monthly_cap = AmountField(lazy_gettext("At most in a month"))
    edition = EditionField()


def add_auto_top_ups(section: Blueprint, front: Front) -> None:
    """The pages."""

    @section.get("/auto-top-up")
    @needs(Permission.OWN_PAY)
    def auto_top_ups() -> str:
        with front.reading() as session:
            found = [(x, session.get(AutoTopUpRow, x.id)) for x in own_wallets(front, session)]
            cards = {x.id: x for x in methods_of(session, front.scope.account_id, removed=True)}
        return render_template(
            "portal/payments/auto_top_ups.html", found=found, cards=cards, card_text=card_text
        )

    @section.route("/auto-top-up/<unit>", methods=["GET", "POST"])
    @needs(Permission.OWN_PAY)
    def auto_top_up(unit: str) -> str | Response:
        form = AutoTopUpForm()
        with front.reading() as session:
            account = own_account(front, session)
            wallet = own_wallet(front, session, unit)
            row = session.get(AutoTopUpRow, wallet.id)
            cards = _cards(session, account, unit)
            form.card.choices = [(str(x.id), card_text(x)) for x in cards]
            for name in AMOUNTS:
                form[name].unit = unit_of(session, unit)
        if request.method == "GET":
            if row is not None:
                for name in AMOUNTS:
                    form[name].data = getattr(row, name)
                form.card.data = str(row.method_id)
            form.edition.data = edition_of(_facts(row))
        if cards and form.validate_on_submit():
            with (
                refusals(form, "amount") as refused,
                front.changing("auto-top-up.set", account.code, account_id=account.id) as change,
            ):
                check_edition(form, _facts(_row_now(change.session, wallet)))
                terms = AutoTopUpTerms(
                    form.below.data or 0,
                    form.amount.data or 0,
                    int(form.card.data),
                    form.daily_cap.data,
                    form.monthly_cap.data,
                )
                set_auto_top_up(change.session, account, unit, terms, change.now_us)
            if not refused:
                flash(gettext("Your %(unit)s balance fills itself from now on.", unit=unit))
                return redirect(url_for("my_payments.auto_top_ups"), 303)
        return render_template("portal/payments/auto_top_up.html", form=form, unit=unit, cards=cards, row=row)

    @section.post("/auto-top-up/<unit>/<any(off, resume):what>")
    @needs(Permission.OWN_PAY)
    def auto_top_up_turn(unit: str, what: str) -> Response:
        with front.reading() as session:
            account = own_account(front, session)
            own_wallet(front, session, unit)
        turned = turn_off if what == "off" else resume
        with (
            refusals(PanelForm()) as refused,
            front.changing(f"auto-top-up.{what}", account.code, account_id=account.id) as change,
        ):
            turned(change.session, account, unit, change.now_us)
        if refused:
            flash(refused.messages[0], "bad")
        elif what == "off":
            flash(gettext("Your %(unit)s balance does not fill itself any more.", unit=unit))
        else:
            flash(gettext("Your %(unit)s balance fills itself again.", unit=unit))
        return redirect(url_for("my_payments.auto_top_ups"), 303)


def _cards(session: Session, account: AccountRow, unit: str) -> list[SavedMethodRow]:
    usable = {x.id for x in gateways_for(session, account, unit)}
    return [x for x in methods_of(session, account.id) if x.gateway_id in usable]


def _row_now(session: Session, wallet: WalletRow) -> AutoTopUpRow | None:
    return session.get(AutoTopUpRow, wallet.id)


def _facts(row: AutoTopUpRow | None) -> dict[str, str | None]:
    if row is None:
        return dict.fromkeys((*AMOUNTS, "card"), "")
    amounts = {name: getattr(row, name) for name in AMOUNTS}
    facts: dict[str, str | None] = {name: None if x is None else str(x) for name, x in amounts.items()}
    return facts | {"card": str(row.method_id)}
