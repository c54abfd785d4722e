"""Sums of a report's rows: one for each unit, since nothing is converted."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from pbxbill.reports.report import Asked, period_of, seller_of


def by_unit(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Totals by unit, in the order of their codes."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        total = found.setdefault(row["unit"], {"unit": row["unit"]})
        for key in keys:
            total[key] = total.get(key, 0) + (row.get(key) or 0)
    return [found[unit] for unit in sorted(found)]


def asked_values(session: Session, asked: Asked) -> dict[str, Any]:
    """The seller and the period, as statements name them."""
    from_us, to_us = period_of(asked)
    return {"seller_id": seller_of(session, asked).id, "from_us": from_us, "to_us": to_us}
