"""Tables of reports: roll-ups of calls, which of them hold, runs in the background, schedules.

Registered with store.models' metadata. Roll-ups are sums of records that are never changed: they can be
thrown away and made again at any time.
"""

from sqlalchemy import ForeignKey, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store import access_models  # noqa: F401 users are referred to
from pbxbill.store.models import Base, RowId


class RollupRow(Base):
    """Sums of what one seller sold in half an hour, a day or a month, by one member of one dimension."""

    __tablename__ = "rollups"
    seller_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """The operator or a reseller; a call counts for each above the account that made it."""
    dimension: Mapped[str] = mapped_column(String(12), primary_key=True)
    """direction, account, destination, carrier or rate: each holds the whole once."""
    grain: Mapped[str] = mapped_column(String(5), primary_key=True)
    """half, day or month; days and months of the seller's zone. Halves of customers, destinations and rates
    are kept for a few days only."""
    start_us: Mapped[int] = mapped_column(primary_key=True)
    """By the beginning of calls."""
    member: Mapped[str] = mapped_column(String(100), primary_key=True)
    """inbound; the id of the seller's own customer; a destination's name; a carrier's or rate's id.
    0: none."""
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    """Of total, tax and cost; empty: calls for which nothing was charged."""
    calls: Mapped[int] = mapped_column(Integer)
    denied: Mapped[int] = mapped_column(Integer)
    answered: Mapped[int] = mapped_column(Integer)
    billed_us: Mapped[int]
    wait_us: Mapped[int]
    """From the request to the answer, of those that were answered."""
    rung: Mapped[int] = mapped_column(Integer, server_default="0")
    """Calls of which it is known when they rang first."""
    ringing_us: Mapped[int] = mapped_column(server_default="0")
    """Their post-dial delay."""
    charges: Mapped[int] = mapped_column(Integer)
    """Calls that were charged for in this unit first."""
    billable_s: Mapped[int]
    total: Mapped[int]
    """What the seller's own customers were charged, with tax and with what re-rating corrected."""
    tax: Mapped[int]
    cost: Mapped[int]
    """Without tax: what carriers ask the operator, what a reseller was charged himself."""
    unknown: Mapped[int] = mapped_column(Integer)
    """Answered calls to the outside of which the operator does not know the cost."""
    __table_args__ = (Index("ix_rollups_grain_start_us", "grain", "start_us"),)


class RollupMarkRow(Base):
    """Something was written about calls of an hour that may be rolled up already: in the same transaction."""

    __tablename__ = "rollup_marks"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    hour_us: Mapped[int]


class RollupStateRow(Base):
    """How far calls are rolled up; one row, locked by whoever changes roll-ups."""

    __tablename__ = "rollup_state"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    until_us: Mapped[int]
    """Hours before it hold, except those that are marked."""
    kept_us: Mapped[int]
    """Halves of customers, destinations and rates are kept from this hour on."""
    checked_us: Mapped[int] = mapped_column(server_default="0")
    """When all hours were counted again last."""


class RollupSellerRow(Base):
    """In which zone a seller's days and months were made; a seller without a row: in UTC."""

    __tablename__ = "rollup_sellers"
    seller_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    zone: Mapped[str] = mapped_column(String(64))


class RollupPeriodRow(Base):
    """A day or month whose roll-up holds for the sellers of a zone; without it, what is finer is read."""

    __tablename__ = "rollup_periods"
    zone: Mapped[str] = mapped_column(String(64), primary_key=True)
    grain: Mapped[str] = mapped_column(String(5), primary_key=True)
    start_us: Mapped[int] = mapped_column(primary_key=True)
    end_us: Mapped[int]
    """A month that is not over holds its days until then."""


class ReportScheduleRow(Base):
    """A report that is made by itself again and again, and sent by mail."""

    __tablename__ = "report_schedules"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    scope_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    """Whose report it is: the operator's or a reseller's."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100))
    report: Mapped[str] = mapped_column(String(32))
    parameters: Mapped[str] = mapped_column(Text)
    """JSON of strings by key, without days: these are the last whole period's."""
    format: Mapped[str] = mapped_column(String(8))
    every: Mapped[str] = mapped_column(String(8))
    """day, week or month."""
    zone: Mapped[str] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(8))
    minute: Mapped[int]
    """Of the local day after the period at which it is made."""
    emails: Mapped[str] = mapped_column(Text)
    """One address per line."""
    enabled: Mapped[bool]
    last_day: Mapped[str] = mapped_column(String(10), server_default="")
    """First day of the last period that was made."""
    by: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[int]


OWN_REPORT = "own:"
"""What a report's name begins with in a run that an account had made of itself, in its portal."""


class ReportRunRow(Base):
    """A report that is made in the background, and its file while it is kept."""

    __tablename__ = "report_runs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str | None] = mapped_column(String(64), unique=True)
    """Of a schedule and a period, so that it is made once."""
    scope_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whose report it is."""
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    schedule_id: Mapped[int | None] = mapped_column(index=True)
    by: Mapped[str] = mapped_column(String(200))
    report: Mapped[str] = mapped_column(String(32))
    parameters: Mapped[str] = mapped_column(Text)
    """JSON of strings by key."""
    format: Mapped[str] = mapped_column(String(8))
    zone: Mapped[str] = mapped_column(String(64))
    language: Mapped[str] = mapped_column(String(8))
    emails: Mapped[str] = mapped_column(Text, server_default="")
    """Where it is sent when it is done, one address per line."""
    state: Mapped[str] = mapped_column(String(8))
    """waiting, running, stopping, stopped, done, failed, or gone: its file was kept long enough."""
    attempts: Mapped[int] = mapped_column(server_default="0")
    progress: Mapped[int] = mapped_column(server_default="0")
    """Rows of the file."""
    error: Mapped[str] = mapped_column(String(500), server_default="")
    """Why it failed. While it is made: how far it is, and when that was said (reports/runs.py)."""
    file_name: Mapped[str] = mapped_column(String(120), server_default="")
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    asked_us: Mapped[int]
    started_us: Mapped[int | None]
    ended_us: Mapped[int | None]
    __table_args__ = (
        Index("ix_report_runs_state_id", "state", "id"),
        Index("ix_report_runs_scope_id_id", "scope_id", "id"),
    )
