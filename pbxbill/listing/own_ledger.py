"""What the balance of an account was used for: every movement of its wallets, with what was left after it."""

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.ledger import LEDGER, LOOKED_THROUGH
from pbxbill.listing.listing import (
    N_,
    Asked,
    Column,
    ColumnKind,
    Filter,
    FilterKind,
    Looked,
    Rows,
    contains,
    is_looked_for,
)
from pbxbill.listing.wallet_entries import (
    at_wallets,
    books_of_wallets,
    movements,
    of_kind,
    wallets_and_size,
)
from pbxbill.store.models import CdrRow, JournalEntryRow, PostingRow, WalletRow
from pbxbill.store.points_units import is_of_money

KINDS = (
    ("usage", N_("Calls and other usage")),
    ("charge", N_("Charges")),
    ("top-up", N_("Top-ups")),
    ("payment", N_("Payments")),
    ("voucher", N_("Vouchers")),
    ("allocation", N_("Invoices paid from it")),
    ("refund", N_("Refunds")),
    ("transfer", N_("Transfers")),
    ("adjustment", N_("Adjustments")),
)
_GAPS = (
    "WITH gaps(older, newer) AS (VALUES {gaps}) SELECT g.older, "
    "(SELECT COALESCE(SUM(-p.amount), 0) FROM postings p WHERE p.ledger_account_id = :ledger_account_id "
    "AND p.entry_id > g.older AND p.entry_id <= g.newer) FROM gaps g"
)
MOST_OLDER = 1_000
"""So many movements from the first one on are added up rather than all those that came later."""
_MONEY = is_of_money(WalletRow.unit)
_LAST = "own_ledger.last_balances"
"""In a session's info: where the page before ended, so that a file of all pages reads no movement twice."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was in a wallet after an entry."""

    entry_id: str
    balance: int


def _rows(session: Session, scope: Scope) -> Rows:
    return _of_wallets(session, scope, _MONEY)


def _points(session: Session, scope: Scope) -> Rows:
    return _of_wallets(session, scope, ~_MONEY)


def _of_wallets(session: Session, scope: Scope, only: ColumnElement[bool]) -> Rows:
    books = books_of_wallets(session, scope.account_id, only)
    return LEDGER.rows(session, scope).add_columns(
        PostingRow.ledger_account_id.label("wallet"),
        JournalEntryRow.idempotency_key.label("key"),
        WalletRow.account_id.label("account_id"),
    ).where(at_wallets(PostingRow.ledger_account_id, books))  # fmt: skip


def _looked(session: Session, scope: Scope, asked: Asked) -> Looked | None:
    if not is_looked_for((*LOOKED_THROUGH, "q"), asked):
        return None
    wallets = wallets_and_size(session, scope.account_id, _MONEY)
    return movements(wallets, asked.filters.get("kind", "").strip())


def _told(session: Session, rows: list[dict[str, Any]]) -> None:
    _calls(session, rows)
    _balances(session, rows)


def _calls(session: Session, rows: list[dict[str, Any]]) -> None:
    """Say of what a call took where it went; "call" is its id where it is one of the wallet's account."""
    keys = [(row, str(row.pop("key")).split(":")) for row in rows]
    sessions = {row["id"]: key[1] for row, key in keys if row["kind"] == "usage" and len(key) > 1}
    query = select(CdrRow.session_id, CdrRow.account_id, CdrRow.dialled)
    calls = {x[0]: x for x in session.execute(query.where(CdrRow.session_id.in_(set(sessions.values()))))}
    for row in rows:
        call, account_id = calls.get(sessions.get(row["id"], "")), row.pop("account_id")
        row["call"] = call[0] if call is not None and call[1] == account_id else None
        if call is not None:
            row["memo"] = row["memo"] or call[2]


def _balances(session: Session, rows: list[dict[str, Any]]) -> None:
    of_wallets: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        of_wallets[row.pop("wallet")].append(row)
    for ledger_account_id, some in of_wallets.items():
        _balances_of(session, ledger_account_id, sorted(some, key=lambda row: str(row["id"]), reverse=True))


