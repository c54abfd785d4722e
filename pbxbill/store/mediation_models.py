"""Tables of mediation: runs with their checkpoint, what they could not rate, meters and their readings."""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, CdrRow, RowId

# By the switch's id of a call an import asks whether a daemon charged it, and reconciliation the reverse.
Index("ix_cdrs_call_id", CdrRow.call_id)


class MediationRunRow(Base):
    """One reading of a source, with how far it is: what it posted is committed together with position."""

    __tablename__ = "mediation_runs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(String(1000), index=True)
    """Absolute path of a file or folder, or "-" for standard input."""
    file: Mapped[str] = mapped_column(String(1000))
    """Which file the checkpoint is in."""
    mapping: Mapped[str] = mapped_column(Text)
    """JSON of how it was read: what is retried later is read in the same way."""
    switch: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(12))
    """running, done, stopped or failed; a run that was killed still says running."""
    detail: Mapped[str] = mapped_column(String(500))
    started_us: Mapped[int]
    updated_us: Mapped[int]
    ended_us: Mapped[int | None]
    head_bytes: Mapped[int]
    head_hash: Mapped[str] = mapped_column(String(64))
    """Of the file's first head_bytes bytes: whether a file of that name is still the same one."""
    position: Mapped[int]
    """Bytes that are dealt with."""
    line: Mapped[int]
    read: Mapped[int]
    filtered: Mapped[int]
    rated: Mapped[int]
    unanswered: Mapped[int]
    duplicates: Mapped[int]
    quarantined: Mapped[int]


class MediationTallyRow(Base):
    """What a run adds up: money by account and unit, quarantined records by reason."""

    __tablename__ = "mediation_tallies"
    run_id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    """money or reason."""
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    records: Mapped[int]
    total: Mapped[int]
    uncollected: Mapped[int]


class QuarantinedRow(Base):
    """A record that could not be rated."""

    __tablename__ = "quarantined_records"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    record_key: Mapped[str] = mapped_column(String(32), unique=True)
    """The session that it is charged under, if it ever is."""
    run_id: Mapped[int] = mapped_column(ForeignKey("mediation_runs.id"))
    source: Mapped[str] = mapped_column(String(1000))
    """Its file."""
    line: Mapped[int]
    raw: Mapped[str] = mapped_column(Text)
    """The beginning of the line."""
    fields: Mapped[str] = mapped_column(Text)
    """JSON: what was read from it, by the mapping's names of columns."""
    reason: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(300))
    state: Mapped[str] = mapped_column(String(8))
    """open, posted or dropped."""
    attempts: Mapped[int]
    created_us: Mapped[int]
    changed_us: Mapped[int]
    __table_args__ = (Index("ix_quarantined_records_state_reason", "state", "reason"),)


class MeterTariffRow(Base):
    """One version of what a meter's consumption costs; immutable, in force from its date."""

    __tablename__ = "meter_tariffs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    terms: Mapped[str] = mapped_column(Text)
    """The TOML text of its components."""
    effective_from_us: Mapped[int]
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("name", "number"),)


class MeterRow(Base):
    """Something of an account that counts."""

    __tablename__ = "meters"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    code: Mapped[str] = mapped_column(String(64), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    measure: Mapped[str] = mapped_column(String(20))
    tariff: Mapped[str] = mapped_column(String(64))
    rolls_over_at: Mapped[int | None]
    """The value after its highest one, which it shows as 0, as readings are kept; None: it never does."""
    created_us: Mapped[int]


class MeterReadingRow(Base):
    """What a meter showed at a moment, and what the consumption since the reading before it cost."""

    __tablename__ = "meter_readings"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    meter_id: Mapped[int] = mapped_column(ForeignKey("meters.id"))
    at_us: Mapped[int]
    value: Mapped[int]
    """In millionths of the measure."""
    restarts_at: Mapped[int | None]
    """What the meter that was put in this one's place began with."""
    consumed: Mapped[int]
    total: Mapped[int]
    tax: Mapped[int]
    uncollected: Mapped[int]
    entry_id: Mapped[str | None] = mapped_column(String(32))
    explanation: Mapped[str] = mapped_column(Text)
    """JSON: how the total came about."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("meter_id", "at_us"),)
