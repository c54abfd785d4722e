"""Quarantine: records that could not be charged. Seen, corrected, tried again, or given up with a reason."""

import json
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext, ngettext
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import SelectField

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_, FilterRefused
from pbxbill.listing.mediation import QUARANTINE, open_ones
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.quarantine import Retry, columns_of, correct, give_up, quarantined
from pbxbill.mediation.tally import Tally
from pbxbill.store.mediation_models import MediationRunRow, QuarantinedRow
from pbxbill.store.models import CdrRow
from pbxbill.web.background import Background
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.words import word_of

MAX_VALUE_LENGTH = 1_000
FILTERS = tuple(x.key for x in QUARANTINE.filters)


class CorrectionForm(PanelForm):
    """What was read from a record; its fields are the record's columns."""

    edition = EditionField()


class RetryForm(PanelForm):
    """How records are tried again."""

    ambiguous = SelectField(
        lazy_gettext("Hours that came twice"),
        description=lazy_gettext("Which one a local time means, when clocks were put back."),
    )

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.ambiguous.choices = [
            ("", gettext("as the import says")),
            *((x, word_of(x)) for x in AMBIGUOUS_RULES),
        ]


class DropForm(PanelForm):
    """Why records are given up."""

    why = LineField(
        lazy_gettext("Reason"),
        [required(), at_most(120)],
        description=lazy_gettext("Kept with the records, for whoever asks later."),
    )


