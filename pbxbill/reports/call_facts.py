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
    "calls", "denied", "answered", "billed_us", "wait_us", "rung", "ringing_us", "charges", "billable_s",
    "total", "tax", "cost", "unknown",
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

_CALLS = """
WITH RECURSIVE {spans}operator(id) AS (SELECT id FROM accounts WHERE path = '/'),
calls AS (
  SELECT d.bucket, d.session_id, d.account_id, d.direction, d.destination,
    COALESCE(d.answered_us - d.started_us, 0) AS wait_us, d.billed_us,
    CASE WHEN d.ringing_us IS NULL THEN 0 ELSE 1 END AS rung, COALESCE(d.ringing_us, 0) AS ringing_us,
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
offered AS (
  SELECT c.*, COALESCE(u.seller_id, o.id) AS seller_id, COALESCE(u.customer_id, 0) AS customer_id,
    CASE WHEN COALESCE(u.seller_id, o.id) = o.id THEN 1 ELSE 0 END AS by_operator
  FROM calls c CROSS JOIN operator o LEFT JOIN up u ON u.account_id = c.account_id {of_seller}),
"""
_CHARGED = """
charged AS (
  SELECT c.*, x.account_id AS payer_id, x.rate_id, w.unit,
    CASE WHEN x.line = 0 THEN 1 ELSE 0 END AS charges,
    CASE WHEN x.line = 0 THEN x.billable_s ELSE 0 END AS charged_s, x.total, x.tax
  FROM {charged_of} c JOIN call_charges x ON x.session_id = c.session_id {of_payers}
  JOIN wallets w ON w.id = x.wallet_id
  UNION ALL
  SELECT c.*, y.account_id, x.rate_id, w.unit, 0, 0, y.new_total - y.old_total, y.tax_delta
  FROM {charged_of} c JOIN call_corrections y ON y.session_id = c.session_id
  JOIN call_charges x ON x.session_id = y.session_id AND x.level = y.level AND x.line = y.line {of_payers}
  JOIN wallets w ON w.id = y.wallet_id),
"""
# Of one seller, each call has one customer of his: charges are found by indexes, and no two of these big
# parts are joined, whose sizes PostgreSQL cannot know.
_OF_ONE = """
sold AS (
  SELECT c.*, COALESCE(x.rate_id, 0) AS rate_id, COALESCE(w.unit, '') AS unit
  FROM offered c LEFT JOIN call_charges x ON x.session_id = c.session_id
    AND x.account_id = c.customer_id AND x.line = 0
  LEFT JOIN wallets w ON w.id = x.wallet_id),
taken AS (
  SELECT c.*, c.carrier_id * c.by_operator AS carried_by
  FROM charged c WHERE payer_id = customer_id OR customer_id = 0),
paid AS (
  SELECT c.* FROM charged c WHERE payer_id = seller_id AND customer_id <> 0),
"""
# Of all sellers, each charge is one's income and may be another's cost.
_OF_ALL = """
sold AS (
  SELECT c.*, COALESCE(x.rate_id, 0) AS rate_id, COALESCE(x.unit, '') AS unit
  FROM offered c LEFT JOIN charged x ON x.session_id = c.session_id
    AND x.payer_id = c.customer_id AND x.charges = 1),
taken AS (
  SELECT c.*, COALESCE(a.parent_id, o.id) AS seller_id,
    CASE WHEN COALESCE(a.parent_id, o.id) = o.id THEN c.carrier_id ELSE 0 END AS carried_by
  FROM charged c CROSS JOIN operator o JOIN accounts a ON a.id = c.payer_id),
paid AS (
  SELECT c.*, u.seller_id, u.customer_id
  FROM charged c JOIN up u ON u.account_id = c.account_id AND u.seller_id = c.payer_id),
"""
_FACTS = """
facts AS (
  SELECT bucket, seller_id, customer_id, destination, direction, carrier_id * by_operator AS carrier_id,
    rate_id, unit, 1 AS calls, denied, answered, billed_us, wait_us * answered AS wait_us, rung, ringing_us,
    0 AS charges, 0 AS billable_s, 0 AS total, 0 AS tax,
    CASE WHEN cost_unit = unit THEN cost * by_operator ELSE 0 END AS cost,
    CASE WHEN direction = 'outbound' AND cost_unit IS NULL THEN by_operator * answered ELSE 0 END AS unknown
  FROM sold
  UNION ALL
  SELECT bucket, seller_id, payer_id, destination, direction, carried_by, rate_id, unit,
    0, 0, 0, 0, 0, 0, 0, charges, charged_s, total, tax, 0, 0
  FROM taken
  UNION ALL
  SELECT bucket, seller_id, customer_id, destination, direction, carrier_id, rate_id, cost_unit,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, cost, 0
  FROM sold WHERE by_operator = 1 AND cost_unit <> unit
  UNION ALL
  SELECT bucket, seller_id, customer_id, destination, direction, 0, 0, unit,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, total - tax, 0
  FROM paid)
"""
FEW_SPANS = 50
OF_SPAN = "s.bucket"
OF_HALF = f"d.started_us / {HALF_US}"
"""What a call's bucket is: that of its span, or the number of its half hour."""


def facts(
    spans: Iterable[Span],
    members: Members = EVERY,
    below: str | None = None,
    bucket: str = OF_SPAN,
    *,
    of_seller: bool = False,
) -> str:
    """WITH ... facts AS (...): the caller adds what it selects, and gives the values that are named.

    below: the path of an account; only calls of accounts below it are read. of_seller: facts of others than
    :seller_id need not be whole.
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
    begun = _CALLS.format(
        spans=listed,
        records=records,
        carried=" ".join(carried),
        of_seller="AND u.seller_id = :seller_id" if of_seller else "",
    )
    charged = _CHARGED.format(
        charged_of="offered" if of_seller else "calls",
        of_payers="AND x.account_id IN (c.customer_id, c.seller_id)" if of_seller else "",
    )
    return begun + charged + (_OF_ONE if of_seller else _OF_ALL) + _FACTS


def _records(spans: Sequence[Span], bucket: str, chosen: str) -> tuple[str, str]:
    """How the records of some time are read, and what has to be defined before."""
    times = "d.started_us, d.answered_us, d.billed_us, d.ringing_us"
    columns = f"d.session_id, d.account_id, d.direction, d.destination, {times}"
    begin = f"SELECT {{}} AS bucket, {columns}, d.denial FROM "  # noqa: S608 names are ours
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
