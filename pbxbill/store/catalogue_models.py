"""Tables of what charging goes by beside decks: calendars, destinations, bundles, limits, carriers, exchange.

Registered with store.models' metadata; the rows that old calls are explained by are never changed.
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId


class BandCalendarRow(Base):
    """One immutable version of a calendar of time bands."""

    __tablename__ = "band_calendars"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    number: Mapped[int]
    definition: Mapped[str] = mapped_column(Text)
    """JSON of rating.bands, its public holidays resolved to dates."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("name", "number"),)


class DestinationRow(Base):
    """A named group of prefixes with a class."""

    __tablename__ = "destinations"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    """Its class: local, national, mobile, international, premium, toll_free, satellite, emergency ..."""


class DestinationPrefixRow(Base):
    """One prefix of a destination; the longest decides."""

    __tablename__ = "destination_prefixes"
    prefix: Mapped[str] = mapped_column(String(15), primary_key=True)
    destination_id: Mapped[int] = mapped_column(ForeignKey("destinations.id"), index=True)


class DiallingRuleRow(Base):
    """How the accounts that use it dial."""

    __tablename__ = "dialling_rules"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    definition: Mapped[str] = mapped_column(Text)
    """JSON of rating.destination.DiallingRule."""


class ServiceTariffRow(Base):
    """The tariff of an account for something else than its calls: messages, data, items."""

    __tablename__ = "service_tariffs"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    service: Mapped[str] = mapped_column(String(32), primary_key=True)
    tariff_id: Mapped[int] = mapped_column(ForeignKey("tariffs.id"))


class BundleRow(Base):
    """Included pieces per cycle; never changed once accounts have it."""

    __tablename__ = "bundles"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int]
    """Whose it is: the operator's, or a reseller's."""
    name: Mapped[str] = mapped_column(String(64))
    measure: Mapped[str] = mapped_column(String(12))
    """seconds, calls, messages, bytes or items."""
    pieces: Mapped[int]
    """Granted per cycle."""
    destinations: Mapped[str] = mapped_column(Text)
    """Names or classes, one per line; empty: all."""
    cycle: Mapped[str] = mapped_column(String(12))
    zone: Mapped[str] = mapped_column(String(64))
    shared: Mapped[bool]
    """The accounts below use it too."""
    rollover_cycles: Mapped[int]
    """For how many more cycles unused pieces stay; 0: they lapse."""
    priority: Mapped[int]
    """Bundles are consumed from the highest."""
    initial_increment_s: Mapped[int]
    following_increment_s: Mapped[int]
    fee_owed: Mapped[bool]
    """The connection fee is owed although the bundle pays the whole call."""
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class AccountBundleRow(Base):
    """That an account has a bundle, since when and until when."""

    __tablename__ = "account_bundles"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    bundle_id: Mapped[int] = mapped_column(ForeignKey("bundles.id"))
    from_us: Mapped[int]
    """Month cycles begin on this moment's day."""
    to_us: Mapped[int | None]


class ExchangeRateRow(Base):
    """One unit in another from a moment on."""

    __tablename__ = "exchange_rates"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    from_unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    to_unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    rate: Mapped[int]
    """How much of to_unit one from_unit is, in EXCHANGE_SCALE digits."""
    effective_from_us: Mapped[int]
    source: Mapped[str] = mapped_column(String(200))
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("from_unit", "to_unit", "effective_from_us"),)


