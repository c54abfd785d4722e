"""What dunning goes by for each invoice that is past its day, read for one account or for all that are due.

One statement reads all facts, so that the run that acts and the brake and the dry run before it see the same.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_catalogue import Policy, PolicyBook
from pbxbill.billing.dunning.dunning_policy import SEVERE, Reached, Standing, Waits, WorkingDays, decide
from pbxbill.clock import SECOND_US
from pbxbill.store.driver import row_lock, rows_within

CAUSE = "dunning:"
"""What causes of suspensions begin with that dunning makes; the invoice's id follows."""
_COLUMNS = (
    "SELECT s.invoice_id, s.account_id, a.code, a.parent_id, i.unit, "  # noqa: S608 the cause is ours
    "i.open - i.disputed, i.due_us, s.level, "
    "s.since_us, s.next_us, s.penalty_to_us, COALESCE(NULLIF(b.zone, ''), u.zone, 'UTC'), "
    "b.dunning_policy_id, b.penalty_class_id, COALESCE(b.group_name, ''), "
    "(SELECT MAX(p.until_us) FROM promises_to_pay p WHERE p.account_id = s.account_id "
    "AND p.state = 'open' AND p.unit = i.unit AND (p.invoice_id IS NULL OR p.invoice_id = s.invoice_id) "
    "AND p.until_us >= :now_us), "
    "CASE WHEN a.status = 'terminated' AND NOT EXISTS (SELECT 1 FROM suspensions x "
    f"WHERE x.account_id = a.id AND x.lifted_us IS NULL AND x.cause LIKE '{CAUSE}%') THEN 1 ELSE 0 END, "
    "a.status, i.number, a.name, COALESCE(NULLIF(b.language, ''), a.language) "
    "FROM dunning_states s JOIN invoices i ON i.id = s.invoice_id JOIN accounts a ON a.id = s.account_id "
    "LEFT JOIN billing_profiles b ON b.account_id = s.account_id "
    "LEFT JOIN issuers u ON u.account_id = a.parent_id "
)
_OF_ACCOUNT = _COLUMNS + "WHERE s.account_id = :account_id ORDER BY s.invoice_id"
_OF_INVOICE = _COLUMNS + "WHERE s.invoice_id = :invoice_id"
ENROLLED_TOGETHER = 5_000
"""So many invoices at most are noted in one transaction: the first run of a policy may find all there are."""
LOOKED_AT_US = 7 * 86_400 * SECOND_US
"""So often at least each invoice is looked at that is in dunning, whatever it waits for."""
_DUE = _COLUMNS + (
    # Nothing is put off for so long: what seems to be was noted by a clock that has been set back.
    "WHERE s.next_us <= :now_us OR s.next_us > :too_far_us ORDER BY s.account_id, s.invoice_id"
)
_NEW = (
    # With the level that it had reached before, if it was paid and that was taken back.
    "SELECT i.id AS invoice_id, i.account_id AS account_id, COALESCE((SELECT MAX(t.level) "
    "FROM dunning_steps t WHERE t.invoice_id = i.id), 0) AS level, CAST(NULL AS BIGINT) AS since_us, "
    "i.due_us AS next_us, CAST(NULL AS BIGINT) AS penalty_to_us FROM invoices i "
    "WHERE i.state IN ('issued', 'partly_paid') AND i.due_us < :now_us AND i.open > 0 "
    "AND i.kind IN ('invoice', 'debit_note') AND i.issuer_id IN (SELECT issuer_id FROM dunning_policies) "
    "AND NOT EXISTS (SELECT 1 FROM dunning_states s WHERE s.invoice_id = i.id)"
)
_ENROL = (
    f"INSERT INTO dunning_states (invoice_id, account_id, level, since_us, next_us, penalty_to_us) {_NEW}"
)
_DUE_OR_NEW = _DUE.replace(
    "FROM dunning_states s JOIN invoices",
    "FROM (SELECT invoice_id, account_id, level, since_us, next_us, penalty_to_us "  # noqa: S608 ours
    f"FROM dunning_states UNION ALL {_NEW}) s JOIN invoices",
)


