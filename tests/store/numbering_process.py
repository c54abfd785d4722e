"""A process that issues documents beside others, undoes some, and may die. Run by tests."""

import os
import random
import signal
import sys

from sqlalchemy.orm import Session

from pbxbill.billing.invoices.numbering import next_number
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.invoice_models import InvoiceRow

NEW_YEARS_EVE_US = 1_798_754_400_000_000
"""2026-12-31 23:00 in Berlin, 22:00 UTC."""
HOUR_US = 3_600_000_000


class Undone(Exception):
    """Something went wrong after the number was given out."""


def issue_document(session: Session, issuer_id: int, kind: str, at_us: int) -> str:
    """A document with its number, as far as numbering sees it."""
    number = next_number(session, issuer_id, kind, at_us, "Europe/Berlin")
    amounts = dict.fromkeys(("net", "tax", "total", "from_wallet", "due", "open", "open_wallet"), 0)
    session.add(
        InvoiceRow(
            issuer_id=issuer_id,
            account_id=issuer_id,
            kind=kind,
            state="issued",
            number=number,
            unit="EUR",
            created_us=at_us,
            issued_us=at_us,
            dunning_step=0,
            **amounts,
        )
    )
    session.flush()
    return number


def say(word: str) -> None:
    print(word, flush=True)  # noqa: T201 what the parent reads


def issue_many(url: str, issuer_ids: list[int], seed: int, count: int, dies_at: int) -> None:
    """Issue documents of two kinds and two years; a third of them is undone, and at one the process dies."""
    engine, chance = open_engine(url), random.Random(seed)
    for turn in range(count):
        try:
            with transaction(engine) as session:
                at_us = NEW_YEARS_EVE_US + chance.choice((0, 1)) * HOUR_US
                kind = chance.choice(("invoice", "credit_note"))
                issue_document(session, chance.choice(issuer_ids), kind, at_us)
                if turn == dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if chance.random() < 1 / 3:
                    raise Undone
        except Undone:
            pass
    engine.dispose()


def hold_one(url: str, issuer_id: int) -> None:
    """Take a number and never come to the commit."""
    with transaction(open_engine(url)) as session:
        say(issue_document(session, issuer_id, "invoice", NEW_YEARS_EVE_US))
        sys.stdin.readline()


def main() -> None:
    url, task, issuers, *numbers = sys.argv[1:]
    issuer_ids = [int(x) for x in issuers.split(",")]
    if task == "hold":
        hold_one(url, issuer_ids[0])
        return
    say("ready")
    sys.stdin.readline()  # all processes begin together
    seed, count, dies_at = map(int, numbers)
    issue_many(url, issuer_ids, seed, count, dies_at)


if __name__ == "__main__":
    main()
