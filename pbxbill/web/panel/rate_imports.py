"""Rates come in: a sheet is uploaded, its changes are shown, and written once somebody agrees."""

import json
from typing import Any

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session, defer
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.listing.first_steps import has_charged
from pbxbill.money import PRICE_SCALE
from pbxbill.rating.sheet_profile import parse_increments
from pbxbill.rating.tariff_text import percent_ppm, signed_price
from pbxbill.store.catalogue_models import RateImportRow
from pbxbill.store.models import DeckVersionRow, RateDeckRow, UnitRow
from pbxbill.store.rate_uploads import (
    REFUSED,
    Upload,
    begin_writing,
    drop_upload,
    keep_upload,
    name_columns,
    read_upload,
    state_of,
    unpacked,
    write_upload,
)
from pbxbill.web.background import Background
from pbxbill.web.fields import PanelForm, plain_number, refusals, sentence
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.asking import form_page
from pbxbill.web.panel.rate_import_words import (
    COLUMN_NAMES,
    COUNTED,
    NAMED,
    SAMPLES,
    ColumnsForm,
    ImportForm,
    columns_form,
)

ENDINGS = (".csv", ".txt", ".tsv", ".xlsx")
_LARGEST_PRICE = 10**6 * 10**PRICE_SCALE
_PLAIN = ("delimiter", "decimal", "encoding", "date_format", "price_per", "zone", "measure")