class Dunned(NamedTuple):
    """An invoice in dunning."""

    invoice_id: int
    account_id: int
    code: str
    """Of the account."""
    issuer_id: int
    unit: str
    overdue: int
    due_us: int
    level: int
    since_us: int | None
    next_us: int | None
    penalty_to_us: int | None
    zone: str
    chosen_policy_id: int | None
    chosen_penalty_id: int | None
    group: str
    promised_to_us: int | None
    closed: int
    status: str
    """Of the account."""
    number: str
    name: str
    language: str
    """Both of the account."""

    @property
    def standing(self) -> Standing:
        """As a policy looks at it."""
        return Standing(
            self.unit,
            self.overdue,
            self.due_us,
            self.level,
            self.since_us if self.level else None,
            self.promised_to_us,
            bool(self.closed),
        )

    def due(self, now_us: int) -> bool:
        """Whether it is to be looked at now."""
        next_us = self.next_us
        return next_us is not None and (next_us <= now_us or next_us > now_us + 2 * LOOKED_AT_US)

    @property
    def cause(self) -> str:
        """Of the suspension that dunning makes for it."""
        return f"{CAUSE}{self.invoice_id}"

    def policy(self, book: PolicyBook) -> Policy | None:
        """By which it is dunned."""
        return book.of(self.issuer_id, self.chosen_policy_id, self.group)


class PutBack(NamedTuple):
    """Dunning goes on: what the level did that was reached before is done again, before the next comes."""

    number: int


def enrol(session: Session, now_us: int) -> int:
    """Note invoices whose day is over and that nobody has paid; how many are new.

    ENROLLED_TOGETHER of them: there may be more.
    """
    # Who is paying in this moment is left to the next run, which sees what is open then.
    lock = row_lock(session, "FOR KEY SHARE OF i SKIP LOCKED")
    statement = text(f"{_ENROL} LIMIT {ENROLLED_TOGETHER}{lock} ON CONFLICT (invoice_id) DO NOTHING")
    return int(session.execute(statement, {"now_us": now_us}).rowcount)  # type: ignore[attr-defined]  # it has it


def of_account(session: Session, account_id: int, now_us: int) -> list[Dunned]:
    """An account's invoices in dunning."""
    values = {"account_id": account_id, "now_us": now_us}
    return [Dunned(*row) for row in rows_within(session, _OF_ACCOUNT, values)]


def of_invoice(session: Session, invoice_id: int, now_us: int) -> Dunned | None:
    """One invoice, if it is in dunning."""
    found = rows_within(session, _OF_INVOICE, {"invoice_id": invoice_id, "now_us": now_us})
    return Dunned(*found[0]) if found else None


def all_due(session: Session, now_us: int, *, with_new: bool = False) -> Iterator[Dunned]:
    """All at which dunning has to look now, account by account, in bounded memory.

    with_new: also those that enrol() would find.
    """
    session.flush()
    rows = session.connection().execution_options(stream_results=True, max_row_buffer=1_000)
    moments = {"now_us": now_us, "too_far_us": now_us + 2 * LOOKED_AT_US}
    for row in rows.execute(text(_DUE_OR_NEW if with_new else _DUE), moments):
        yield Dunned(*row)


def act(days: WorkingDays, invoice: Dunned, now_us: int) -> Reached | PutBack | Waits:
    """What is to be done about an invoice now; what was lifted is put back before anything else."""
    if not invoice.level or invoice.since_us is not None:
        return decide(days, invoice.standing, now_us)
    # As if its level had been reached on the due day: that only tells whether and when something is done.
    again = invoice.standing
    found = decide(days, Standing(again.unit, again.overdue, again.due_us, 0, None, again.promised_to_us,
                                  again.closed), now_us)  # fmt: skip
    return PutBack(invoice.level) if isinstance(found, Reached) else found


def takes_service(policy: Policy, found: Reached | PutBack | Waits) -> bool:
    """Whether an account loses service by what is to be done."""
    levels = policy.terms.levels
    if isinstance(found, Reached):
        return levels[found.number - 1].action in SEVERE
    return isinstance(found, PutBack) and worst_level(policy, found.number) is not None


def worst_level(policy: Policy, reached: int) -> int | None:
    """The last of the levels up to one that takes service; None: none of them does."""
    severe = [
        number for number, level in enumerate(policy.terms.levels[:reached], 1) if level.action in SEVERE
    ]
    return severe[-1] if severe else None
