"""/my/notices: of what the account is told, where to, when, and below which balance; and what was sent."""

from itertools import zip_longest
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField, SelectField
from wtforms.fields import Field
from wtforms.validators import ValidationError
from wtforms.widgets import TextInput

from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_profiles import (
    DIGEST_MINUTE,
    Delivery,
    addressee_of,
    choices_of,
    choose,
    delivery_of,
    forget_choice,
    set_delivery,
)
from pbxbill.billing.payments.balance_thresholds import set_thresholds, thresholds_of
from pbxbill.listing.listing import N_
from pbxbill.listing.own import OWN_MESSAGES
from pbxbill.notify.outbox import ONE_TIME_LINK
from pbxbill.store.accounts import unit_of
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.thresholds import DEFAULT, NOTICE
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import AmountField, LineField, PanelForm, at_most, refusals
from pbxbill.web.formatting import plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.portal.own import own_account, own_row, own_wallet, own_wallets

ABOUT: dict[NoticeKind, str] = {
    NoticeKind.LOW_BALANCE: N_("Your balance fell below a threshold"),
    NoticeKind.BALANCE_USED_UP: N_("Your balance is used up"),
    NoticeKind.TOP_UP: N_("Money came into your balance"),
    NoticeKind.PAYMENT: N_("A payment of yours arrived"),
    NoticeKind.PAYMENT_DECLINED: N_("A payment was declined"),
    NoticeKind.REFUND: N_("A payment was given back"),
    NoticeKind.CHARGE_BACK: N_("A bank took a payment back"),
    NoticeKind.INVOICE: N_("An invoice or another document was issued"),
    NoticeKind.OVERDUE: N_("An invoice is not paid in time"),
    NoticeKind.DUNNING: N_("A reminder of an open invoice"),
    NoticeKind.PROMISE_BROKEN: N_("A promised payment did not come"),
    NoticeKind.SUSPENSION: N_("Your account is barred or closed"),
    NoticeKind.REINSTATED: N_("Your account works again"),
    NoticeKind.RENEWAL_AHEAD: N_("A plan is renewed or ends soon"),
    NoticeKind.RENEWAL_DONE: N_("A plan was renewed"),
    NoticeKind.RENEWAL_FAILED: N_("A plan could not be renewed"),
    NoticeKind.EXPIRY_AHEAD: N_("Your balance or account ends soon"),
    NoticeKind.CARD_EXPIRING: N_("A saved card expires"),
    NoticeKind.REQUEST_DECIDED: N_("A wish about a plan was decided"),
    NoticeKind.SPEND_LIMIT: N_("A spending limit was reached"),
    NoticeKind.NEW_COUNTRY: N_("A call to a country that you never called before"),
    NoticeKind.AUTO_TOP_UP_STOPPED: N_("The automatic top-up gave up"),
    NoticeKind.POINTS_EXPIRING: N_("Points expire soon"),
}


class MinuteField(Field):
    """A time of the day; its data is the minute."""

    widget = TextInput(input_type="time")

    def process_formdata(self, valuelist: list[Any]) -> None:
        written = str(valuelist[0]).strip() if valuelist else ""
        self.data = None
        if not written:
            return
        hours, colon, minutes = written[:5].partition(":")
        if not (
            colon and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60
        ):
            raise ValueError(gettext("Write the time like 22:00."))
        self.data = int(hours) * 60 + int(minutes)

    def _value(self) -> str:
        return "" if self.data is None else f"{self.data // 60:02}:{self.data % 60:02}"


class ChoiceForm(PanelForm):
    """Whether one kind is told, and where to."""

    on = BooleanField(lazy_gettext("Tell me of this"))
    emails = LineField(
        lazy_gettext("To these addresses"),
        [at_most(2_000)],
        description=lazy_gettext("Separated by commas. Empty: to the address for invoices."),
    )
    edition = EditionField()


