"""The schema, as SQLAlchemy models. Amounts and microseconds are 64-bit integers; there is no float column.

Rows that money follows from (tariff versions, rates, journal entries, postings, CDRs, charges) are
never changed after they are written.
"""

from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

RowId = BigInteger().with_variant(Integer, "sqlite")  # which numbers rows itself where a key is INTEGER


class Base(DeclarativeBase):
    """Every table's base."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar = {int: BigInteger, str: String, bool: Boolean}


class UnitRow(Base):
    """A unit that wallets count in."""

    __tablename__ = "units"
    code: Mapped[str] = mapped_column(String(12), primary_key=True)
    scale: Mapped[int]
    digits: Mapped[int]
    name: Mapped[str] = mapped_column(String(40), server_default="")
    symbol: Mapped[str] = mapped_column(String(8), server_default="")


class AccountRow(Base):
    """The operator (the root), resellers and customers: a tree."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    path: Mapped[str]
    """Ids from below the operator to this account, "/3/17/"; the operator's own is "/"."""
    kind: Mapped[str] = mapped_column(String(12))
    code: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(12))
    mode: Mapped[str] = mapped_column(String(12))
    tariff_id: Mapped[int | None] = mapped_column(ForeignKey("tariffs.id"))
    inbound_tariff_id: Mapped[int | None] = mapped_column(ForeignKey("tariffs.id"))
    language: Mapped[str] = mapped_column(String(8))
    failure_policy: Mapped[str] = mapped_column(String(8))
    offline_allowance: Mapped[int]
    """Most that may be charged past the limit for calls that nobody could authorize (policy open)."""
    announce_balance: Mapped[bool | None]
    announce_minutes: Mapped[bool | None]
    announce_warning: Mapped[bool | None]
    announce_denial: Mapped[bool | None]
    created_us: Mapped[int]
    dialling_rule_id: Mapped[int | None]
    """None: that of the account above."""
    wallet_order: Mapped[str | None] = mapped_column(String(200))
    """Units of the wallets that a charge takes from, in their order; None: the tariff's unit alone."""
    shadow: Mapped[bool] = mapped_column(server_default=text("false"))
    """Its calls are charged, and nobody is cut or denied."""
    minimum_balance: Mapped[int | None]
    """With less to spend, in its tariff's unit, no call to the outside begins; None: no such floor."""
    __table_args__ = (
        # Of a part of the tree; a database's own order of texts serves no LIKE.
        Index("ix_accounts_path", "path", postgresql_ops={"path": "varchar_pattern_ops"}),
        Index("ix_accounts_created_us", "created_us", "id"),
        Index("ix_accounts_name", "name", "id"),
    )


class WalletRow(Base):
    """A balance of an account in one unit. posted and reserved are sums that `verify` recomputes."""

    __tablename__ = "wallets"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    ledger_account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"), index=True)
    posted: Mapped[int]
    reserved: Mapped[int]
    credit_limit: Mapped[int]
    overdraft: Mapped[int]
    """Charged past the limit under failure policy open; a top-up pays it back first."""
    starved: Mapped[bool]
    """A live call got less than it asked for: released funds must be made known."""
    news: Mapped[int]
    """Grows whenever live calls of this wallet must be re-timed."""
    told_us: Mapped[int] = mapped_column(index=True)
    """When news last grew."""
    tell_below: Mapped[int | None]
    """Once posted - reserved + credit_limit falls below this, a balance mark is written; None: nothing to
    tell of, or the mark is there already."""
    tell_from: Mapped[int | None]
    """Its highest threshold: once filled again, the wallet is looked at anew. None: no thresholds."""
    __table_args__ = (
        UniqueConstraint("account_id", "unit"),
        CheckConstraint("reserved >= 0", name="reserved"),
        CheckConstraint("credit_limit >= 0", name="credit_limit"),
        CheckConstraint("posted - reserved + credit_limit + overdraft >= 0", name="never_overspent"),
    )


class EndpointRow(Base):
    """What identifies an account: a SIP account code, an IP (with technical prefix), a caller ID or a DID."""

    __tablename__ = "endpoints"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    value: Mapped[str] = mapped_column(String(64))
    tech_prefix: Mapped[str] = mapped_column(String(16))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    status: Mapped[str] = mapped_column(String(12), server_default="active")
    """active, or suspended by a limit or by hand."""
    tariff_id: Mapped[int | None]
    """Of calls to this DID; None: the account's inbound tariff."""
    __table_args__ = (UniqueConstraint("kind", "value", "tech_prefix"),)


class RateDeckRow(Base):
    """A named price list of an issuer: the operator, or a reseller."""

    __tablename__ = "rate_decks"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    measure: Mapped[str] = mapped_column(String(12), server_default="seconds")
    """What its prices are for: seconds, messages, bytes or items."""
    per: Mapped[int] = mapped_column(server_default="60")
    """How many of these a price is for."""
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class DeckVersionRow(Base):
    """One import of a deck; immutable, in force from its date until the next one's."""

    __tablename__ = "deck_versions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    deck_id: Mapped[int] = mapped_column(ForeignKey("rate_decks.id"))
    number: Mapped[int]
    effective_from_us: Mapped[int]
    created_us: Mapped[int]
    source: Mapped[str] = mapped_column(String(200))
    rate_count: Mapped[int]
    bands: Mapped[str] = mapped_column(String(400), server_default="")
    """Names of the bands that its rates know, with commas between."""
    banded_only: Mapped[bool] = mapped_column(server_default=text("false"))
    """Some rate has no price outside its bands."""
    __table_args__ = (UniqueConstraint("deck_id", "number"),)


