"""What calls were to each seller above the account that made them, as one statement over the records.

A call counts once for every seller: the operator, and each reseller above the caller. Its money is what the
seller's own customer was charged, in that wallet's unit; its cost what the seller pays for it himself. A call
stands with the unit and the rate by which it was charged first, without a unit if nothing was charged:
nothing is counted twice, no currencies are mixed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pbxbill.reports.cover import HALF_US

MEASURES = (
    "calls", "denied", "answered", "billed_us", "wait_us", "charges", "billable_s", "total", "tax", "cost",
    "unknown",
)  # fmt: skip
"""As in RollupRow."""
DIMENSIONS = {
    "direction": "direction",
    "account": "CAST(customer_id AS VARCHAR(20))",
    "destination": "destination",
    "carrier": "CAST(carrier_id AS VARCHAR(20))",
    "rate": "CAST(rate_id AS VARCHAR(20))",
}
"""What each dimension's member is in a fact."""
HOURLY = ("direction", "carrier")
"""Dimensions with so few members that their halves of hours are kept for ever."""
SUMS = ", ".join(f"CAST(SUM({x}) AS BIGINT) AS {x}" for x in MEASURES)


class Span(NamedTuple):
    """Time that is read, and which of the asked periods it belongs to."""

    bucket: int
    from_us: int
    to_us: int


class Members(NamedTuple):
    """Which calls are read; None: all of them."""

    account_id: int | None = None
    """Made by this account or one below it."""
    destination: str | None = None
    carrier_id: int | None = None
    rate_id: int | None = None
    direction: str | None = None


EVERY = Members()

_FACTS = """
WITH RECURSIVE {spans}operator(id) AS (SELECT id FROM accounts WHERE kind = 'operator'),
calls AS (
  SELECT d.bucket, d.session_id, d.account_id, d.direction, d.destination,
    COALESCE(d.answered_us - d.started_us, 0) AS wait_us, d.billed_us,
    CASE WHEN d.denial IS NULL THEN 0 ELSE 1 END AS denied,
    CASE WHEN d.answered_us IS NULL THEN 0 ELSE 1 END AS answered,
    COALESCE(k.carrier_id, 0) AS carrier_id, k.unit AS cost_unit, COALESCE(k.cost, 0) AS cost
  FROM ({records}) d
  LEFT JOIN call_costs k ON k.session_id = d.session_id
  WHERE 1 = 1 {carried}),
up(account_id, customer_id, seller_id) AS (
  SELECT a.id, a.id, a.parent_id FROM (SELECT DISTINCT account_id FROM calls) c
  JOIN accounts a ON a.id = c.account_id WHERE a.parent_id IS NOT NULL
  UNION ALL
  SELECT u.account_id, a.id, a.parent_id FROM up u JOIN accounts a ON a.id = u.seller_id
  WHERE a.parent_id IS NOT NULL),
lines AS (
  SELECT c.bucket, c.session_id, c.account_id, c.direction, c.destination, c.carrier_id,
    x.account_id AS payer_id, x.rate_id, w.unit, CASE WHEN x.line = 0 THEN 1 ELSE 0 END AS charges,
    CASE WHEN x.line = 0 THEN x.billable_s ELSE 0 END AS billable_s, x.total, x.tax
  FROM calls c JOIN call_charges x ON x.session_id = c.session_id JOIN wallets w ON w.id = x.wallet_id
  UNION ALL
  SELECT c.bucket, c.session_id, c.account_id, c.direction, c.destination, c.carrier_id, y.account_id,
    x.rate_id, w.unit, 0, 0, y.new_total - y.old_total, y.tax_delta
  FROM calls c JOIN call_corrections y ON y.session_id = c.session_id
  JOIN call_charges x ON x.session_id = y.session_id AND x.level = y.level AND x.line = y.line
  JOIN wallets w ON w.id = y.wallet_id),
sold AS (
  SELECT c.*, COALESCE(u.seller_id, o.id) AS seller_id, COALESCE(u.customer_id, 0) AS customer_id,
    CASE WHEN COALESCE(u.seller_id, o.id) = o.id THEN 1 ELSE 0 END AS by_operator,
    COALESCE(l.rate_id, 0) AS rate_id, COALESCE(l.unit, '') AS unit
  FROM calls c CROSS JOIN operator o LEFT JOIN up u ON u.account_id = c.account_id
  LEFT JOIN lines l ON l.session_id = c.session_id AND l.payer_id = u.customer_id AND l.charges = 1),
facts AS (
  SELECT bucket, seller_id, customer_id, destination, direction, carrier_id * by_operator AS carrier_id,
    rate_id, unit, 1 AS calls, denied, answered, billed_us, wait_us * answered AS wait_us,
    0 AS charges, 0 AS billable_s, 0 AS total, 0 AS tax,
    CASE WHEN cost_unit = unit THEN cost * by_operator ELSE 0 END AS cost,
    CASE WHEN direction = 'outbound' AND cost_unit IS NULL THEN by_operator * answered ELSE 0 END AS unknown
  FROM sold
  UNION ALL
  SELECT l.bucket, COALESCE(a.parent_id, o.id), l.payer_id, l.destination, l.direction,
    CASE WHEN a.parent_id = o.id THEN l.carrier_id ELSE 0 END, l.rate_id, l.unit,
    0, 0, 0, 0, 0, l.charges, l.billable_s, l.total, l.tax, 0, 0
  FROM lines l CROSS JOIN operator o JOIN accounts a ON a.id = l.payer_id
  UNION ALL
  SELECT bucket, seller_id, customer_id, destination, direction, carrier_id, rate_id, cost_unit,
    0, 0, 0, 0, 0, 0, 0, 0, 0, cost, 0
  FROM sold WHERE by_operator = 1 AND cost_unit <> unit
  UNION ALL
  SELECT l.bucket, u.seller_id, u.customer_id, l.destination, l.direction, 0, 0, l.unit,
    0, 0, 0, 0, 0, 0, 0, 0, 0, l.total - l.tax, 0
  FROM lines l JOIN up u ON u.account_id = l.account_id AND u.seller_id = l.payer_id)
"""
FEW_SPANS = 50
OF_SPAN = "s.bucket"
OF_HALF = f"d.started_us / {HALF_US}"
"""What a call's bucket is: that of its span, or the number of its half hour."""


