"""Reports that are made in the background, as panel and API list them and tell how far they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.listing.listing import Listing
from pbxbill.listing.report_runs import REPORT_RUNS
from pbxbill.reports.catalogue import check_values
from pbxbill.reports.files import facts_of
from pbxbill.reports.making import HowFar, Stage
from pbxbill.reports.rendering import FORMATS
from pbxbill.reports.report import Asked, ParameterKind, Report
from pbxbill.reports.runs import CUT_OFF, KEPT_S, UNFINISHED, how_far, state_of, why
from pbxbill.store.report_models import ReportRunRow
from pbxbill.web.formatting import count, day

FORMAT_NAMES = tuple((x, x.upper()) for x in FORMATS)
Finish = Callable[[Session, list[dict[str, Any]]], None]


def listed_runs(clock: Clock, finish: Finish = lambda session, rows: None) -> Listing:
    """The list of runs, which says of those whose maker died that they were cut off."""

    def seen(session: Session, rows: list[dict[str, Any]]) -> None:
        now_us = clock.now_us()
        for row in rows:
            row["state"] = state_of(SimpleNamespace(**row), now_us)
        finish(session, rows)

    return replace(REPORT_RUNS, finish=seen)


@dataclass(frozen=True, slots=True)
class RunShown:
    """How one stands."""

    state: str
    since_s: int
    """How long it waits, or is being made."""
    far: HowFar | None
    far_told: str
    why: str
    rows: int
    file_name: str
    kept_until_us: int | None

    @property
    def going(self) -> bool:
        """Whether something will become of it by itself."""
        return self.state in (*UNFINISHED, CUT_OFF)


def run_shown(row: ReportRunRow, now_us: int) -> RunShown:
    """For its page."""
    far = how_far(row)
    since_us = now_us - (row.started_us or row.asked_us)
    kept_until_us = None if row.ended_us is None else row.ended_us + KEPT_S * SECOND_US
    return RunShown(
        state_of(row, now_us), max(0, since_us) // SECOND_US, far, far_told(far), why(row),
        row.progress, row.file_name, kept_until_us,
    )  # fmt: skip


def facts_shown(report: Report, asked: Asked) -> list[tuple[str, str]]:
    """What was asked for, in the reader's language; choices by their names."""
    check_values(report, asked)
    kinds = {x.label: x.kind for x in report.parameters}
    return [(gettext(label), _fact(kinds[label], value)) for label, value in facts_of(report, asked)]


def _fact(kind: ParameterKind, value: str) -> str:
    match kind:
        case ParameterKind.CHOICE:
            return str(gettext(value))
        case ParameterKind.DAY:
            return day(date.fromisoformat(value))
        case _:
            return value


def far_told(far: HowFar | None) -> str:
    """How far one is, as a sentence."""
    if far is None:
        return ""
    numbers = {"done": count(far.done), "total": count(far.total)}
    match far.stage:
        case Stage.HOURS:
            told = gettext("Calls are read: %(done)s of %(total)s hours.", **numbers)
        case Stage.CALLS if far.total:
            told = gettext("%(done)s of %(total)s calls are looked at.", **numbers)
        case Stage.CALLS:
            told = gettext("%(done)s calls are looked at.", done=numbers["done"])
        case Stage.WRITING:
            told = gettext("The file is written: %(done)s of %(total)s rows.", **numbers)
        case Stage.SETTING:
            told = gettext("The pages of the file are set.")
        case _:
            told = gettext("What it tells of is read.")
    return str(told)