def _balances_of(session: Session, ledger_account_id: int, rows: list[dict[str, Any]]) -> None:
    """rows: the newest first. What a filter leaves out moved the balance all the same."""
    last: dict[int, _Known] = session.info.setdefault(_LAST, {})
    now = _known(session, ledger_account_id, str(rows[0]["id"]), last.get(ledger_account_id))
    rows[0]["balance"] = now.balance
    moved = _moved_between(session, ledger_account_id, [str(x["id"]) for x in rows])
    for newer, older in pairwise(rows):
        # After two movements of one entry the wallet holds the same.
        grew = moved[str(older["id"])] if older["id"] != newer["id"] else 0
        older["balance"] = newer["balance"] - grew
    last[ledger_account_id] = _Known(str(rows[-1]["id"]), rows[-1]["balance"])


def _known(session: Session, ledger_account_id: int, entry_id: str, last: _Known | None) -> _Known:
    if last is not None:
        if last.entry_id >= entry_id:
            since = _moved(session, ledger_account_id, entry_id, last.entry_id)
            return _Known(entry_id, last.balance - since)
        since = _moved(session, ledger_account_id, last.entry_id, entry_id)
        return _Known(entry_id, last.balance + since)
    at = PostingRow.ledger_account_id == ledger_account_id
    older = select(PostingRow.amount).where(at, PostingRow.entry_id <= entry_id).limit(MOST_OLDER + 1)
    amounts = session.scalars(older).all()
    if len(amounts) <= MOST_OLDER:
        return _Known(entry_id, -sum(amounts))
    newer = (
        select(func.coalesce(func.sum(PostingRow.amount), 0))
        .where(at, PostingRow.entry_id > entry_id)
        .scalar_subquery()
    )
    # Both in one statement: a movement between two of them would be missed.
    found = session.execute(
        select(WalletRow.posted, newer).where(WalletRow.ledger_account_id == ledger_account_id)
    ).one()
    return _Known(entry_id, int(found[0]) + int(found[1]))


def _moved_between(session: Session, ledger_account_id: int, ids: list[str]) -> dict[str, int]:
    """By how much a wallet grew after each of some entries, up to and with the one before it in the list."""
    gaps = [(older, newer) for newer, older in pairwise(ids) if older != newer]
    if not gaps:
        return {}
    given = {f"a{n}": older for n, (older, _) in enumerate(gaps)}
    given |= {f"b{n}": newer for n, (_, newer) in enumerate(gaps)}
    found = session.execute(
        text(_GAPS.format(gaps=", ".join(f"(:a{n}, :b{n})" for n in range(len(gaps))))),
        given | {"ledger_account_id": ledger_account_id},
    )
    return {str(older): int(moved) for older, moved in found}


def _moved(session: Session, ledger_account_id: int, after: str, up_to: str) -> int:
    """By how much a wallet grew after one entry, up to and with another."""
    query = select(func.coalesce(func.sum(-PostingRow.amount), 0)).where(
        PostingRow.ledger_account_id == ledger_account_id,
        PostingRow.entry_id > after,
        PostingRow.entry_id <= up_to,
    )
    return int(session.scalar(query) or 0)


OWN_LEDGER = replace(
    LEDGER,
    name="my-ledger",
    title=N_("What your balance was used for"),
    permission=Permission.OWN_READ,
    columns=(
        Column("at_us", N_("When"), ColumnKind.MOMENT),
        Column("kind", N_("What"), ColumnKind.STATE),
        Column("memo", N_("Note")),
        Column("amount", N_("Amount"), ColumnKind.MONEY),
        Column("balance", N_("Balance after it"), ColumnKind.MONEY),
    ),
    rows=_rows,
    filters=(
        Filter("kind", N_("What"), of_kind, FilterKind.CHOICE, KINDS),
        Filter("q", N_("Note"), contains(JournalEntryRow.memo)),
        *(x for x in LEDGER.filters if x.key in ("unit", "from", "to")),
    ),
    finish=_told,
    candidates=_looked,
)
OWN_POINTS = replace(
    OWN_LEDGER,
    name="my-points",
    title=N_("Points"),
    rows=_points,
    filters=tuple(x for x in OWN_LEDGER.filters if x.key != "kind"),
    candidates=None,
)
"""The same of points: earned, spent, expired."""