class TimesForm(PanelForm):
    """When what is not urgent is sent."""

    quiet_from = MinuteField(lazy_gettext("Nothing from"))
    quiet_to = MinuteField(lazy_gettext("until"))
    digest = SelectField(
        lazy_gettext("What is not urgent comes"),
        choices=[
            ("", lazy_gettext("at once, each by itself")),
            ("daily", lazy_gettext("once a day, together")),
        ],
    )
    digest_at = MinuteField(lazy_gettext("at"))
    edition = EditionField()

    def validate_quiet_to(self, field: MinuteField) -> None:
        """Both or none."""
        if (field.data is None) != (self.quiet_from.data is None):
            raise ValidationError(gettext("Quiet hours have a beginning and an end."))


def notices(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("my_notices", __name__)
    add_list(
        section,
        front,
        ListPage(
            OWN_MESSAGES,
            "/notices/sent",
            link="my_notices.message",
            endpoint="sent",
            template="portal/notices/sent.html",
            empty=(N_("Nothing was sent to you yet"), N_("Messages appear here as they are written.")),
        ),
    )

    @section.get("/notices")
    @needs(Permission.OWN_READ)
    def show() -> str:
        with front.reading() as session:
            account = own_account(front, session)
            told = [(kind, addressee_of(session, account.id, kind)) for kind in ABOUT]
            wallets = [
                (x, [y.below for y in thresholds_of(session, x.id) if y.purpose in (NOTICE, DEFAULT)])
                for x in own_wallets(front, session)
            ]
            delivery = delivery_of(session, account.id)
        return render_template(
            "portal/notices/show.html",
            about=ABOUT,
            told=told,
            is_reached=any(who.emails for _, who in told),
            kinds=KINDS,
            delivery=delivery,
            wallets=wallets,
        )

    @section.get("/notices/sent/<int:id>")
    @needs(Permission.OWN_READ)
    def message(id: int) -> str:
        with front.reading() as session:
            row = own_row(front, session, MessageRow, id)
        if row.channel != "mail":
            abort(404)
        # A link that opens somebody's access is for him alone.
        is_secret = row.kind == ONE_TIME_LINK
        return render_template("portal/notices/message.html", row=row, is_secret=is_secret)

    _add_choices(section, front)
    _add_times(section, front)
    _add_thresholds(section, front)
    return section


def _add_choices(section: Blueprint, front: Front) -> None:
    @section.route(f"/notices/<any({', '.join(sorted(ABOUT))}):kind>", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def choice(kind: str) -> str | Response:
        of = NoticeKind(kind)
        form = ChoiceForm()
        with front.reading() as session:
            account = own_account(front, session)
            facts = _choice_facts(session, account.id, of)
        if KINDS[of].required:
            del form.on
        if request.method == "GET":
            if "on" in form:
                form.on.data = facts["on"] == "yes"
            form.emails.data = facts["emails"].replace("\n", ", ")
            form.edition.data = edition_of(facts)
        if form.validate_on_submit():
            with (
                refusals(form, "emails") as refused,
                front.changing("notice.choose", kind, account_id=account.id) as change,
            ):
                check_edition(form, _choice_facts(change.session, account.id, of))
                is_on = form.on.data if "on" in form else True
                emails = (form.emails.data or "").replace(",", " ").replace(";", " ").split()
                if is_on and not emails:
                    forget_choice(change.session, account.id, of)
                else:
                    choose(change.session, account.id, of, enabled=is_on, emails=emails)
            if not refused:
                flash(gettext("Saved: you are told like that from now on."))
                return redirect(url_for("my_notices.show"), 303)
        return render_template("portal/notices/choice.html", form=form, about=gettext(ABOUT[of]))


def _choice_facts(session: Session, account_id: int, kind: NoticeKind) -> dict[str, str]:
    row = choices_of(session, account_id).get(kind)
    return {
        "on": "yes" if row is None or row.enabled else "no",
        "emails": "" if row is None else row.emails,
    }


def _add_times(section: Blueprint, front: Front) -> None:
    @section.route("/notices/times", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def times() -> str | Response:
        form = TimesForm()
        with front.reading() as session:
            account = own_account(front, session)
            now = delivery_of(session, account.id)
            zone = addressee_of(session, account.id, NoticeKind.INVOICE).zone
        if request.method == "GET":
            form.quiet_from.data, form.quiet_to.data = now.quiet_from, now.quiet_to
            form.digest.data, form.digest_at.data = now.digest, now.digest_minute
            form.edition.data = edition_of(_times_facts(now))
        if form.validate_on_submit():
            wanted = Delivery(
                form.quiet_from.data,
                form.quiet_to.data,
                form.digest.data,
                DIGEST_MINUTE if form.digest_at.data is None else form.digest_at.data,
            )
            with (
                refusals(form, "quiet_from") as refused,
                front.changing("notice.times", account.code, account_id=account.id) as change,
            ):
                check_edition(form, _times_facts(delivery_of(change.session, account.id)))
                set_delivery(change.session, account.id, wanted)
            if not refused:
                flash(gettext("Saved: you are told at these times from now on."))
                return redirect(url_for("my_notices.show"), 303)
        return render_template("portal/notices/times.html", form=form, zone=str(zone))


def _times_facts(now: Delivery) -> dict[str, str | None]:
    facts = {
        "quiet_from": now.quiet_from,
        "quiet_to": now.quiet_to,
        "digest": now.digest,
        "digest_at": now.digest_minute,
    }
    return {name: "" if value is None else str(value) for name, value in facts.items()}


class ThresholdsForm(PanelForm):
    """Below which balances somebody is told."""

    first = AmountField(lazy_gettext("Tell me when less is left than"), least=0)
    second = AmountField(lazy_gettext("and than"), least=0)
    third = AmountField(lazy_gettext("and than"), least=0)
    fourth = AmountField(lazy_gettext("and than"), least=0)
    fifth = AmountField(lazy_gettext("and than"), least=0)
    edition = EditionField()


def _add_thresholds(section: Blueprint, front: Front) -> None:
    names = ("first", "second", "third", "fourth", "fifth")

    @section.route("/notices/balance/<unit>", methods=["GET", "POST"])
    @needs(Permission.OWN_WRITE)
    def thresholds(unit: str) -> str | Response:
        form = ThresholdsForm()

        def facts(below: list[int]) -> dict[str, str]:
            """What was set for this wallet alone, by field."""
            kept = [plain_amount(x, unit) for x in below[: len(names)]]
            return dict(zip_longest(names, kept, fillvalue=""))

        with front.reading() as session:
            account = own_account(front, session)
            wallet = own_wallet(front, session, unit)
            found = thresholds_of(session, wallet.id)
            for name in names:
                form[name].unit = unit_of(session, unit)
        own = [x.below for x in found if x.purpose == NOTICE]
        shown = own or [x.below for x in found if x.purpose == DEFAULT]
        if request.method == "GET":
            for name, below in zip(names, shown, strict=False):
                form[name].data = below
            form.edition.data = edition_of(facts(own))
        if form.validate_on_submit():
            with (
                refusals(form, "first") as refused,
                front.changing("notice.thresholds", account.code, account_id=account.id) as change,
            ):
                wallet = own_wallet(front, change.session, unit)
                now = [x.below for x in thresholds_of(change.session, wallet.id) if x.purpose == NOTICE]
                check_edition(form, facts(now))
                # What the form has no room for stays.
                amounts = [form[name].data for name in names if form[name].data is not None]
                amounts += now[len(names) :]
                set_thresholds(change.session, wallet, NOTICE, amounts, change.now_us)
            if not refused:
                flash(gettext("Saved: you are told below these balances from now on."))
                return redirect(url_for("my_notices.show"), 303)
        return render_template("portal/notices/thresholds.html", form=form, unit=unit, names=names)
