"""Tables of notices: templates, who wants what, where to, thresholds of wallets; and of jobs.

Registered with store.models' metadata. Messages themselves are in the outbox (invoice_models.MessageRow).
"""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store import billing_models, invoice_models  # noqa: F401 what is referred to is registered with it
from pbxbill.store.models import Base, RowId
from pbxbill.store.sealed import Sealed


class NoticeTemplateRow(Base):
    """An issuer's own words for a kind of notice in a language; without one the built-in words are used."""

    __tablename__ = "notice_templates"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    kind: Mapped[str] = mapped_column(String(32))
    language: Mapped[str] = mapped_column(String(8))
    number: Mapped[int]
    """Versions count up; the highest without an error is used."""
    subject: Mapped[str] = mapped_column(String(300))
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text, server_default="")
    error: Mapped[str] = mapped_column(String(500), server_default="")
    """Why it cannot be used, with the line; empty: it can."""
    by: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("issuer_id", "kind", "language", "number"),)


class NoticeProfileRow(Base):
    """How an account wants to be told."""

    __tablename__ = "notice_profiles"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    quiet_from: Mapped[int | None]
    """Minute of the local day from which nothing is sent; None: no quiet hours."""
    quiet_to: Mapped[int | None]
    digest: Mapped[str] = mapped_column(String(8), server_default="")
    """daily: what is not urgent comes in one message a day; empty: each by itself."""
    digest_minute: Mapped[int] = mapped_column(server_default="480")
    """Minute of the local day."""


class NoticeChoiceRow(Base):
    """What an account said about a kind of notice."""

    __tablename__ = "notice_choices"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    enabled: Mapped[bool]
    emails: Mapped[str] = mapped_column(Text, server_default="")
    """One address per line; empty: those of the billing profile."""


class WebhookEndpointRow(Base):
    """Where notices about an account and all below it are posted to (Standard Webhooks)."""

    __tablename__ = "webhook_endpoints"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    url: Mapped[str] = mapped_column(String(500))
    secret: Mapped[str] = mapped_column(Sealed)
    """whsec_...: what deliveries are signed with."""
    old_secret: Mapped[str] = mapped_column(Sealed, server_default="")
    """Signed with as well, until the receiver knows the new one."""
    kinds: Mapped[str] = mapped_column(Text, server_default="")
    """Kinds of notices, one per line; empty: all."""
    state: Mapped[str] = mapped_column(String(12))
    """active, off, or failing (given up after its deliveries failed for days)."""
    failing_since_us: Mapped[int | None]
    """Since when nothing arrived there; None: the last delivery did."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """In a row."""
    next_us: Mapped[int | None]
    """Nothing is posted there before; None: nothing went wrong."""
    error: Mapped[str] = mapped_column(String(500), server_default="")
    """Of the last delivery."""
    created_us: Mapped[int]


class MailOutageRow(Base):
    """The mail server of an issuer cannot be reached: his messages wait, and keep their order."""

    __tablename__ = "mail_outages"
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    since_us: Mapped[int]
    next_us: Mapped[int]
    """When it is tried again."""
    attempts: Mapped[int]
    why: Mapped[str] = mapped_column(String(500))


class BalanceThresholdRow(Base):
    """Something is to happen once what a wallet can still spend falls below an amount."""

    __tablename__ = "balance_thresholds"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    wallet_id: Mapped[int] = mapped_column(ForeignKey("wallets.id"))
    purpose: Mapped[str] = mapped_column(String(12))
    """notice (of its own), default (of its issuer's, where it has none of its own), or auto_top_up."""
    below: Mapped[int]
    """Compared with posted - reserved + credit limit; 0: used up, told when less than a coin is left."""
    reached_us: Mapped[int | None]
    """Since when it has been below; None: it is not."""
    __table_args__ = (UniqueConstraint("wallet_id", "purpose", "below"),)


class DefaultThresholdRow(Base):
    """A threshold of all customers of an issuer who have none of their own."""

    __tablename__ = "default_thresholds"
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"), primary_key=True)
    below: Mapped[int] = mapped_column(primary_key=True)


class BalanceMarkRow(Base):
    """A wallet fell below a threshold, or was filled: written in the transaction that did it."""

    __tablename__ = "balance_marks"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    wallet_id: Mapped[int]
    at_us: Mapped[int]
    can_spend: Mapped[int]
    """posted - reserved + credit limit, right after it."""


class JobRow(Base):
    """A job of this installation: when it runs next, who runs it now, how it went."""

    __tablename__ = "jobs"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    enabled: Mapped[bool]
    next_us: Mapped[int]
    holder: Mapped[str] = mapped_column(String(120), server_default="")
    """Which process runs it; empty: none."""
    held_to_us: Mapped[int | None]
    """Until then nobody else may; the holder moves it on while it works."""
    last_us: Mapped[int | None]
    """When it ended last, even if nothing was due."""
    failures: Mapped[int] = mapped_column(server_default="0")
    """In a row."""


class JobRunRow(Base):
    """One execution of a job that did something, or failed."""

    __tablename__ = "job_runs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    job: Mapped[str] = mapped_column(String(32))
    started_us: Mapped[int]
    ended_us: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(12))
    """done, stopped, failed, or lost (its process died)."""
    detail: Mapped[str] = mapped_column(String(500))
    holder: Mapped[str] = mapped_column(String(120))
    __table_args__ = (Index("ix_job_runs_job_started_us", "job", "started_us"),)
