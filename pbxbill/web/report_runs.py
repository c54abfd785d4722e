"""Reports that are made in the background, as panel and API list them and tell how far they are."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from flask_babel import gettext
from sqlalchemy.orm import Session

from pbxbill.clock import Clock
from pbxbill.listing.listing import Listing
from pbxbill.listing.report_runs import REPORT_RUNS
from pbxbill.reports.making import HowFar, Stage
from pbxbill.reports.runs import state_of
from pbxbill.web.formatting import count

Finish = Callable[[Session, list[dict[str, Any]]], None]


def listed_runs(clock: Clock, finish: Finish = lambda session, rows: None) -> Listing:
    """The list of runs, which says of those whose maker died that they were cut off."""

    def seen(session: Session, rows: list[dict[str, Any]]) -> None:
        now_us = clock.now_us()
        for row in rows:
            row["state"] = state_of(SimpleNamespace(**row), now_us)
        finish(session, rows)

    return replace(REPORT_RUNS, finish=seen)


def far_told(how_far: HowFar | None) -> str:
    """How far one is, as a sentence."""
    if how_far is None:
        return ""
    numbers = {"done": count(how_far.done), "total": count(how_far.total)}
    match how_far.stage:
        case Stage.HOURS:
            told = gettext("Calls are read: %(done)s of %(total)s hours.", **numbers)
        case Stage.CALLS if how_far.total:
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
