"""Reconciliation: what was compared with switches, what differed, and whether every promise holds."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, redirect, render_template, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.promises import verify_all
from pbxbill.charging.verify import Invariant
from pbxbill.listing.listing import N_
from pbxbill.listing.reconciliations import DIFFERENCES, RECONCILIATIONS
from pbxbill.store.catalogue_models import AlertRow
from pbxbill.store.notice_models import JobRow
from pbxbill.web.background import Background
from pbxbill.web.front import Front, background, needs
from pbxbill.web.panel.lists import ListPage, add_list

PROBLEMS_SHOWN = 20
BOOKS = "books"
"""The job that proves the same every day, and the kind of its alerts."""


@dataclass(slots=True)
class _Proof:
    """The last proof of this process."""

    begun_us: int | None = None
    ended_us: int | None = None
    found: Sequence[Invariant] = ()

    @property
    def runs(self) -> bool:
        return self.begun_us is not None and self.ended_us is None


def reconciliation(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("reconciliation", __name__)
    add_list(
        section,
        front,
        ListPage(
            RECONCILIATIONS,
            "/reconciliation",
            link=lambda row: url_for("reconciliation.differences", run=row["id"]),
            template="panel/reconciliation/list.html",
            empty=(
                N_("Nothing was compared yet"),
                N_("Whenever a daemon connects to its switch, it compares live calls with the books."),
            ),
        ),
    )
    add_list(
        section,
        front,
        ListPage(
            DIFFERENCES,
            "/reconciliation/differences",
            link=lambda row: url_for("calls.show", session_id=row["session_id"]),
            endpoint="differences",
            columns=("at_us", "kind", "detail", "switch"),
            template="panel/reconciliation/differences.html",
            empty=(
                N_("The switches and the books agreed"),
                N_("Calls that were not as the books said appear here, with what was done about it."),
            ),
        ),
    )
    _add_proof(section, front)
    return section


def _add_proof(section: Blueprint, front: Front) -> None:
    worker, proof, turn = Background(), _Proof(), threading.Lock()

    def work() -> None:
        driver = front.desks.application.connect()
        try:
            proof.found = verify_all(driver, front.clock)
        finally:
            driver.close()
            proof.ended_us = front.clock.now_us()

    @section.get("/reconciliation/proof")
    @needs(Permission.OPERATIONS_READ)
    def proved() -> str:
        with front.reading() as session:
            job = session.get(JobRow, BOOKS)
            broken = session.scalars(
                select(AlertRow)
                .where(AlertRow.kind == BOOKS, AlertRow.done_us.is_(None))
                .order_by(AlertRow.at_us.desc())
                .limit(PROBLEMS_SHOWN)
            ).all()
        return render_template(
            "panel/reconciliation/proof.html", proof=proof, job=job, broken=broken, most=PROBLEMS_SHOWN
        )

    @section.get("/reconciliation/proof/now")
    @background
    @needs(Permission.OPERATIONS_READ)
    def proved_now() -> str:
        """The same as it is now, for a page that is watched while the work goes on."""
        return proved()

    @section.post("/reconciliation/proof")
    @needs(Permission.OPERATIONS_WRITE)
    def prove() -> Response:
        with turn:
            begins = not proof.runs
            if begins:
                proof.begun_us, proof.ended_us, proof.found = front.clock.now_us(), None, ()
        if begins:
            worker.start("verify", work)
        return redirect(url_for(".proved"), 303)