class RateRow(Base):
    """One prefix of a deck version; prices have money.PRICE_SCALE digits."""

    __tablename__ = "rates"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    deck_version_id: Mapped[int] = mapped_column(ForeignKey("deck_versions.id"))
    prefix: Mapped[str] = mapped_column(String(15))
    destination: Mapped[str] = mapped_column(String(100))
    price_per_min: Mapped[int]
    connection_fee: Mapped[int]
    minimum_charge: Mapped[int]
    initial_increment_s: Mapped[int]
    following_increment_s: Mapped[int]
    free_s: Mapped[int]
    effective_from_us: Mapped[int | None]
    effective_to_us: Mapped[int | None]
    terms: Mapped[str | None] = mapped_column(Text)
    """JSON of rating.tariff.RateTerms; None for a rate without bands, steps or a maximum."""
    __table_args__ = (Index("ix_rates_deck_version_id_prefix", "deck_version_id", "prefix"),)


class TariffRow(Base):
    """A named tariff of an issuer, by which he charges; its terms are in its versions."""

    __tablename__ = "tariffs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int]
    name: Mapped[str] = mapped_column(String(64))
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class TariffVersionRow(Base):
    """Immutable terms of a tariff; the highest version counts for new calls."""

    __tablename__ = "tariff_versions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tariff_id: Mapped[int] = mapped_column(ForeignKey("tariffs.id"))
    number: Mapped[int]
    deck_id: Mapped[int | None] = mapped_column(ForeignKey("rate_decks.id"))
    """None: its prices are a mark-up on those of the account above."""
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    tax_mode: Mapped[str] = mapped_column(String(12))
    tax_ppm: Mapped[int]
    rounding: Mapped[str] = mapped_column(String(12))
    rounding_step: Mapped[int]
    slice_s: Mapped[int]
    renew_before_s: Mapped[int]
    max_call_s: Mapped[int]
    announce_balance: Mapped[bool]
    announce_minutes: Mapped[bool]
    announce_warning: Mapped[bool]
    announce_denial: Mapped[bool]
    created_us: Mapped[int]
    calendar_id: Mapped[int | None]
    mark_up: Mapped[str | None] = mapped_column(Text)
    """JSON of rating.tariff.MarkUp."""
    cycle_steps: Mapped[str | None] = mapped_column(Text)
    """JSON of rating.tariff.CycleSteps."""
    refuse_loss: Mapped[bool] = mapped_column(server_default=text("false"))
    __table_args__ = (UniqueConstraint("tariff_id", "number"),)


class CatalogueRow(Base):
    """Versions that grow with every change, which engines compare. Row 1: tariffs, decks; 2: destinations."""

    __tablename__ = "catalogue"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    version: Mapped[int]


class LedgerAccountRow(Base):
    """An account of an issuer's chart."""

    __tablename__ = "ledger_accounts"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    code: Mapped[str] = mapped_column(String(40))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    holder_id: Mapped[int] = mapped_column()
    """The account whose wallet this is; 0 for every other code."""
    __table_args__ = (UniqueConstraint("issuer_id", "code", "unit", "holder_id"),)


# The tables below take several rows per call. They carry no foreign keys: PostgreSQL runs one query per
# key and row for them, which made charging ten times slower, and nothing they name is ever deleted.
# `pbxbill verify` checks that what they name exists.


class JournalEntryRow(Base):
    """An entry's head."""

    __tablename__ = "journal_entries"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(16))
    unit: Mapped[str] = mapped_column(String(12))
    at_us: Mapped[int]
    memo: Mapped[str] = mapped_column(String(200))
    reverses_id: Mapped[str | None] = mapped_column(String(32), unique=True)
    __table_args__ = (
        # Payments are few among the calls.
        Index(
            "ix_journal_entries_beside_calls",
            "id",
            sqlite_where=text("kind <> 'usage'"),
            postgresql_where=text("kind <> 'usage'"),
        ),
        Index(
            "ix_journal_entries_beside_calls_at_us",
            "at_us",
            sqlite_where=text("kind <> 'usage'"),
            postgresql_where=text("kind <> 'usage'"),
        ),
    )


class PostingRow(Base):
    """One signed leg of an entry."""

    __tablename__ = "postings"
    entry_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    ledger_account_id: Mapped[int]
    amount: Mapped[int]
    # Ids of entries grow with time: an account's newest entries are found without its old ones.
    __table_args__ = (Index("ix_postings_ledger_account_id_entry_id", "ledger_account_id", "entry_id"),)