def quarantine(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("quarantine", __name__)
    background = Background()
    add_list(
        section,
        front,
        ListPage(
            QUARANTINE,
            "/quarantine",
            link="quarantine.show",
            template="panel/quarantine/list.html",
            empty=(
                N_("Every record could be charged"),
                N_("Records of imported files that cannot be charged wait here, with the reason."),
            ),
            more=lambda: {"waiting": _waiting(front)},
        ),
    )
    _add_record(section, front, background)
    _add_many(section, front, background)
    return section


def _waiting(front: Front) -> int:
    with front.reading() as session:
        condition = QuarantinedRow.state == "open"
        return session.scalar(select(func.count()).select_from(QuarantinedRow).where(condition)) or 0


def _add_record(section: Blueprint, front: Front, background: Background) -> None:
    @section.get("/quarantine/<int:id>")
    @needs(Permission.OPERATIONS_READ)
    def show(id: int) -> str:
        return _page(front, id, CorrectionForm(formdata=None), {})

    @section.post("/quarantine/<int:id>")
    @needs(Permission.OPERATIONS_WRITE)
    def edit(id: int) -> str | Response:
        form = CorrectionForm()
        with front.reading() as session:
            row = _row(session, front, id)
            known = columns_of(session, row)
            before: dict[str, str] = json.loads(row.fields)
        entered = {
            name: request.form[f"column-{name}"][:MAX_VALUE_LENGTH]
            for name in known
            if f"column-{name}" in request.form
        }
        changed = {name: value for name, value in entered.items() if value != (before.get(name) or "")}
        if form.validate_on_submit():
            with refusals(form) as refused:
                if changed:
                    with front.changing("quarantine.correct", str(id)) as change:
                        check_edition(form, json.loads(_row(change.session, front, id).fields))
                        correct(change.session, id, changed, change.now_us)
            if not refused:
                if request.form.get("do") == "retry":
                    _tell(_tried(front, background, [id]))
                else:
                    flash(gettext("The record is corrected. Try it again when it is complete."))
                return redirect(url_for(".show", id=id), 303)
        return _page(front, id, form, entered)

    @section.route("/quarantine/<int:id>/drop", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def drop(id: int) -> str | Response:
        form = DropForm()
        with front.reading() as session:
            row = _row(session, front, id)
        if row.state != "open":
            flash(gettext("This record waits for nothing any more."), "bad")
            return redirect(url_for(".show", id=id), 303)
        if form.validate_on_submit():
            with front.changing("quarantine.drop", f"{id}: {form.why.data}") as change:
                give_up(change.session, quarantined(ids=[id]), change.now_us, form.why.data or "")
            flash(gettext("The record is given up. It is never charged, from whatever file it comes."))
            return redirect(url_for(".listed"), 303)
        return render_template("panel/quarantine/drop.html", form=form, count=1, back=url_for(".show", id=id))


def _page(front: Front, id: int, form: CorrectionForm, entered: dict[str, str]) -> str:
    with front.reading() as session:
        row = _row(session, front, id)
        known = columns_of(session, row)
        run = session.get_one(MediationRunRow, row.run_id)
        is_posted = row.state == "posted" and session.get(CdrRow, row.record_key) is not None
    held: dict[str, str] = json.loads(row.fields)
    if request.method == "GET":
        form.edition.data = edition_of(held)
    names = [*known, *(x for x in held if x not in known)]
    return render_template(
        "panel/quarantine/show.html",
        row=row,
        run=run,
        form=form,
        fields=[(x, entered.get(x, held.get(x) or ""), x in known) for x in names],
        is_posted=is_posted,
        may_write=front.actor.may(Permission.OPERATIONS_WRITE),
    )


def _row(session: Session, front: Front, id: int) -> QuarantinedRow:
    row = session.get(QuarantinedRow, id)
    if row is None or not front.scope.is_everything:
        abort(404)
    return row


def _add_many(section: Blueprint, front: Front, background: Background) -> None:
    @section.route("/quarantine/retry", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def retry_all() -> str | Response:
        form = RetryForm()
        ids, back = _chosen(front), _back()
        if ids and form.validate_on_submit():
            _tell(_tried(front, background, ids, form.ambiguous.data or None))
            return redirect(back, 303)
        return render_template("panel/quarantine/retry.html", form=form, count=len(ids), back=back)

    @section.route("/quarantine/drop", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def drop_all() -> str | Response:
        form = DropForm()
        ids, back = _chosen(front), _back()
        if ids and form.validate_on_submit():
            subject = f"{len(ids)} records: {form.why.data}"
            with front.changing("quarantine.drop", subject) as change:
                query = open_ones(change.session, front.scope, _filters())
                done = give_up(change.session, query, change.now_us, form.why.data or "")
            flash(ngettext("%(num)d record is given up.", "%(num)d records are given up.", done))
            return redirect(back, 303)
        return render_template("panel/quarantine/drop.html", form=form, count=len(ids), back=back)


def _filters() -> dict[str, str]:
    return {key: request.args[key] for key in FILTERS if request.args.get(key)}


def _back() -> str:
    return url_for(".listed", **_filters())  # type: ignore[arg-type]  # names of filters


def _chosen(front: Front) -> list[int]:
    """Open records that the filters of the address leave."""
    try:
        with front.reading() as session:
            query = open_ones(session, front.scope, _filters())
            return list(session.scalars(query.with_only_columns(QuarantinedRow.id)))
    except FilterRefused:
        abort(404)


def _tried(
    front: Front, background: Background, ids: list[int], ambiguous: str | None = None
) -> Tally | None:
    """Try records again; None while that still goes on."""
    application = front.desks.application
    subject = str(ids[0]) if len(ids) == 1 else f"{len(ids)} records"
    with front.changing("quarantine.retry", subject):
        pass  # each record's transaction is its own: the log says who asked
    found: list[Tally] = []

    def work() -> None:
        retry = Retry(application.database, application.connect, front.clock, ambiguous)
        found.append(retry.run_all(ids))

    background.start("quarantine-retry", work)
    return found[0] if found else None


def _tell(tried: Tally | None) -> None:
    if tried is None:
        flash(gettext("The records are being tried again. This list shows what is left of them."))
        return
    posted = tried.rated + tried.unanswered
    if posted:
        flash(ngettext("%(num)d record is charged now.", "%(num)d records are charged now.", posted))
    if tried.duplicates:
        flash(
            ngettext(
                "%(num)d record had been charged before.",
                "%(num)d records had been charged before.",
                tried.duplicates,
            )
        )
    if tried.filtered:
        flash(
            ngettext(
                "%(num)d record is left out by the import's own rules.",
                "%(num)d records are left out by the import's own rules.",
                tried.filtered,
            )
        )
    if tried.quarantined:
        flash(
            ngettext(
                "%(num)d record still cannot be charged.",
                "%(num)d records still cannot be charged.",
                tried.quarantined,
            ),
            "warn",
        )
