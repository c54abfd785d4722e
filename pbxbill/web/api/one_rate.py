"""One prefix of a deck: its rate corrected, added or ended, as a sheet of that one row does it."""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.money import compile_price, parse_decimal
from pbxbill.rating.sheet_profile import parse_increments
from pbxbill.store.models import RateDeckRow
from pbxbill.store.one_rate import RatePrices, Saying, read_prefix, upload_of_end, upload_of_rate
from pbxbill.store.rate_uploads import Upload, keep_upload, read_upload
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent, left_out
from pbxbill.web.api.objects import SentMoment, at_us, field, found, wrong
from pbxbill.web.api.rate_imports import TAG, RateImport, shown_import
from pbxbill.web.background import Background
from pbxbill.web.front import needs

Price = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,9})?$")]


class DeckPath(Sent):
    """A deck, by its id."""

    deck_id: Id


class RateEnd(Sent):
    """A prefix that is to have no rate of its own."""

    prefix: Annotated[str, StringConstraints(pattern=r"^(\*|\+?[0-9]{1,15})$")] = Field(
        examples=["4930"], description="`*` rates what no other prefix does."
    )
    effective: SentMoment = left_out("From when on. Left out: as soon as you agree.")
    backdate: bool = Field(default=False, description="That `effective` is past is meant.")


class RateChange(RateEnd):
    """What a prefix is to cost. Its bands and steps stay."""

    destination: Annotated[Line, StringConstraints(min_length=1, max_length=100)]
    price: Price = Field(examples=["0.02"], description="Per minute, or per what the deck measures.")
    connection_fee: Price = "0"
    minimum_charge: Price = "0"
    increments: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}/[0-9]{1,5}$")] = "1/1"
    free_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    against: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "A deck of yours by which it is sold: `preview` tells what is sold below cost."
    )


def one_rate(api: Api) -> None:
    """Changes of one rate: they become imports, which are looked at and agreed to."""
    front = api.front
    background = Background()

    def own(session: Session, id: int) -> RateDeckRow:
        return found(session, RateDeckRow, id, front.scope.issued(RateDeckRow.issuer_id))

    def kept(
        action: str, deck_id: int, body: RateEnd, made: Callable[[Session, RateDeckRow, str, Saying], Upload]
    ) -> Answer:
        with front.reading() as session:
            name = own(session, deck_id).name
        with api.writing(action, name) as change:
            session = change.session
            deck = own(session, deck_id)
            with field("prefix"):
                upload = made(
                    session, deck, read_prefix(body.prefix), _said(body, front.actor.name, change.now_us)
                )
                row = keep_upload(session, upload, change.now_us)
            id = row.id
            answer = change.done(shown_import(row, change.now_us), 202)
        database = front.desks.application.database
        background.start(f"rates-{id}", lambda: read_upload(database, id, front.clock))
        return answer

    @api.post("/decks/<int:deck_id>/rate-changes", RateImport, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def change_deck_rate(path: DeckPath, body: RateChange) -> Answer:
        """Correct the rate of one prefix, or add it. It waits as an import until you agree to it."""
        with field("increments"):
            first_s, following_s = parse_increments(body.increments)
        prices = RatePrices(
            body.destination,
            compile_price(parse_decimal(body.price)),
            compile_price(parse_decimal(body.connection_fee)),
            compile_price(parse_decimal(body.minimum_charge)),
            first_s,
            following_s,
            body.free_seconds,
        )
        return kept(
            "rates.one",
            path.deck_id,
            body,
            lambda session, deck, prefix, said: upload_of_rate(session, deck, prefix, prices, said),
        )

    @api.post("/decks/<int:deck_id>/rate-ends", RateImport, TAG, 202)
    @needs(Permission.CATALOGUE_WRITE)
    def end_deck_rate(path: DeckPath, body: RateEnd) -> Answer:
        """End the rate of one prefix. It waits as an import until you agree to it."""
        return kept("rates.end", path.deck_id, body, upload_of_end)


def _said(body: RateEnd, by: str, now_us: int) -> Saying:
    effective_us = at_us(body.effective)
    if effective_us is not None and effective_us < now_us and not body.backdate:
        raise wrong("effective", "is past; say by backdate that it is meant")
    against = body.against if isinstance(body, RateChange) else None
    return Saying(by, now_us, effective_us, against)
