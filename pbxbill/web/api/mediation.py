"""Files of call records: sent, read in the background, and what came of them."""

import tempfile
from functools import partial
from typing import Annotated, Any, Literal, cast
from typing import BinaryIO as Binary

from flask import Response
from pydantic import BaseModel, Field, StringConstraints

from pbxbill.access.permissions import Permission
from pbxbill.charging.reconcile import UNNAMED_SWITCH
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.mediation.mapping import built_in_formats, format_text
from pbxbill.mediation.moments import AMBIGUOUS_RULES
from pbxbill.mediation.report import report_of_row
from pbxbill.mediation.sent_files import SentFile, begin_sent, checked_file, import_sent, mapping_of
from pbxbill.mediation.tally import COUNTS
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Id, Line, Money, Sent, left_out
from pbxbill.web.api.objects import wrong
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.api.uploads import content_of, request_bytes, sent_file
from pbxbill.web.background import Background
from pbxbill.web.front import needs

TAG = "Operations"
RULE = "/mediation-runs"
MAX_FILE_BYTES = 8_000_000
FORMATS = tuple(built_in_formats())
Format = Literal[FORMATS]  # type: ignore[valid-type]  # made of what there is
Ambiguous = Literal[AMBIGUOUS_RULES]  # type: ignore[valid-type]  # the same
TOML = File("application/toml", "The format, to begin one of your own with.")


class RunPath(Sent):
    """An import, by its id."""

    run_id: Id


class FormatPath(Sent):
    """A format, by its name."""

    format_name: Format


class NewMediationRun(Sent):
    """A file of call records, and how it is written."""

    file_name: Annotated[Line, StringConstraints(min_length=1, max_length=200)] = Field(
        examples=["Master.csv"]
    )
    content: sent_file(MAX_FILE_BYTES)  # type: ignore[valid-type]  # by its size
    format: Format = left_out("One of those that there are; or `own_format`.")
    own_format: Annotated[str, StringConstraints(min_length=1, max_length=20_000)] = left_out(
        "As TOML; `/mediation-formats/NAME.toml` is one to begin with."
    )
    switch: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Who wrote it. Left out: what any switch charged as it ran is not charged again."
    )
    zone: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Of moments that do not say it."
    )
    ambiguous: Ambiguous = left_out("Which hour a local time means that came twice.")


class ChargedAccount(BaseModel):
    """What one account was charged."""

    account: str
    records: int
    charged: Money
    uncollected: Money


class RunReport(BaseModel):
    """What an import did."""

    run: int
    file: str
    switch: str
    state: str = Field(description="running, done, stopped, failed.")
    detail: str
    read: int
    filtered: int
    rated: int
    unanswered: int
    duplicates: int
    quarantined: int
    reasons: dict[str, int] = Field(description="Why records are in quarantine.")
    accounts: list[ChargedAccount]


def mediation(api: Api) -> None:
    """The operator's imports."""
    front = api.front
    application = front.desks.application
    background = Background()
    api.take_larger(RULE, request_bytes(MAX_FILE_BYTES))

    def shown(run_id: int) -> RunReport:
        with front.reading() as session:
            try:
                return _shown(report_of_row(session, run_id, front.clock.now_us()))
            except InputRefused:
                raise Refused(404) from None

    def of_operator() -> None:
        if not front.scope.is_everything:
            raise Refused(404)

    @api.post(RULE, RunReport, TAG, 202)
    @needs(Permission.OPERATIONS_WRITE)
    def import_call_records(body: NewMediationRun) -> Answer:
        """Send a file of call records. Each is charged once; what cannot be is in quarantine.

        Larger files are sent in the panel, or read by the command line.
        """
        of_operator()
        content = content_of(body.content, "content", MAX_FILE_BYTES)
        sent = _sent(body, content)
        with api.writing("calls.import", sent.name) as change:
            run = begin_sent(change.session, sent, change.now_us)
            answer = change.done(_shown(report_of_row(change.session, run.id, change.now_us)), 202)
        work = partial(import_sent, application.database, application.connect, front.clock, sent, run)
        background.start(f"records-{run.id}", work)
        return answer

    @api.get(f"{RULE}/<int:run_id>/report", RunReport, TAG)
    @needs(Permission.OPERATIONS_READ)
    def get_mediation_report(path: RunPath) -> RunReport:
        """What an import charged, and why it could not charge the rest."""
        of_operator()
        return shown(path.run_id)

    @api.get("/mediation-formats/<string:format_name>.toml", TOML, TAG)
    @needs(Permission.OPERATIONS_READ)
    def get_mediation_format(path: FormatPath) -> Response:
        """A format that there is, as it is written."""
        of_operator()
        return Response(format_text(path.format_name), mimetype="application/toml")


_FIELDS = {"file": "file_name", "own": "own_format"}


def _sent(body: NewMediationRun, content: bytes) -> SentFile:
    """A file that can be read; the problem of a field where it cannot."""
    kept = cast("Binary", tempfile.TemporaryFile())  # noqa: SIM115  # closed by whoever reads it
    try:
        mapping = mapping_of(body.format or "", body.own_format or "", body.zone or "", body.ambiguous or "")
        kept.write(content)
        kept.seek(0)
        return checked_file(kept, body.file_name, body.switch or UNNAMED_SWITCH, mapping)
    except TermRefused as error:
        kept.close()
        place = str(error.place[0])
        raise wrong(_FIELDS.get(place, place), said(error)) from None


def _shown(report: dict[str, Any]) -> RunReport:
    return RunReport(
        run=report["run"],
        file=report["source"],
        switch=report["switch"],
        state=report["state"],
        detail=report["detail"] or "",
        **{name: report[name] for name in COUNTS},
        reasons=report["reasons"],
        accounts=[
            ChargedAccount(
                account=x["account"],
                records=x["records"],
                charged=Money(amount=x["total"], currency=x["unit"]),
                uncollected=Money(amount=x["uncollected"], currency=x["unit"]),
            )
            for x in report["money"]
        ],
    )
