"""Tables of re-rating: its runs, what they changed call by call, and the notes that invoiced calls need.

Registered with store.models' metadata. A call's charge is never changed: corrections are added to it.
"""

from sqlalchemy import Boolean, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId


class ReratingRunRow(Base):
    """One re-rating of a period. What it has done is committed together with its position."""

    __tablename__ = "rerating_runs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    definition: Mapped[str] = mapped_column(Text)
    """JSON: period, accounts, and by which tariff or deck; the same one goes on where it stopped."""
    state: Mapped[str] = mapped_column(String(8))
    """running or done; one that was killed still says running."""
    position_us: Mapped[int]
    """Calls that began before this moment are dealt with."""
    calls: Mapped[int]
    """That were looked at."""
    started_us: Mapped[int]
    ended_us: Mapped[int | None]


class ReratingPlanRow(Base):
    """A re-rating that somebody asked for in the panel: reckoned first, carried out once he agrees."""

    __tablename__ = "rerating_plans"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    by: Mapped[str] = mapped_column(String(200))
    definition: Mapped[str] = mapped_column(Text)
    """As in a run."""
    state: Mapped[str] = mapped_column(String(10))
    """reckoning, ready, running, stopped, done or failed."""
    done: Mapped[int] = mapped_column(server_default="0")
    """Calls that were looked at, of total."""
    total: Mapped[int] = mapped_column(server_default="0")
    stops: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """Somebody asked it to stop."""
    preview: Mapped[str] = mapped_column(Text, server_default="")
    """JSON: what would change, by account and unit."""
    result: Mapped[str] = mapped_column(Text, server_default="")
    """JSON: what was corrected, and the notes of invoices."""
    reason: Mapped[str] = mapped_column(String(500), server_default="")
    """Why it failed."""
    run_id: Mapped[int | None]
    created_us: Mapped[int]
    beaten_us: Mapped[int]
    """When its worker last said a word."""


class CallCorrectionRow(Base):
    """What a run changed of one line of a call's charge, in the wallet's unit."""

    __tablename__ = "call_corrections"
    run_id: Mapped[int] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int]
    wallet_id: Mapped[int]
    tariff_version_id: Mapped[int]
    rate_id: Mapped[int]
    billable_s: Mapped[int]
    old_total: Mapped[int]
    """Taken before it, with tax, earlier corrections included."""
    new_total: Mapped[int]
    """Taken after it."""
    tax_delta: Mapped[int]
    uncollected_delta: Mapped[int]
    """In the tariff's unit, as in the charge."""
    invoiced: Mapped[bool] = mapped_column(Boolean, server_default=text("false"))
    """The call was on an invoice already: a note corrects it."""
    entry_id: Mapped[str | None] = mapped_column(String(32))
    """One entry for each wallet and batch of calls; None where no money moved."""
    at_us: Mapped[int]
    __table_args__ = (
        Index("ix_call_corrections_session_id", "session_id"),
        Index("ix_call_corrections_entry_id", "entry_id"),
    )


class CorrectionNoteRow(Base):
    """A credit or debit note that a run asks for."""

    __tablename__ = "correction_notes"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    run_id: Mapped[int]
    account_id: Mapped[int] = mapped_column(index=True)
    unit: Mapped[str] = mapped_column(String(12))
    kind: Mapped[str] = mapped_column(String(8))
    """credit or debit."""
    calls: Mapped[int]
    total: Mapped[int]
    """Above zero, with tax."""
    tax: Mapped[int]
    requested_us: Mapped[int]
    issued_us: Mapped[int | None]
    __table_args__ = (UniqueConstraint("run_id", "account_id", "unit", "kind"),)
