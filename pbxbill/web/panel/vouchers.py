"""Vouchers: batches made, their codes handed out once as a file, blocked, looked up by serial, redeemed."""

import io
import re
import tempfile
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, flash, redirect, render_template, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import money_units
from pbxbill.billing.codes.voucher_batches import (
    NewBatch,
    block_batch,
    block_serials,
    facts_of,
    make_vouchers,
    open_batch,
    statistics,
)
from pbxbill.billing.codes.voucher_codes import FEWEST_DIGITS
from pbxbill.billing.codes.voucher_file import VoucherFile
from pbxbill.billing.codes.voucher_sheet import sheets
from pbxbill.billing.codes.vouchers import TOLD, NotRedeemed, redeem
from pbxbill.billing.parties import issuer_of
from pbxbill.billing.period import day_start_us
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.listing.vouchers import BATCHES, VOUCHERS
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow
from pbxbill.web.fields import refusals, sentence
from pbxbill.web.formatting import moment, plain_amount
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import account_asked, find_page, form_page, give_units, issuer, tabs_of
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.voucher_forms import MOST_HERE, BatchForm, CodesForm, RedeemForm, SerialsForm

MOST_CARDS = 500
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


def vouchers(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("vouchers", __name__)
    _add_lists(section, front)
    _add_making(section, front)
    _add_page(section, front)
    _add_redeeming(section, front)
    return section


def voucher_tabs(front: Front) -> list[tuple[str, str, str]]:
    """What people are given besides money, and pay with."""
    return tabs_of(
        front,
        ("batches", gettext("Batches"), "vouchers.listed", "vouchers:read"),
        ("serials", gettext("By serial"), "vouchers.serials", "vouchers:read"),
        ("cards", gettext("Calling cards"), "cards.listed", "accounts:read"),
        ("callers", gettext("Known callers"), "cards.callers", "accounts:read"),
        ("points", gettext("Points"), "points.listed", "catalogue:read"),
        ("referrals", gettext("Referrals"), "points.referrals", "accounts:read"),
    )


def _add_lists(section: Blueprint, front: Front) -> None:
    add_list(
        section,
        front,
        ListPage(
            BATCHES,
            "/vouchers",
            link="vouchers.show",
            template="panel/payments/tabbed.html",
            empty=(
                N_("There is no batch of vouchers yet"),
                N_("Make one, print its codes and sell them: each fills a wallet once."),
            ),
            actions=(
                (N_("New batch"), "vouchers.new", Permission.VOUCHERS_WRITE),
                (N_("Redeem a voucher"), "vouchers.redeem_one", Permission.VOUCHERS_SELL),
            ),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "batches"},
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            VOUCHERS,
            "/vouchers/serials",
            endpoint="serials",
            link=lambda row: url_for("vouchers.show", id=row["batch_id"]),
            template="panel/payments/tabbed.html",
            empty=(N_("There is no voucher yet"), N_("Vouchers are made in batches.")),
            more=lambda: {"tabs": voucher_tabs(front), "tab": "serials"},
        ),
    )


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Vouchers"), url_for("vouchers.listed"))]


def _batch(session: Session, front: Front, id: int) -> VoucherBatchRow:
    return front.one(
        session,
        select(VoucherBatchRow).where(
            VoucherBatchRow.id == id, kept_by_sellers(front.scope, VoucherBatchRow.issuer_id)
        ),
    )


def _add_making(section: Blueprint, front: Front) -> None:
    @section.route("/vouchers/new", methods=["GET", "POST"])
    @needs(Permission.VOUCHERS_WRITE)
    def new() -> str | AnyResponse:
        form = BatchForm()
        with front.reading() as session:
            give_units(form, {x.code: x for x in money_units(session)})
        if form.validate_on_submit():
            made = 0
            with refusals(form) as refused, front.changing("voucher.batch", form.name.data or "") as change:
                seller = issuer(change.session, front)
                zone = issuer_of(change.session, seller.id).zone
                wanted = _wanted(form, zone, change.now_us, front.actor.name)
                made = open_batch(change.session, seller, wanted, change.now_us).id
            if not refused:
                return redirect(url_for(".show", id=made), 303)
        return form_page(
            form, gettext("New batch of vouchers"), gettext("Make the batch"), url_for(".listed"), _crumbs()
        )

    @section.post("/vouchers/<int:id>/codes")
    @needs(Permission.VOUCHERS_WRITE)
    def codes(id: int) -> AnyResponse:
        form = CodesForm()
        with front.reading() as session:
            batch = _batch(session, front, id)
        back = redirect(url_for(".show", id=id), 303)
        if not form.validate_on_submit():
            flash(gettext("The line on each card has up to 80 characters."), "bad")
            return back
        most = MOST_CARDS if form.form.data == "cards" else MOST_HERE
        if batch.state != "making" or batch.count > most:
            flash(
                gettext("Its codes were handed out already: they are nowhere on the server.")
                if batch.state != "making"
                else gettext("Up to %(most)d vouchers are handed out so.", most=most),
                "bad",
            )
            return back
        try:
            answer = _handed_out(front, batch, form)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
            return back
        with front.changing("voucher.codes", batch.name):
            pass  # they are made in transactions of their own
        return answer


def _wanted(form: BatchForm, zone: str, now_us: int, by: str) -> NewBatch:
    first: date | None = form.from_day.data
    last: date | None = form.to_day.data
    return NewBatch(
        name=form.name.data or "",
        unit=form.unit.data,
        value=form.amount.data or 0,
        count=form.count.data or 0,
        from_us=day_start_us(first, zone) if first else now_us,
        to_us=day_start_us(date.fromordinal(last.toordinal() + 1), zone) - 1 if last else None,
        validity_days=form.validity_days.data,
        digits=form.digits.data or FEWEST_DIGITS,
        by=by,
    )


