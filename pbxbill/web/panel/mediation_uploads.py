"""Files of call records that are sent here, and the formats in which they are written."""

import tempfile
from functools import partial
from typing import BinaryIO, cast

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from flask_wtf.file import FileField, FileRequired
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response as AnyResponse
from wtforms import SelectField, TextAreaField
from wtforms.validators import Length, Optional

from pbxbill.access.permissions import Permission
from pbxbill.charging.reconcile import UNNAMED_SWITCH
from pbxbill.errors import TermRefused
from pbxbill.mediation.mapping import built_in_formats, format_text
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.runs import Run
from pbxbill.mediation.sent_files import SentFile, begin_sent, checked_file, import_sent, mapping_of
from pbxbill.web.background import Background
from pbxbill.web.fields import LineField, PanelForm, ZoneField, at_most, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.words import word_of

MAX_MAPPING_LENGTH = 20_000
FORMAT = "<any({}):name>".format(", ".join(f'"{x}"' for x in built_in_formats()))
FORMAT_NAMES = {
    "asterisk-csv": "Asterisk, cdr_csv (Master.csv)",
    "asterisk-custom": "Asterisk, cdr_custom",
    "freeswitch-csv": "FreeSWITCH, mod_cdr_csv",
    "freeswitch-json": "FreeSWITCH, mod_json_cdr",
}


class SendForm(PanelForm):
    """A file, and how it is written."""

    file = FileField(
        lazy_gettext("File"),
        [FileRequired(lazy_gettext("Choose a file."))],
        description=lazy_gettext("Text, one record in each line. A file that comes twice is charged once."),
    )
    format = SelectField(lazy_gettext("Format"), default="")
    own = TextAreaField(
        lazy_gettext("Format of your own"),
        [Optional(), Length(max=MAX_MAPPING_LENGTH)],
        render_kw={"rows": 8, "spellcheck": "false", "class": "code"},
        description=lazy_gettext("As TOML. Begin with one of the formats that there are."),
    )
    switch = LineField(
        lazy_gettext("Switch"),
        [at_most(64)],
        description=lazy_gettext(
            "Who wrote it. Left empty: a call that any switch charged as it ran is not charged again."
        ),
    )
    zone = ZoneField(
        lazy_gettext("Zone of its times"),
        [at_most(64)],
        description=lazy_gettext("Needed where the records say no zone."),
    )
    ambiguous = SelectField(
        lazy_gettext("Hours that came twice"),
        default="",
        description=lazy_gettext("Which one a local time means, when clocks were put back."),
    )


def add_uploads(section: Blueprint, front: Front) -> None:
    """Give the section their pages."""
    _add_new(section, front, Background())

    @section.get("/imports/formats")
    @needs(Permission.OPERATIONS_READ)
    def formats() -> str:
        _of_operator(front)
        known = [(x, format_name(x), _about(format_text(x))) for x in built_in_formats()]
        return render_template("panel/mediation/formats.html", formats=known)

    @section.get(f"/imports/formats/{FORMAT}.toml", endpoint="format")
    @needs(Permission.OPERATIONS_READ)
    def format_file(name: str) -> Response:
        _of_operator(front)
        head = {"Content-Disposition": f'attachment; filename="{name}.toml"'}
        return Response(format_text(name), mimetype="application/toml", headers=head)


def _add_new(section: Blueprint, front: Front, worker: Background) -> None:
    application = front.desks.application

    @section.route("/imports/new", methods=["GET", "POST"])
    @needs(Permission.OPERATIONS_WRITE)
    def new() -> str | AnyResponse:
        _of_operator(front)
        form = _form()
        if form.validate_on_submit():
            begun: tuple[SentFile, Run] | None = None
            with refusals(form):
                sent = _sent(front, form)
                with front.changing("calls.import", sent.name) as change:
                    run = begin_sent(change.session, sent, change.now_us)
                begun = sent, run
            if begun is not None:
                work = partial(import_sent, application.database, application.connect, front.clock, *begun)
                worker.start(f"records-{begun[1].id}", work)
                return redirect(url_for(".show", id=begun[1].id), 303)
        return render_template("panel/mediation/new.html", form=form)


def _form() -> SendForm:
    form = SendForm()
    known = built_in_formats()
    form.format.choices = [("", gettext("of your own")), *((x, format_name(x)) for x in known)]
    rules = [(x, word_of(x)) for x in AMBIGUOUS_RULES]
    form.ambiguous.choices = [("", gettext("as the format says")), *rules]
    if request.method == "GET":
        asked = request.args.get("format", "")
        form.format.data = asked if asked in known else known[0]
    return form


def _of_operator(front: Front) -> None:
    if not front.scope.is_everything:
        abort(404)


def format_name(name: str) -> str:
    """A format as people know it."""
    return FORMAT_NAMES.get(name, name)


def _about(text: str) -> str:
    """What its first lines say of it."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines)


def _sent(front: Front, form: SendForm) -> SentFile:
    """What the form says; TermRefused names the field that makes no sense."""
    mapping = mapping_of(
        form.format.data, form.own.data or "", form.zone.data or "", form.ambiguous.data or ""
    )
    storage: FileStorage = form.file.data
    kept = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  # closed by whoever reads it
    try:
        storage.save(kept)
        if kept.tell() > front.rules.upload_bytes:
            raise TermRefused(gettext("the file is too large; import it by the command line"), "file")
        kept.seek(0)
        return checked_file(kept, storage.filename or "", form.switch.data or UNNAMED_SWITCH, mapping)
    except BaseException:
        kept.close()
        raise