class RateImportRow(Base):
    """A rate sheet that somebody uploaded: read, looked at, then written as a version of a deck, or not."""

    __tablename__ = "rate_imports"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(index=True)
    by: Mapped[str] = mapped_column(String(64))
    """Who uploaded it, as the audit log names him."""
    deck: Mapped[str] = mapped_column(String(64))
    file_name: Mapped[str] = mapped_column(String(200))
    content: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The file, compressed; None once it is written or was given up."""
    options: Mapped[str] = mapped_column(Text)
    """JSON of what was asked for."""
    state: Mapped[str] = mapped_column(String(8))
    """reading, ready, writing, done or refused."""
    done: Mapped[int]
    """How far it is: bytes read, or rates written."""
    total: Mapped[int]
    preview: Mapped[str] = mapped_column(Text, server_default="")
    """JSON of what would change."""
    refused: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Rows that cannot be used, as compressed CSV."""
    report: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Every prefix that changes, as compressed CSV."""
    version_id: Mapped[int | None]
    reason: Mapped[str] = mapped_column(String(500), server_default="")
    """Why nothing came of it."""
    created_us: Mapped[int]
    beaten_us: Mapped[int]
    """When whoever works on it last said so: one that has not for long was killed."""


class CarrierRow(Base):
    """Whom calls are sent through, and what it asks for them."""

    __tablename__ = "carriers"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    tariff_id: Mapped[int] = mapped_column(ForeignKey("tariffs.id"))


class GatewayRow(Base):
    """The name by which a switch knows a way to a carrier."""

    __tablename__ = "gateways"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    carrier_id: Mapped[int] = mapped_column(ForeignKey("carriers.id"))


class LimitRow(Base):
    """One limit of an account with all below it, or of one of its endpoints."""

    __tablename__ = "limits"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    endpoint_id: Mapped[int] = mapped_column()
    """0: the whole account."""
    kind: Mapped[str] = mapped_column(String(24))
    value: Mapped[int]
    """Calls, seconds, or an amount in unit."""
    unit: Mapped[str] = mapped_column(String(12))
    window: Mapped[str] = mapped_column(String(8))
    """hour, day or month; empty where none applies."""
    window_s: Mapped[int]
    """Length of a burst's window."""
    zone: Mapped[str] = mapped_column(String(64))
    destinations: Mapped[str] = mapped_column(Text)
    """Names, classes or prefixes, one per line."""
    suspends: Mapped[bool]
    """A hit suspends the endpoint."""
    shorter_s: Mapped[int] = mapped_column(server_default="0")
    """A short call is one below this."""


class HeldCountryRow(Base):
    """A country that an account called, or wanted to, for the first time."""

    __tablename__ = "held_countries"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    region: Mapped[str] = mapped_column(String(4), primary_key=True)
    """ISO 3166 code, or the country calling code where a code has several countries."""
    released: Mapped[bool]
    first_us: Mapped[int]


class AlertRow(Base):
    """Something that a person should know of."""

    __tablename__ = "alerts"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at_us: Mapped[int] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(32))
    account_id: Mapped[int | None]
    subject: Mapped[str] = mapped_column(String(200))
    detail: Mapped[str] = mapped_column(String(500))
    notified_us: Mapped[int | None]
    done_us: Mapped[int | None]
    """When somebody said that it is dealt with."""
    done_by: Mapped[str] = mapped_column(String(200), server_default="")


# The tables below take rows per call and carry no foreign keys, as in store.models.


class CounterRow(Base):
    """What an account used and holds in one window: of a bundle, of cycle steps, of a spending limit.

    Protected by the locks of its account's wallets.
    """

    __tablename__ = "counters"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(12))
    """bundle, steps, spend, rate or burst."""
    account_id: Mapped[int] = mapped_column(index=True)
    ref_id: Mapped[int]
    """The account_bundles, tariffs or limits row that it counts for."""
    window_from_us: Mapped[int]
    window_to_us: Mapped[int]
    allowed: Mapped[int]
    """Pieces of a bundle in this window, with what rolled over."""
    used: Mapped[int]
    reserved: Mapped[int]
    __table_args__ = (UniqueConstraint("kind", "ref_id", "account_id", "window_from_us", "window_to_us"),)


class ReservedCountRow(Base):
    """What a call holds, then took, of a counter."""

    __tablename__ = "reserved_counts"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    level: Mapped[int] = mapped_column(primary_key=True)
    counter_id: Mapped[int] = mapped_column(primary_key=True)
    reserved: Mapped[int]
    used: Mapped[int]
    __table_args__ = (Index("ix_reserved_counts_counter_id", "counter_id"),)


class CallCostRow(Base):
    """What the carrier asks for a call."""

    __tablename__ = "call_costs"
    session_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    gateway: Mapped[str] = mapped_column(String(64))
    carrier_id: Mapped[int] = mapped_column(index=True)
    tariff_version_id: Mapped[int]
    rate_id: Mapped[int | None]
    """None: the carrier's deck has no rate for the number; the cost is unknown."""
    unit: Mapped[str] = mapped_column(String(12))
    billable_s: Mapped[int]
    cost: Mapped[int]
    """Without tax."""