class ReservationRow(Base):
    """A call session; see ledger.reservation.Reservation."""

    __tablename__ = "reservations"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    switch: Mapped[str] = mapped_column(String(64))
    call_id: Mapped[str] = mapped_column(String(128))
    direction: Mapped[str] = mapped_column(String(8))
    account_id: Mapped[int]
    caller: Mapped[str] = mapped_column(String(64))
    dialled: Mapped[str] = mapped_column(String(64))
    called: Mapped[str] = mapped_column(String(15))
    destination: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(8))
    requested_us: Mapped[int]
    answered_us: Mapped[int | None]
    paid_leg: Mapped[str] = mapped_column(String(128))
    granted_us: Mapped[int]
    final: Mapped[bool]
    slice_s: Mapped[int]
    renew_before_s: Mapped[int]
    max_call_s: Mapped[int]
    failure_policy: Mapped[str] = mapped_column(String(8))
    endpoint_id: Mapped[int | None]
    """That named the account."""
    gateway: Mapped[str] = mapped_column(String(64), server_default="")
    """By which the switch sent it out."""
    shadow: Mapped[str | None] = mapped_column(String(200))
    """None: enforced. Else what enforcement would have done; empty: nothing else."""
    ringing_us: Mapped[int | None]
    created_us: Mapped[int]
    __table_args__ = (
        CheckConstraint("state IN ('reserved', 'answered', 'settled', 'voided')", name="state"),
        Index(
            "ix_reservations_open_account",
            "account_id",
            sqlite_where=text("state IN ('reserved', 'answered')"),
            postgresql_where=text("state IN ('reserved', 'answered')"),
        ),
        Index(
            "ix_reservations_open",
            "switch",
            sqlite_where=text("state IN ('reserved', 'answered')"),
            postgresql_where=text("state IN ('reserved', 'answered')"),
        ),
    )


class ReservationLevelRow(Base):
    """What one wallet of one level of a reservation's account chain has earmarked, in the wallet's unit."""

    __tablename__ = "reservation_levels"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, server_default="0")
    """Wallets of a level in the order in which a charge takes from them."""
    account_id: Mapped[int]
    wallet_id: Mapped[int]
    issuer_id: Mapped[int]
    tariff_version_id: Mapped[int]
    rate_id: Mapped[int]
    exchange_id: Mapped[int | None]
    """The exchange rate from the tariff's unit to the wallet's; None: they are the same."""
    reserved: Mapped[int]
    """0 once the reservation is closed."""
    __table_args__ = (
        Index(
            "ix_reservation_levels_held",
            "wallet_id",
            sqlite_where=text("reserved > 0"),
            postgresql_where=text("reserved > 0"),
        ),
    )


class ReservationStepRow(Base):
    """The history of a reservation: each reserve, extend and shrink."""

    __tablename__ = "reservation_steps"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    session_id: Mapped[str] = mapped_column(String(32), index=True)
    verb: Mapped[str] = mapped_column(String(8))
    at_us: Mapped[int]
    granted_us: Mapped[int]
    reserved: Mapped[int]
    """Of level 0, after the step."""


class CdrRow(Base):
    """A call record: of a settled, unanswered or denied call. Exactly one per session."""

    __tablename__ = "cdrs"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    switch: Mapped[str] = mapped_column(String(64))
    call_id: Mapped[str] = mapped_column(String(128))
    direction: Mapped[str] = mapped_column(String(8))
    account_id: Mapped[int | None]
    caller: Mapped[str] = mapped_column(String(64))
    dialled: Mapped[str] = mapped_column(String(64))
    called: Mapped[str] = mapped_column(String(15))
    destination: Mapped[str] = mapped_column(String(100))
    started_us: Mapped[int]
    answered_us: Mapped[int | None]
    ended_us: Mapped[int]
    billed_us: Mapped[int]
    granted_us: Mapped[int]
    hangup_cause: Mapped[int]
    denial: Mapped[str | None] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(200))
    evidence: Mapped[str] = mapped_column(String(8))
    shadow: Mapped[str | None] = mapped_column(String(200))
    """As in the reservation."""
    ringing_us: Mapped[int | None]
    """From dialling the paid leg to its first ringing: post-dial delay."""
    created_us: Mapped[int]
    __table_args__ = (
        Index("ix_cdrs_account_id_started_us", "account_id", "started_us"),
        Index("ix_cdrs_started_us", "started_us"),
        Index(
            "ix_cdrs_denied",
            "started_us",
            sqlite_where=text("denial IS NOT NULL"),
            postgresql_where=text("denial IS NOT NULL"),
        ),
    )


class CallChargeRow(Base):
    """What one wallet of one level of the chain was charged for a call, in the wallet's unit."""

    __tablename__ = "call_charges"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, server_default="0")
    account_id: Mapped[int]
    wallet_id: Mapped[int]
    tariff_version_id: Mapped[int]
    rate_id: Mapped[int]
    billable_s: Mapped[int]
    total: Mapped[int]
    """What was taken, with tax."""
    tax: Mapped[int]
    exchange_id: Mapped[int | None]
    uncollected: Mapped[int]
    """What was owed beyond it and could not be taken without overspending."""
    entry_id: Mapped[str | None] = mapped_column(String(32))
    """None where nothing was charged."""
