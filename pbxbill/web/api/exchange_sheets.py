"""Exchange rates from a file: looked at first, then written; rows that cannot be used are kept aside."""

import io

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.units import exchange_text
from pbxbill.rating.exchange_sheet import ExchangeSheet
from pbxbill.store.exchange import ExchangeWriter, read_rates
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Moment, Sent, left_out, moment
from pbxbill.web.api.objects import SentMoment, at_us, field
from pbxbill.web.api.settings import TAG, operators_only
from pbxbill.web.api.uploads import content_of, request_bytes, sent_file
from pbxbill.web.front import needs

MAX_SHEET_BYTES = 200_000
SHOWN = 100
IMPORT = "/exchange-rates/import"


class SentExchangeSheet(Sent):
    """A list of exchange rates."""

    file: sent_file(MAX_SHEET_BYTES) = Field(  # type: ignore[valid-type]  # of a size
        description=f"CSV in base64, up to {MAX_SHEET_BYTES:,} bytes: the columns from, to, rate, and "
        "perhaps effective_from."
    )
    since: SentMoment = left_out("Rows without a date count from then on. Default: at once.")


class SheetRate(BaseModel):
    """A rate of the list."""

    from_unit: str
    to_unit: str
    rate: str
    since: Moment


class ExchangeSheetRead(BaseModel):
    """What a list sets, or did set."""

    rates: int
    first_rates: list[SheetRate] = Field(description=f"Up to {SHOWN}.")
    refused: int = Field(description="Rows that cannot be used; no other waits for them.")
    kept_aside: str = Field(
        description="They, as CSV with line and reason: to be corrected and sent. Empty: there are none."
    )


def exchange_sheets(api: Api) -> None:
    """What all share is the operator's to change."""
    front = api.front
    for rule in (IMPORT, f"{IMPORT}/preview"):
        api.take_larger(rule, request_bytes(MAX_SHEET_BYTES))

    def read(session: Session, body: SentExchangeSheet, now_us: int, *, write: bool) -> ExchangeSheetRead:
        writer = ExchangeWriter(session, front.actor.name, now_us)
        with field("file"):
            sheet = ExchangeSheet(io.BytesIO(content_of(body.file, "file", MAX_SHEET_BYTES)))
            found = read_rates(writer, sheet, at_us(body.since, now_us) or now_us, write=write)
        aside = io.StringIO()
        if found.refused:
            sheet.write_refused(aside, found.refused)
        return ExchangeSheetRead(
            rates=len(found.rates),
            first_rates=[
                SheetRate(
                    from_unit=x.from_unit,
                    to_unit=x.to_unit,
                    rate=exchange_text(x.rate),
                    since=moment(x.effective_from_us),
                )
                for x in found.rates[:SHOWN]
            ],
            refused=len(found.refused),
            kept_aside=aside.getvalue(),
        )

    @api.post(f"{IMPORT}/preview", ExchangeSheetRead, TAG, 200)
    @needs(Permission.SETTINGS_WRITE)
    def preview_exchange_rates(body: SentExchangeSheet) -> ExchangeSheetRead:
        """What a list would set; nothing is written. Only the operator does."""
        operators_only(front)
        with front.reading() as session:
            return read(session, body, front.clock.now_us(), write=False)

    @api.post(IMPORT, ExchangeSheetRead, TAG)
    @needs(Permission.SETTINGS_WRITE)
    def import_exchange_rates(body: SentExchangeSheet) -> Answer:
        """Set the exchange rates of a list. Only the operator does.

        Charges keep the rate that they were made by; a pair that has a rate of the very moment keeps it.
        """
        operators_only(front)
        with api.writing("exchange.import", "") as change:
            return change.done(read(change.session, body, change.now_us, write=True), 201)
