"""Destinations: named groups of prefixes, the operator's, by which limits, bundles and reports of all go."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.destinations import DESTINATIONS
from pbxbill.listing.listing import N_
from pbxbill.rating.destination_sheet import DestinationLine, RefusedLine, read_list
from pbxbill.store.catalogue_models import DestinationPrefixRow, DestinationRow
from pbxbill.store.destinations import (
    MOST_TOGETHER,
    dangling_destinations,
    destination_differences,
    put_destinations,
    remove_destination,
)
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.destination_forms import (
    MAX_LIST_LENGTH,
    AgreedForm,
    DestinationForm,
    DestinationImportForm,
)
from pbxbill.web.panel.lists import ListPage, add_list

REFUSED_SHOWN = 20
PREFIXES_SHOWN = 5_000


def operator_only(front: Front) -> None:
    """What all share is changed by the operator alone."""
    if not front.scope.is_everything:
        abort(403)


def destinations(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("destinations", __name__)
    add_list(
        section,
        front,
        ListPage(
            DESTINATIONS,
            "/destinations",
            link="destinations.show",
            template="panel/destinations/list.html",
            empty=(
                N_("There is no destination yet"),
                N_("Destinations name groups of prefixes. Limits, bundles and reports go by them."),
            ),
        ),
    )

    @section.get("/destinations/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            row = _row(session, id)
            return render_template("panel/destinations/show.html", row=row, prefixes=_prefixes(session, id))

    _add_forms(section, front)
    _add_import(section, front)
    return section


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/destinations/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        operator_only(front)
        form = DestinationForm()
        if form.validate_on_submit():
            name = form.name.data or ""
            with refusals(form, "prefixes") as refused, front.changing("destination.make", name) as change:
                if _by_name(change.session, name) is not None:
                    raise TermRefused(gettext("there is a destination of this name already"), "name")
                put_destinations(change.session, [_line(form, name)], keep_others=True)
                row = _by_name(change.session, name)
            if not refused and row is not None:
                return redirect(url_for(".show", id=row.id), 303)
        return render_template("panel/destinations/form.html", form=form, row=None)

    @section.route("/destinations/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def edit(id: int) -> str | Response:
        operator_only(front)
        form = DestinationForm()
        del form.name
        with front.reading() as session:
            row = _row(session, id)
            prefixes = _prefixes(session, id)
        if request.method == "GET":
            form.kind.data, form.prefixes.data = row.kind, " ".join(prefixes)
            form.edition.data = edition_of(_facts(row, prefixes))
        if form.validate_on_submit():
            with (
                refusals(form, "prefixes") as refused,
                front.changing("destination.change", row.name) as change,
            ):
                check_edition(form, _facts(_row(change.session, id), _prefixes(change.session, id)))
                put_destinations(change.session, [_line(form, row.name)], keep_others=True)
            if not refused:
                flash(gettext("The destination is changed."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/destinations/form.html", form=form, row=row)

    @section.route("/destinations/<int:id>/remove", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def remove(id: int) -> str | Response:
        operator_only(front)
        form = PanelForm()
        with front.reading() as session:
            row = _row(session, id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("destination.remove", row.name) as change:
                remove_destination(change.session, row.name)
            if not refused:
                flash(gettext("The destination is removed."))
                return redirect(url_for(".listed"), 303)
        return render_template("panel/destinations/remove.html", form=form, row=row)


def _add_import(section: Blueprint, front: Front) -> None:
    @section.route("/destinations/import", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def import_list() -> str | Response:
        operator_only(front)
        form = DestinationImportForm()
        if form.validate_on_submit():
            with refusals(form, "file"):
                content = form.file.data.read(MAX_LIST_LENGTH + 1)
                if len(content) > MAX_LIST_LENGTH:
                    raise InputRefused(gettext("a list as long as this is imported by the command line"))
                return _preview(front, content, keep=form.keep.data)
        return render_template("panel/destinations/import.html", form=form)

    @section.post("/destinations/import/agree")
    @needs(Permission.CATALOGUE_WRITE)
    def agree() -> Response:
        operator_only(front)
        form = AgreedForm()
        if not form.validate_on_submit():
            return redirect(url_for(".import_list"), 303)
        try:
            accepted, _ = _read((form.text.data or "").encode())
            with front.changing("destinations.import", str(len(accepted))) as change:
                done = put_destinations(change.session, accepted, keep_others=form.keep.data == "yes")
            flash(
                gettext(
                    "%(destinations)d destinations: %(added)d prefixes are new, %(moved)d moved, "
                    "%(removed)d removed.",
                    **{key: value for key, value in done._asdict().items() if key != "prefixes"},
                )
            )
        except InputRefused as error:
            flash(sentence(str(error)), "bad")
        return redirect(url_for(".listed"), 303)


def _preview(front: Front, content: bytes, *, keep: bool) -> str:
    accepted, refused = _read(content)
    with front.reading() as session:
        changes = destination_differences(session, accepted, keep_others=keep)
        dangling = dangling_destinations(session)
    form = AgreedForm(formdata=None)
    form.text.data, form.keep.data = content.decode("utf-8-sig"), "yes" if keep else "no"
    return render_template(
        "panel/destinations/preview.html",
        form=form,
        changes=changes,
        refused=refused[:REFUSED_SHOWN],
        refused_count=len(refused),
        dangling=dangling,
        keep=keep,
    )


def _read(content: bytes) -> tuple[list[DestinationLine], list[RefusedLine]]:
    accepted, refused = read_list(content)
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputRefused(gettext("the list is not UTF-8; save it as UTF-8")) from None
    if sum(len(x.prefixes) for x in accepted) > MOST_TOGETHER:
        raise InputRefused(gettext("a list with so many prefixes is imported by the command line"))
    return accepted, refused


def _line(form: DestinationForm, name: str) -> DestinationLine:
    """The form as a row of a list, checked as one."""
    prefixes = " ".join((form.prefixes.data or "").replace(",", " ").split())
    cells = [name.replace(";", ","), form.kind.data, prefixes]
    accepted, refused = _read(("name;class;prefixes\n" + ";".join(cells) + "\n").encode())
    if refused:
        raise InputRefused(refused[0].reason)
    return accepted[0]._replace(name=name)


def _row(session: Session, id: int) -> DestinationRow:
    row = session.get(DestinationRow, id)
    if row is None:
        abort(404)
    return row


def _by_name(session: Session, name: str) -> DestinationRow | None:
    return session.scalar(select(DestinationRow).where(DestinationRow.name == name))


def _facts(row: DestinationRow, prefixes: list[str]) -> dict[str, str | None]:
    return {"kind": row.kind, "prefixes": " ".join(prefixes)}


def _prefixes(session: Session, id: int) -> list[str]:
    query = select(DestinationPrefixRow.prefix).where(DestinationPrefixRow.destination_id == id)
    return list(session.scalars(query.order_by(DestinationPrefixRow.prefix).limit(PREFIXES_SHOWN)))