def rate_imports(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("rate_imports", __name__)
    worker = Background()
    _add_upload(section, front, worker)
    _add_decision(section, front, worker)

    def page(id: int, columns: ColumnsForm | None = None) -> str:
        with front.reading() as session:
            row = _seen(session, front, id)
            version = None if row.version_id is None else session.get(DeckVersionRow, row.version_id)
            aside = select(RateImportRow.refused.is_not(None)).where(RateImportRow.id == id)
            has_refused = session.scalar(aside)
            is_first = front.scope.is_everything and front.actor.may(Permission.SETTINGS_WRITE)
            is_first = is_first and not has_charged(session)
        seen = json.loads(row.preview) if row.preview else {}
        state = state_of(row, front.clock.now_us())
        if columns is None and "header" in seen and state == REFUSED:
            columns = columns_form(seen["header"], is_new=True)
        return render_template(
            "panel/rate_imports/show.html",
            row=row,
            state=state,
            seen=seen,
            columns=columns,
            is_first=is_first,
            options=json.loads(row.options),
            version=version,
            has_refused=has_refused,
            counted=COUNTED,
            samples=SAMPLES,
        )

    @section.get("/decks/imports/<int:id>")
    @needs(Permission.CATALOGUE_WRITE)
    def show(id: int) -> str:
        return page(id)

    @section.post("/decks/imports/<int:id>")
    @needs(Permission.CATALOGUE_WRITE)
    def columns(id: int) -> str | AnyResponse:
        """Which column of a sheet that was refused is what: it is read again."""
        with front.reading() as session:
            row = _seen(session, front, id)
        header = (json.loads(row.preview) if row.preview else {}).get("header")
        if header is None:
            return redirect(url_for(".show", id=id), 303)
        form = columns_form(header, is_new=False)
        if form.validate_on_submit():
            named = {ours: form[ours].data for ours in COLUMN_NAMES}
            with refusals(form) as refused, front.changing("rates.columns", row.deck) as change:
                name_columns(change.session, _seen(change.session, front, id), named, change.now_us)
            if not refused:
                database = front.desks.application.database
                worker.start(f"rates-{id}", lambda: read_upload(database, id, front.clock))
                return redirect(url_for(".show", id=id), 303)
        return page(id, form)

    @section.get("/decks/imports/<int:id>/now")
    @background
    @needs(Permission.CATALOGUE_WRITE)
    def show_now(id: int) -> str:
        """The same as it is now, for a page that is watched while the work goes on."""
        return show(id)

    @section.get("/decks/imports/<int:id>/<any(refused, changes):which>.csv")
    @needs(Permission.CATALOGUE_WRITE)
    def file(id: int, which: str) -> Response:
        with front.reading() as session:
            row = _seen(session, front, id)
            # The session is open still: what was left out is read now.
            content = row.refused if which == "refused" else row.report
        if content is None:
            abort(404)
        head = {"Content-Disposition": f'attachment; filename="{which}-{id}.csv"'}
        return Response(unpacked(content), mimetype="text/csv", headers=head)

    return section


def _add_upload(section: Blueprint, front: Front, worker: Background) -> None:
    application = front.desks.application

    @section.route("/decks/import", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | AnyResponse:
        form = ImportForm()
        with front.reading() as session:
            names = _fill_choices(session, front, form)
        if request.method == "GET" and request.args.get("deck") in names:
            form.deck.data = request.args["deck"]
        if form.validate_on_submit():
            row_id = 0
            with refusals(form):
                upload = _upload(front, form)
                with front.changing("rates.upload", upload.deck) as change:
                    row_id = keep_upload(change.session, upload, change.now_us).id
            if row_id:
                worker.start(
                    f"rates-{row_id}", lambda: read_upload(application.database, row_id, front.clock)
                )
                return redirect(url_for(".show", id=row_id), 303)
        return render_template("panel/rate_imports/new.html", form=form, largest=front.rules.upload_bytes)


def _add_decision(section: Blueprint, front: Front, worker: Background) -> None:
    application = front.desks.application

    @section.post("/decks/imports/<int:id>/agree")
    @needs(Permission.CATALOGUE_WRITE)
    def agree(id: int) -> AnyResponse:
        try:
            with front.reading() as session:
                deck = _seen(session, front, id).deck
            with front.changing("rates.import", deck) as change:
                begin_writing(change.session, _seen(change.session, front, id).id, change.now_us)
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        else:
            worker.start(f"rates-{id}", lambda: write_upload(application.database, id, front.clock))
        return redirect(url_for(".show", id=id), 303)

    @section.route("/decks/imports/<int:id>/drop", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def drop(id: int) -> str | AnyResponse:
        form = PanelForm()
        with front.reading() as session:
            row = _seen(session, front, id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("rates.drop", row.deck) as change:
                drop_upload(change.session, _seen(change.session, front, id))
            if not refused:
                flash(gettext("The sheet is dropped. No rate has changed."))
                return redirect(url_for("decks.listed"), 303)
        return form_page(
            form,
            gettext("Drop the sheet %(file)s", file=row.file_name),
            gettext("Drop it"),
            url_for(".show", id=id),
            [(gettext("Rate decks"), url_for("decks.listed"))],
            warning=gettext(
                "What was read of it is forgotten, with the list of what it would change. No rate changes; "
                "to import it after all, it has to be uploaded again."
            ),
            danger=True,
        )


def _seen(session: Session, front: Front, id: int) -> RateImportRow:
    # A page that looks again every two seconds needs none of the files.
    files = (RateImportRow.content, RateImportRow.refused, RateImportRow.report)
    return front.one(
        session,
        select(RateImportRow)
        .where(RateImportRow.id == id, front.scope.issued(RateImportRow.issuer_id))
        .options(*(defer(x) for x in files)),
    )


def _fill_choices(session: Session, front: Front, form: ImportForm) -> list[str]:
    """Returns the names of the decks that there are."""
    names = list(
        session.scalars(
            select(RateDeckRow.name)
            .where(front.scope.issued(RateDeckRow.issuer_id))
            .order_by(RateDeckRow.name)
        )
    )
    form.deck.choices = [("", gettext("a new deck")), *((x, x) for x in names)]
    form.against.choices = [("", "–"), *((x, x) for x in names)]
    form.unit.choices = [(x, x) for x in session.scalars(select(UnitRow.code).order_by(UnitRow.code))]
    return names


def _upload(front: Front, form: ImportForm) -> Upload:
    """What the form says; InputRefused where it makes no sense."""
    sent = form.file.data
    name = (sent.filename or "").replace("\\", "/").rpartition("/")[2]
    if not name.lower().endswith(ENDINGS):
        raise TermRefused(gettext("a rate sheet is a CSV or XLSX file"), "file")
    deck = form.deck.data or form.new_deck.data
    if not deck:
        raise TermRefused(gettext("choose a deck, or name the new one"), "new_deck")
    options: dict[str, Any] = {key: form[key].data for key in _PLAIN if form[key].data}
    if options.get("delimiter") == "tab":
        options["delimiter"] = "\t"
    if form.deck.data:
        options.pop("measure", None)
    else:
        options["unit_code"] = form.unit.data
        options["per"] = form.per.data
    options["columns"] = {ours: form[name].data for name, ours in NAMED.items() if form[name].data}
    with refused_at("steep"):
        options["steep_ppm"] = percent_ppm(plain_number(form.steep.data or "20"), gettext("a rise"))
    with refused_at("max_price"):
        options["max_price"] = signed_price(plain_number(form.max_price.data or "100"))
        if options["max_price"] > _LARGEST_PRICE:
            raise InputRefused(gettext("the highest usual price is below a million"))
    options |= {
        "amend": form.amend.data,
        "against": form.against.data or None,
        "notice_days": form.notice_days.data,
        "delay_increases": form.delay_increases.data,
        "effective_us": effective_of(front, form),
    }
    if options["delay_increases"] and not options["notice_days"]:
        raise TermRefused(gettext("say how many days of notice increases have to wait for"), "notice_days")
    if form.increments.data:
        with refused_at("increments"):
            options["increments"] = parse_increments(form.increments.data)
    content = sent.read(front.rules.upload_bytes + 1)
    if len(content) > front.rules.upload_bytes:
        raise TermRefused(gettext("the file is too large; import it by the command line"), "file")
    return Upload(front.scope.account_id, front.actor.name, deck, name, content, options)


def effective_of(front: Front, form: Any) -> int | None:
    """From when on a version counts, as a form says; a date that is past has to be meant."""
    at_us: int | None = form.effective.data
    if at_us is not None and at_us < front.clock.now_us() and not form.backdate.data:
        raise TermRefused(
            gettext(
                "that date is past; calls since then were charged by the version before. "
                "Choose it again and say that it is meant"
            ),
            "effective",
        )
    return at_us
