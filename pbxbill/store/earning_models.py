"""What of charges in advance has become revenue: which charge, by which entry, for which month.

Registered with store.models' metadata. Rows are never changed: they say what an entry of many charges is
made of, and `pbxbill verify` compares both.
"""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base


class EarningRow(Base):
    """What an entry has made revenue of a charge's deferred amount."""

    __tablename__ = "earnings"
    charge_id: Mapped[int] = mapped_column(ForeignKey("charges.id"), primary_key=True)
    entry_id: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)
    month: Mapped[str] = mapped_column(String(7))
    """Of the issuer's books, YYYY-MM."""
    amount: Mapped[int]
    """Below zero: of a charge that gives back."""