def _handed_out(front: Front, batch: VoucherBatchRow, form: CodesForm) -> Response:
    """Make the codes of a batch and answer with them: they are kept nowhere."""
    database = front.desks.application.database
    name = _UNSAFE.sub("-", batch.name).strip("-") or f"batch-{batch.id}"
    with front.reading() as session:
        facts = facts_of(session, batch)
        seller = session.get_one(AccountRow, batch.issuer_id).name
    with tempfile.TemporaryDirectory(prefix="vouchers-") as folder:
        path = Path(folder) / f"{name}.csv"
        file = VoucherFile(path, facts, new=True)
        try:
            make_vouchers(database, batch.id, file)
            printed = list(file.vouchers())
        finally:
            file.close()
        table = path.read_bytes()
    if form.form.data == "csv":
        return _download(table, f"{name}.csv", "text/csv")
    today = datetime.fromtimestamp(front.clock.now_us() // SECOND_US, UTC).date()
    made = sheets(
        facts,
        printed,
        seller=seller,
        created_on=today,
        language=form.language.data,
        note=form.note.data or "",
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", table)
        for number, content in enumerate(made, 1):
            archive.writestr(f"{name}-{number}.pdf", content)
    return _download(packed.getvalue(), f"{name}.zip", "application/zip")


def _download(content: bytes, name: str, kind: str) -> Response:
    return Response(content, mimetype=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/vouchers/<int:id>")
    @needs(Permission.VOUCHERS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _batch(session, front, id)
            counted = statistics(session, [row], front.clock.now_us())[id]
            owner = session.get_one(AccountRow, row.issuer_id)
        return render_template(
            "panel/vouchers/show.html",
            row=row,
            counted=counted,
            issuer=owner,
            form=CodesForm(formdata=None),
            crumbs=_crumbs(),
            most=MOST_HERE,
        )

    @section.route("/vouchers/<int:id>/<any(block,unblock):do>", methods=["GET", "POST"])
    @needs(Permission.VOUCHERS_WRITE)
    def block(id: int, do: str) -> str | AnyResponse:
        form = SerialsForm()
        blocked = do == "block"
        with front.reading() as session:
            row = _batch(session, front, id)
        back = url_for(".show", id=id)
        if form.validate_on_submit():
            count: int | None = None
            with refusals(form) as refused, front.changing(f"voucher.{do}", row.name) as change:
                _batch(change.session, front, id)
                count = _blocked(change.session, id, form, blocked=blocked)
            if not refused:
                if count is None:
                    flash(
                        gettext("The batch is blocked.")
                        if blocked
                        else gettext("The batch is worth something again.")
                    )
                else:
                    flash(gettext("%(count)d vouchers are changed.", count=count))
                return redirect(back, 303)
        told = (
            gettext("What is blocked brings nothing to who redeems it. What is redeemed already stays so.")
            if blocked
            else gettext("What is unblocked can be redeemed by whoever has its code.")
        )
        return form_page(
            form,
            gettext("Block vouchers of %(name)s", name=row.name)
            if blocked
            else gettext("Unblock vouchers of %(name)s", name=row.name),
            gettext("Block them") if blocked else gettext("Unblock them"),
            back,
            [*_crumbs(), (row.name, back)],
            warning=told,
        )


def _blocked(session: Session, id: int, form: SerialsForm, *, blocked: bool) -> int | None:
    """How many vouchers changed; None: the batch did."""
    first = form.first.data
    if first is None:
        if form.last.data is not None:
            raise InputRefused(gettext("say from which serial on"))
        block_batch(session, id, blocked=blocked)
        return None
    return block_serials(session, id, first, form.last.data or first, blocked=blocked)


def _add_redeeming(section: Blueprint, front: Front) -> None:
    @section.route("/vouchers/redeem", methods=["GET", "POST"])
    @needs(Permission.VOUCHERS_SELL)
    def redeem_one() -> str | AnyResponse:
        title = gettext("Redeem a voucher")
        form = RedeemForm()
        with front.reading() as session:
            account = account_asked(session, front)
            if account is None:
                return find_page(title, url_for(".listed"), _crumbs())
        if form.validate_on_submit():
            outcome: Any = None
            with (
                refusals(form, "code") as refused,
                front.changing("voucher.redeem", account.code, account_id=account.id) as change,
            ):
                # Wrong tries are counted: what was not redeemed is committed as well.
                outcome = redeem(
                    change.session,
                    change.books,
                    front.account(change.session, account.id),
                    form.code.data or "",
                    channel="panel",
                    by=front.actor.name,
                    now_us=change.now_us,
                )
            if isinstance(outcome, NotRedeemed):
                why = sentence(gettext(TOLD[outcome.why]))
                until = gettext("Until %(when)s.", when=moment(outcome.until_us)) if outcome.until_us else ""
                form.code.errors = [" ".join(filter(None, (why, until)))]
            elif not refused:
                flash(
                    gettext(
                        "%(amount)s came into the wallet of %(code)s.",
                        amount=plain_amount(outcome.amount, outcome.unit),
                        code=account.code,
                    )
                )
                return redirect(url_for("payments.show", entry=outcome.entry_id), 303)
        return form_page(
            form,
            title,
            gettext("Redeem"),
            url_for(".listed"),
            _crumbs(),
            lead=gettext("Its value comes into the wallet of %(name)s.", name=account.name),
        )
