"""Calling cards: made with their PINs shown once, blocked, given another PIN; callers who need none."""

from datetime import date

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes import calling_cards
from pbxbill.billing.codes.calling_cards import NewCard, add_card, add_known_caller, remove_known_caller
from pbxbill.billing.period import day_start_us
from pbxbill.billing.subscriptions.subscribed import billing_place
from pbxbill.errors import InputRefused
from pbxbill.listing.cards import CARDS, KNOWN_CALLERS
from pbxbill.listing.listing import N_
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import CallingCardRow, KnownCallerRow
from pbxbill.web.fields import CountField, DayField, LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import account_asked, done_at_once, find_page, form_page
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.vouchers import voucher_tabs

MOST_AT_ONCE = 100


class CardForm(PanelForm):
    """New cards."""

    count = CountField(lazy_gettext("Number of cards"), [required()], least=1, most=MOST_AT_ONCE, default=1)
    name = LineField(
        lazy_gettext("Name"), [Optional(), at_most(64)], description=lazy_gettext("Whose it is, say.")
    )
    digits = CountField(
        lazy_gettext("Digits of the PIN"),
        [required()],
        least=4,
        most=20,
        default=calling_cards.USUAL_PIN_DIGITS,
    )
    expires = DayField(
        lazy_gettext("Last day"), description=lazy_gettext("On which it may be used. Empty: no end.")
    )


class CallerForm(PanelForm):
    """A caller who needs no PIN."""

    number = LineField(
        lazy_gettext("Caller's number"),
        [required(), at_most(32)],
        description=lazy_gettext("With its country's code. Numbers of callers can be forged."),
    )


def cards(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("cards", __name__)
    add_list(
        section,
        front,
        ListPage(
            CARDS,
            "/cards",
            link="cards.show",
            template="panel/payments/tabbed.html",
            empty=(
                N_("There is no calling card yet"),
                N_("With a card's PIN somebody calls from any telephone, on his account."),
            ),
            actions=((N_("New cards"), "cards.new", Permission.ACCOUNTS_WRITE),),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "cards"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            KNOWN_CALLERS,
            "/known-callers",
            endpoint="callers",
            link=lambda row: url_for("cards.show", id=row["card_id"]),
            template="panel/payments/tabbed.html",
            empty=(
                N_("No caller is known yet"),
                N_("A card's page has the callers who need not enter its PIN."),
            ),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "callers"},
        ),
    )
    _add_making(section, front)
    _add_page(section, front)
    return section


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Calling cards"), url_for("cards.listed"))]


def _card(session: Session, front: Front, id: int) -> CallingCardRow:
    return front.one(
        session,
        select(CallingCardRow).where(CallingCardRow.id == id, front.scope.among(CallingCardRow.account_id)),
    )


