"""How money was handed over, as the memo of its entry begins with it: in columns, filters and sums."""

from typing import Any

from sqlalchemy import case, or_

from pbxbill.listing.listing import N_

CASH = "cash"
OTHER = "other"
METHODS = (
    (CASH, N_("cash")),
    ("bank", N_("bank transfer")),
    ("cheque", N_("cheque")),
    ("card", N_("card")),
    (OTHER, N_("other")),
)
"""What the panel offers; the command line and programs may write others."""


def method_of(memo: Any) -> Any:
    """The method that a column of memos begins with, in SQL."""
    known = [x for x, _ in METHODS if x != OTHER]
    return case(*((or_(memo == x, memo.startswith(f"{x}: ")), x) for x in known), else_=OTHER)
