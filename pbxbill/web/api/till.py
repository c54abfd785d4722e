"""The till: what a key took in a day, vouchers sold as they are made, and sheets of codes to be cut.

Cash is taken by `/accounts/ID/top-ups` and `/accounts/ID/payments`.
"""

import base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.codes.voucher_batches import NewBatch, facts_of, make_and_tell, open_batch
from pbxbill.billing.codes.voucher_file import Printed
from pbxbill.billing.codes.voucher_sheet import sheets
from pbxbill.clock import SECOND_US
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.listing.till import MAX_SHOWN, RECEIVED, SOLD, TAKEN_BACK, TILL, day_of_till
from pbxbill.store.models import AccountRow
from pbxbill.store.payment_models import VoucherBatchRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Moment, Money, Sent, SentMoney, left_out, moment, money
from pbxbill.web.api.idempotency import digest_of
from pbxbill.web.api.listed import ZONE
from pbxbill.web.api.objects import SentDay, field, found, issuer
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.vouchers import TAG as VOUCHERS
from pbxbill.web.api.vouchers import BatchPath, VoucherCode
from pbxbill.web.front import needs

TAG = "Till"
MOST_SOLD, MOST_ON_SHEETS = 50, 500


class DayQuery(Sent):
    """Of which day, and by whom."""

    day: SentDay = left_out("In UTC. Default: today.")
    by: Annotated[Line, StringConstraints(max_length=64)] = left_out(
        f"Log-in or name of a key. Default: this key. Another's needs {Permission.PAYMENTS_CORRECT}."
    )


class TakenShown(BaseModel):
    """Money that was received."""

    entry: str
    receipt: str
    account: str
    at: Moment
    money: Money
    how: str
    taken_back: bool


class GivenBack(BaseModel):
    """Money that was taken back on this day, whenever it was received."""

    entry: str
    receipt: str = Field(description="Of what was received.")
    account: str
    at: Moment
    money: Money = Field(description="Below zero.")
    how: str


class Otherwise(BaseModel):
    """What was taken in another way than cash."""

    method: str
    money: Money


class SoldShown(BaseModel):
    """Vouchers that were sold together."""

    batch: str
    at: Moment
    count: int
    money: Money = Field(description="What they cost together.")


class TillDay(BaseModel):
    """A day of the till."""

    day: str
    by: str
    taken: list[TakenShown] = Field(description=f"The newest {MAX_SHOWN} of all lines; sums have all.")
    given_back: list[GivenBack]
    sold: list[SoldShown]
    sums: list[Money] = Field(description="What should be in it: cash, without what was taken back.")
    beside: list[Otherwise] = Field(description="What was taken by card, cheque, bank or otherwise.")


class Sale(Sent):
    """Vouchers that somebody buys."""

    value: SentMoney = Field(description="Of each.")
    count: Annotated[int, Field(ge=1, le=MOST_SOLD)] = 1


class SoldCodes(BaseModel):
    """What was sold: the codes are shown this once, and kept nowhere."""

    batch_id: int
    total: Money
    items: list[VoucherCode]


class SentVoucher(Sent):
    """A voucher to be printed."""

    serial: Annotated[int, Field(ge=1, le=10**9)]
    code: Annotated[str, StringConstraints(pattern="^[0-9]{4,24}$")]


class SentSheets(Sent):
    """Codes of a batch, as they were told, to be printed."""

    items: Annotated[list[SentVoucher], Field(min_length=1, max_length=MOST_ON_SHEETS)]
    language: Literal["en", "fr", "es"] = "en"
    note: Annotated[Line, StringConstraints(max_length=200)] = Field(default="", description="On each.")


class Sheet(BaseModel):
    """A file of sheets."""

    name: str
    content: str = Field(description="PDF, in base64.", json_schema_extra={"contentEncoding": "base64"})


class Sheets(BaseModel):
    """Codes, laid out to be cut."""

    items: list[Sheet]