def _add_making(section: Blueprint, front: Front) -> None:
    @section.route("/cards/new", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def new() -> str | Response:
        title = gettext("New calling cards")
        form = CardForm()
        with front.reading() as session:
            account = account_asked(session, front)
            if account is None:
                return find_page(title, url_for(".listed"), _crumbs())
            zone = billing_place(session, account).zone
        if form.validate_on_submit():
            last: date | None = form.expires.data
            end_us = day_start_us(date.fromordinal(last.toordinal() + 1), zone) if last else None
            made: list[NewCard] = []
            with refusals(form) as refused:
                _made(front, account, form, end_us, made)
            if made or not refused:
                return render_template("panel/cards/made.html", made=made, account=account, crumbs=_crumbs())
        return form_page(
            form,
            title,
            gettext("Make them"),
            url_for(".listed"),
            _crumbs(),
            lead=gettext("Calls by these cards are charged to %(name)s.", name=account.name),
        )


def _made(front: Front, account: AccountRow, form: CardForm, end_us: int | None, made: list[NewCard]) -> None:
    for _ in range(form.count.data or 0):
        # One by one: hashing a PIN takes long, and calls wait for whoever writes.
        with front.changing("card.make", account.code, account_id=account.id) as change:
            found = add_card(
                change.session,
                front.account(change.session, account.id),
                change.now_us,
                digits=form.digits.data or calling_cards.USUAL_PIN_DIGITS,
                name=form.name.data or "",
                expires_us=end_us,
            )
        made.append(found)


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/cards/<int:id>")
    @needs(Permission.ACCOUNTS_READ)
    def show(id: int) -> str:
        return _page(front, id, CallerForm(formdata=None))

    @section.post("/cards/<int:id>/callers")
    @needs(Permission.ACCOUNTS_WRITE)
    def known_caller(id: int) -> str | Response:
        form = CallerForm()
        with front.reading() as session:
            account_id = _card(session, front, id).account_id
        if form.validate_on_submit():
            with (
                refusals(form, "number") as refused,
                front.changing("card.caller", str(id), account_id=account_id) as change,
            ):
                add_known_caller(
                    change.session, _card(change.session, front, id), form.number.data or "", change.now_us
                )
            if not refused:
                flash(gettext("This caller needs no PIN where an access number allows that."))
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, form)

    @section.post("/cards/<int:id>/<any(block,unblock):do>")
    @needs(Permission.ACCOUNTS_WRITE)
    def block(id: int, do: str) -> Response:
        with front.reading() as session:
            account_id = _card(session, front, id).account_id
        work = calling_cards.block if do == "block" else calling_cards.unblock
        return done_at_once(
            front,
            f"card.{do}",
            str(id),
            lambda change: work(change.session, _card(change.session, front, id)),
            gettext("The card is blocked.") if do == "block" else gettext("The card may be used."),
            url_for(".show", id=id),
            account_id,
        )

    @section.route("/cards/<int:id>/pin", methods=["GET", "POST"])
    @needs(Permission.ACCOUNTS_WRITE)
    def pin(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            row = _card(session, front, id)
            account = session.get_one(AccountRow, row.account_id)
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            made = ""
            with (
                refusals(form) as refused,
                front.changing("card.pin", str(id), account_id=row.account_id) as change,
            ):
                made = calling_cards.new_pin(change.session, _card(change.session, front, id))
            if not refused:
                return render_template(
                    "panel/cards/made.html", made=[NewCard(id, made)], account=account, crumbs=_crumbs()
                )
        return form_page(
            form,
            gettext("Another PIN for card %(number)s", number=id),
            gettext("Make another PIN"),
            back,
            [*_crumbs(), (str(id), back)],
            warning=gettext("The PIN that it has opens nothing any more. The new one is shown once."),
        )

    @section.post("/cards/<int:id>/callers/remove")
    @needs(Permission.ACCOUNTS_WRITE)
    def forget_caller(id: int) -> Response:
        number = request.form.get("number", "")[:32]
        with front.reading() as session:
            account_id = _card(session, front, id).account_id

        def forget(session: Session) -> None:
            known = session.get(KnownCallerRow, number)
            if known is None or known.card_id != id:
                raise InputRefused(gettext("This caller does not stand for this card."))
            remove_known_caller(session, number)

        return done_at_once(
            front,
            "card.caller-removed",
            str(id),
            lambda change: forget(change.session),
            gettext("This caller is asked for a PIN from now on."),
            url_for(".show", id=id),
            account_id,
        )


def _page(front: Front, id: int, form: CallerForm) -> str:
    with front.reading() as session:
        row = _card(session, front, id)
        account = session.get_one(AccountRow, row.account_id)
        callers = list(
            session.scalars(
                select(KnownCallerRow).where(KnownCallerRow.card_id == id).order_by(KnownCallerRow.number)
            )
        )
    is_over = row.expires_us is not None and row.expires_us <= front.clock.now_us()
    return render_template(
        "panel/cards/show.html",
        row=row,
        account=account,
        callers=callers,
        form=form,
        crumbs=_crumbs(),
        state="expired" if is_over and row.state == "active" else row.state,
    )
