"""Saved cards and automatic top-ups from them, as portal and panel show and change them alike."""

from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import SelectField

from pbxbill.billing.payments.auto_top_ups import AutoTopUpTerms, set_auto_top_up
from pbxbill.billing.payments.payment_gateways import gateways_for
from pbxbill.billing.payments.saved_methods import active_method, forget_method, methods_of
from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.store.accounts import unit_of
from pbxbill.store.models import AccountRow, WalletRow
from pbxbill.store.payment_models import AutoTopUpRow, SavedMethodRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import AmountField, PanelForm, refusals, required
from pbxbill.web.front import Front

_AMOUNTS = ("below", "amount", "daily_cap", "monthly_cap")


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


def card_text(card: SavedMethodRow) -> str:
    """A saved card as people know it."""
    shown = " ".join(filter(None, (card.brand.capitalize(), f"•••• {card.last4}" if card.last4 else "")))
    text = shown or gettext("Saved way to pay")
    return gettext("%(card)s, until %(month)s", card=text, month=card.expires) if card.expires else text


def is_filling(session: Session, account_id: int, method_id: int) -> bool:
    """Whether a wallet of the account fills itself from this card."""
    query = (
        session.query(AutoTopUpRow)
        .join(WalletRow, WalletRow.id == AutoTopUpRow.wallet_id)
        .filter(WalletRow.account_id == account_id, AutoTopUpRow.method_id == method_id)
    )
    return any(x.state == "on" for x in query)


def remove_card(front: Front, form: PanelForm, card: SavedMethodRow) -> bool | None:
    """Charge it no more; whether its gateway knows that. None: it was refused, which the form says."""
    with (
        refusals(form) as refused,
        front.changing("card.remove", card_text(card), account_id=card.account_id) as change,
    ):
        forget_method(change.session, active_method(change.session, card.id))
    if refused:
        return None
    try:
        with front.desks.desk() as desk:
            return desk.tell_removed(card.id)
    except (InputRefused, ConfigurationError):
        return False  # here it is gone; at the gateway it lies unused


def fill_top_up(
    session: Session, form: AutoTopUpForm, account: AccountRow, wallet: WalletRow, *, is_new: bool
) -> list[SavedMethodRow]:
    """Give the form its choices, and what holds where it is shown first; the cards that can be charged."""
    usable = {x.id for x in gateways_for(session, account, wallet.unit)}
    cards = [x for x in methods_of(session, account.id) if x.gateway_id in usable]
    form.card.choices = [(str(x.id), card_text(x)) for x in cards]
    unit = unit_of(session, wallet.unit)
    for name in _AMOUNTS:
        form[name].unit = unit
    if is_new:
        row = session.get(AutoTopUpRow, wallet.id)
        if row is not None:
            for name in _AMOUNTS:
                form[name].data = getattr(row, name)
            form.card.data = str(row.method_id)
        form.edition.data = edition_of(_facts(row))
    return cards


def set_top_up(front: Front, form: AutoTopUpForm, account: AccountRow, wallet: WalletRow) -> bool:
    """Let a wallet fill itself as the form says; False: it was refused, which the form says."""
    with (
        refusals(form, "amount") as refused,
        front.changing("auto-top-up.set", account.code, account_id=account.id) as change,
    ):
        session = change.session
        check_edition(form, _facts(session.get(AutoTopUpRow, wallet.id)))
        terms = AutoTopUpTerms(
            form.below.data or 0,
            form.amount.data or 0,
            int(form.card.data),
            form.daily_cap.data,
            form.monthly_cap.data,
        )
        now = session.get_one(AccountRow, account.id)
        set_auto_top_up(session, now, wallet.unit, terms, change.now_us)
    return not refused


def _facts(row: AutoTopUpRow | None) -> dict[str, str | None]:
    if row is None:
        return dict.fromkeys((*_AMOUNTS, "card"), "")
    amounts = {name: getattr(row, name) for name in _AMOUNTS}
    facts: dict[str, str | None] = {name: None if x is None else str(x) for name, x in amounts.items()}
    return facts | {"card": str(row.method_id)}