def facts(
    spans: Iterable[Span], members: Members = EVERY, below: str | None = None, bucket: str = OF_SPAN
) -> str:
    """WITH ... facts AS (...): the caller adds what it selects, and gives the values of `values()`.

    below: the path of an account; only calls of accounts below it are read.
    """
    chosen, carried = [], []
    if below is not None and below != "/":
        chosen.append("AND d.account_id IN (SELECT id FROM accounts WHERE path LIKE :below)")
    if members.account_id is not None:
        chosen.append("AND d.account_id IN (SELECT id FROM accounts WHERE path LIKE :member_path)")
    if members.destination is not None:
        chosen.append("AND d.destination = :destination")
    if members.direction is not None:
        chosen.append("AND d.direction = :direction")
    if members.carrier_id is not None:
        carried.append(f"AND k.carrier_id = {int(members.carrier_id)}")
    listed, records = _records(list(spans), bucket, " ".join(chosen))
    return _FACTS.format(spans=listed, records=records, carried=" ".join(carried))


def _records(spans: Sequence[Span], bucket: str, chosen: str) -> tuple[str, str]:
    """How the records of some time are read, and what has to be defined before."""
    columns = "d.session_id, d.account_id, d.direction, d.destination, d.started_us, d.answered_us"
    begin = f"SELECT {{}} AS bucket, {columns}, d.billed_us, d.denial FROM "  # noqa: S608 names are ours
    if len(spans) > FEW_SPANS:
        listed = ", ".join(f"({int(x.bucket)}, {int(x.from_us)}, {int(x.to_us)})" for x in spans)
        joined = "spans s JOIN cdrs d ON d.started_us >= s.from_us AND d.started_us < s.to_us"
        named = f"spans(bucket, from_us, to_us) AS (VALUES {listed}), "
        return named, f"{begin.format(bucket)}{joined} {chosen}"
    # PostgreSQL knows how many records lie between two constants, not between columns.
    few = [
        begin.format(bucket.replace(OF_SPAN, str(int(x.bucket))))
        + f"cdrs d WHERE d.started_us >= {int(x.from_us)} AND d.started_us < {int(x.to_us)} {chosen}"
        for x in spans
    ]
    return "", " UNION ALL ".join(few)
