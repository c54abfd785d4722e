"""Rate decks: versions, their rates, and all rates of one as a sheet that can be imported again."""

from flask import Response
from pydantic import BaseModel
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.decks import DECK_VERSIONS, DECKS, visible_decks
from pbxbill.listing.rates import RATES
from pbxbill.store.deck_export import csv_lines
from pbxbill.store.models import DeckVersionRow, RateDeckRow
from pbxbill.web.api.api import Api, File
from pbxbill.web.api.fields import Id, Sent
from pbxbill.web.api.listed import declare_file, declare_item, declare_list
from pbxbill.web.api.objects import found
from pbxbill.web.api.problems import Refused
from pbxbill.web.front import needs

TAG = "Rates"
SHEET = File("text/csv", "Every rate of the version, with a heading.")


class VersionPath(Sent):
    """A deck's version, by its id."""

    version_id: Id


def decks(api: Api) -> None:
    """Decks that the key's account made, and those that it is charged by."""
    front = api.front
    types = declare_list(api, "/decks", DECKS, TAG)
    declare_item(api, "/decks/<int:deck_id>", types, TAG, "get_deck", "One deck.")
    versions = declare_list(api, "/deck-versions", DECK_VERSIONS, TAG)
    declare_list(api, "/rates", RATES, TAG)
    declare_file(api, "/rates.csv", RATES, TAG)

    def seen(session: Session, id: int) -> DeckVersionRow:
        version = session.get(DeckVersionRow, id)
        if version is None or not version.rate_count:
            raise Refused(404)
        found(session, RateDeckRow, version.deck_id, visible_decks(session, front.scope))
        return version

    @api.get("/deck-versions/<int:version_id>", versions.item, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_deck_version(path: VersionPath) -> BaseModel:
        """One version of a deck; `/rates?version=ID` are its rates."""
        with front.reading() as session:
            return versions.shown(session, front.scope, path.version_id)

    @api.get("/deck-versions/<int:version_id>/sheet.csv", SHEET, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_rate_sheet(path: VersionPath) -> Response:
        """All rates of a version, as a sheet that can be imported again."""
        with front.reading() as session:
            version = seen(session, path.version_id)
        return Response(csv_lines(front.desks.application.database, version.id), mimetype="text/csv")
