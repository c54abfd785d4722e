"""Rate decks: versions, their rates, and the way out as a sheet that can be imported again."""

from tempfile import NamedTemporaryFile
from typing import Any

from flask import Blueprint, Response, abort, g, render_template, request
from flask_babel import gettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.listing.decks import DECK_VERSIONS, DECKS, prices_for, visible_decks, visible_tariffs
from pbxbill.listing.listing import N_, Asked, page_of
from pbxbill.listing.rates import RATES
from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.deck_export import MAX_XLSX_ROWS, csv_lines, write_sheet_as
from pbxbill.store.deck_lookup import version_in_force
from pbxbill.store.models import DeckVersionRow, RateDeckRow, TariffRow, TariffVersionRow
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.one_rate import add_one_rate, rate_link

VERSIONS_SHOWN = 25
CHUNK_BYTES = 64 * 1024
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def decks(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("decks", __name__)
    add_list(
        section,
        front,
        ListPage(
            DECKS,
            "/decks",
            link="decks.show",
            empty=(
                N_("There is no rate deck yet"),
                N_("A deck is a price list by prefix. Import one from a CSV or XLSX file."),
            ),
            actions=((N_("Import rates"), "rate_imports.new", Permission.CATALOGUE_WRITE),),
        ),
    )

    @section.get("/decks/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        now_us = front.clock.now_us()
        with front.reading() as session:
            deck = deck_seen(session, front, id)
            own = deck.issuer_id == front.scope.account_id
            versions = page_of(
                session, DECK_VERSIONS, front.scope, Asked({"deck": str(id)}, size=VERSIONS_SHOWN)
            )
            in_force = version_in_force(session, id, now_us)
            return render_template(
                "panel/decks/show.html",
                deck=deck,
                own=own,
                per=prices_for(deck.measure, deck.per),
                listing=DECK_VERSIONS,
                versions=versions,
                in_force=in_force,
                now_us=now_us,
                tariffs=_tariffs_on(session, front, id),
                imports=_imports(session, front, deck) if own else [],
            )

    add_list(
        section,
        front,
        ListPage(
            RATES,
            "/decks/versions/<int:version_id>/rates",
            endpoint="rates",
            template="panel/decks/rates.html",
            link=lambda row: _rate_link(front, row),
            given=lambda: {"version": str(_seen_version(front)[0].id)},
            more=lambda: {"version": _seen_version(front)[0], "deck": _seen_version(front)[1]},
        ),
    )

    add_one_rate(section, front)

    @section.get("/decks/versions/<int:version_id>/sheet.<any(csv, xlsx):ending>")
    @needs(Permission.CATALOGUE_READ)
    def sheet(version_id: int, ending: str) -> Response:
        version, deck = _seen_version(front)
        name = f"{_file_name(deck.name)}-{version.number}.{ending}"
        head = {"Content-Disposition": f'attachment; filename="{name}"'}
        database = front.desks.application.database
        if ending == "csv":
            return Response(csv_lines(database, version_id), mimetype="text/csv", headers=head)
        if version.rate_count > MAX_XLSX_ROWS:
            abort(413, gettext("More rows than a workbook holds well: take the deck as CSV."))
        file = NamedTemporaryFile(suffix=".xlsx")  # noqa: SIM115  # closed when the answer is sent
        write_sheet_as(database, version_id, file.name)
        file.seek(0)
        answer = Response(iter(lambda: file.read(CHUNK_BYTES), b""), mimetype=_XLSX, headers=head)
        answer.call_on_close(file.close)
        return answer

    return section


def deck_seen(session: Session, front: Front, id: int) -> RateDeckRow:
    """A deck that may be seen; 404 for any other."""
    return front.one(
        session, select(RateDeckRow).where(RateDeckRow.id == id, visible_decks(session, front.scope))
    )


def _seen_version(front: Front) -> tuple[DeckVersionRow, RateDeckRow]:
    """The version that the address names, looked up once."""
    if "seen_version" not in g:
        version_id = (request.view_args or {})["version_id"]
        with front.reading() as session:
            version = session.get(DeckVersionRow, version_id)
            if version is None or not version.rate_count:
                abort(404)
            g.seen_version = version, deck_seen(session, front, version.deck_id)
    seen: tuple[DeckVersionRow, RateDeckRow] = g.seen_version
    return seen


def _rate_link(front: Front, row: Any) -> str | None:
    _version, deck = _seen_version(front)
    own = deck.issuer_id == front.scope.account_id and front.actor.may(Permission.CATALOGUE_WRITE)
    return rate_link(deck, row) if own else None


def _tariffs_on(session: Session, front: Front, deck_id: int) -> list[TariffRow]:
    newest = (
        select(func.max(TariffVersionRow.number))
        .where(TariffVersionRow.tariff_id == TariffRow.id)
        .correlate(TariffRow)
        .scalar_subquery()
    )
    query = (
        select(TariffRow)
        .join(TariffVersionRow, TariffVersionRow.tariff_id == TariffRow.id)
        .where(
            TariffVersionRow.number == newest,
            TariffVersionRow.deck_id == deck_id,
            visible_tariffs(front.scope),
        )
        .order_by(TariffRow.name)
    )
    return list(session.scalars(query))


def _imports(session: Session, front: Front, deck: RateDeckRow) -> list[Any]:
    """Sheets that wait to be agreed to, or are being worked on."""
    return list(
        session.execute(
            select(RateImportRow.id, RateImportRow.file_name, RateImportRow.state, RateImportRow.created_us)
            .where(
                front.scope.issued(RateImportRow.issuer_id),
                RateImportRow.deck == deck.name,
                RateImportRow.state.in_(("reading", "ready", "writing")),
            )
            .order_by(RateImportRow.id.desc())
            .limit(10)
        ).mappings()
    )


def _file_name(name: str) -> str:
    return "".join(x if x.isascii() and (x.isalnum() or x in "-_.") else "_" for x in name)
