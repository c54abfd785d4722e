"""Whether a report would read more records of calls than a page may wait for; counted no further."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from pbxbill.reports.call_facts import Span
from pbxbill.store.models import AccountRow

MOST_IN_A_ROW, MOST_SCATTERED = 30_000, 5_000
"""Read in a fifth of a second: of some time, and of accounts whose records lie among those of others."""
MOST_STRETCHES = 50


def are_many(session: Session, spans: Sequence[Span], account: AccountRow) -> bool:
    """Whether there are too many records in some times, of calls by an account or below it."""
    chosen, values, most = "", dict[str, object](), MOST_IN_A_ROW
    if account.kind == "customer":
        chosen, values, most = "AND account_id = :account_id", {"account_id": account.id}, MOST_SCATTERED
    elif account.path != "/":
        chosen = "AND account_id IN (SELECT id FROM accounts WHERE path LIKE :below)"
        values, most = {"below": f"{account.path}%"}, MOST_SCATTERED
    times = " OR ".join(f"started_us >= {x} AND started_us < {y}" for x, y in _stretches(spans))
    some = f"SELECT 1 FROM cdrs WHERE ({times}) {chosen} LIMIT {most + 1}"  # noqa: S608 names are ours
    found = session.scalar(text(f"SELECT COUNT(*) FROM ({some}) s"), values)  # noqa: S608 the same
    return (found or 0) > most


def _stretches(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """Times that follow each other, together; so many that they are better read as one, as one."""
    found: list[tuple[int, int]] = []
    for _, from_us, to_us in sorted(spans, key=lambda x: x.from_us):
        if found and from_us <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], to_us))
        else:
            found.append((int(from_us), int(to_us)))
    return found if len(found) <= MOST_STRETCHES else [(found[0][0], found[-1][1])]
