"""Who steers a switch, and what was found when its records and ours were compared."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId


class DaemonLeaseRow(Base):
    """Which daemon steers a switch; a second one is refused while the lease is fresh."""

    __tablename__ = "daemon_leases"
    switch: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(200))
    renewed_us: Mapped[int]


class ReconciliationRow(Base):
    """One run of reconciliation."""

    __tablename__ = "reconciliations"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    switch: Mapped[str] = mapped_column(String(64))
    at_us: Mapped[int]
    open_count: Mapped[int]
    live_count: Mapped[int]
    record_count: Mapped[int]


class DifferenceRow(Base):
    """One thing that reconciliation found and what it did about it."""

    __tablename__ = "reconciliation_differences"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    reconciliation_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id"), index=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(24))
    detail: Mapped[str] = mapped_column(String(300))