def till(api: Api) -> None:
    """The day, and vouchers sold."""
    front = api.front

    @api.get("/till", TillDay, TAG)
    @needs(Permission.PAYMENTS_TAKE)
    def get_till(query: DayQuery) -> TillDay:
        """What was taken in a day: receipts, what was taken back, vouchers, with their sums."""
        sent: Any = query
        day = _today(front.clock.now_us()).isoformat() if sent.day is None else str(sent.day)
        by = front.actor.name if sent.by is None else sent.by
        if by != front.actor.name and not front.actor.may(Permission.PAYMENTS_CORRECT):
            raise Refused(403, f"What others took is shown to keys with {Permission.PAYMENTS_CORRECT}.")
        with front.reading() as session:
            done = day_of_till(session, front.scope, by, day, ZONE)
            units = units_by_code(session)

        def paid(x: Mapping[str, Any]) -> dict[str, Any]:
            return {"at": moment(x["at_us"]), "money": money(x["amount"], units[x["unit"]])}

        def received(x: Mapping[str, Any]) -> dict[str, Any]:
            named = {"entry": x["id"], "receipt": x["number"] or "", "account": x["account"]}
            return named | paid(x) | {"how": x["memo"]}

        def of(what: str) -> list[Mapping[str, Any]]:
            return [x for x in done.lines if x["what"] == what]

        return TillDay(
            day=day,
            by=by,
            taken=[TakenShown(**received(x), taken_back=bool(x["is_taken_back"])) for x in of(RECEIVED)],
            given_back=[GivenBack(**received(x)) for x in of(TAKEN_BACK)],
            sold=[SoldShown(batch=x["memo"], count=x["count"], **paid(x)) for x in of(SOLD)],
            sums=[money(amount, units[unit]) for unit, amount in done.sums.items()],
            beside=[Otherwise(method=how, money=money(x, units[unit])) for unit, how, x in done.beside],
        )

    @api.post("/till/vouchers", SoldCodes, TAG)
    @needs(Permission.VOUCHERS_SELL)
    def sell_vouchers(body: Sale) -> Answer:
        """Make vouchers and sell them. The same key gets the same codes for two days.

        409: it was cut off once the codes were made; nobody has them: block the batch, and sell others.
        """
        with front.changing("voucher.sell", body.value.currency) as opening:
            with field("value"):
                amount, unit = body.value.of(opening.session)
                batch = _opened(opening.session, unit.code, amount, opening.now_us, body.count)
                batch_id = batch.id
            if batch.state != "making":
                raise Refused(409, f"Batch {batch_id} was made, and its codes were not told.")
        printed = make_and_tell(front.desks.application.database, batch_id)
        with api.writing("voucher.codes", f"{unit.code} {batch_id}") as change:
            items = [VoucherCode(serial=x.serial, code=x.code) for x in printed]
            total = money(amount * body.count, unit)
            return change.done(SoldCodes(batch_id=batch_id, total=total, items=items), 201)

    def _opened(session: Session, unit: str, value: int, now_us: int, count: int) -> VoucherBatchRow:
        """The batch of this request: what was cut off goes on."""
        seller = issuer(session, front.scope)
        name = TILL + digest_of(api.cause())[:40]
        known = session.scalar(
            select(VoucherBatchRow).where(
                VoucherBatchRow.issuer_id == seller.id, VoucherBatchRow.name == name
            )
        )
        if known is not None:
            return known
        new = NewBatch(name, unit, value, count, now_us, by=front.actor.name)
        return open_batch(session, seller, new, now_us)

    _declare_sheets(api)


def _declare_sheets(api: Api) -> None:
    front = api.front

    @api.post("/voucher-batches/<int:batch_id>/sheets", Sheets, VOUCHERS, 200)
    @needs(Permission.VOUCHERS_WRITE)
    def print_vouchers(path: BatchPath, body: SentSheets) -> Sheets:
        """Lay codes of a batch out on sheets to be cut, as PDF. Send them along: they are kept nowhere."""
        with front.reading() as session:
            own = kept_by_sellers(front.scope, VoucherBatchRow.issuer_id)
            batch = found(session, VoucherBatchRow, path.batch_id, own)
            facts = facts_of(session, batch)
            seller = session.get_one(AccountRow, batch.issuer_id).name
        made = sheets(
            facts,
            [Printed(x.serial, x.code) for x in body.items],
            seller=seller,
            created_on=_today(front.clock.now_us()),
            language=body.language,
            note=body.note,
        )
        return Sheets(
            items=[
                Sheet(name=f"batch-{batch.id}-{number}.pdf", content=base64.b64encode(content).decode())
                for number, content in enumerate(made, 1)
            ]
        )


def _today(now_us: int) -> date:
    return datetime.fromtimestamp(now_us // SECOND_US, UTC).date()
