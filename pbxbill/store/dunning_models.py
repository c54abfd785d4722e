"""Tables of what happens when money does not come: dunning, promises, penalties, life-cycle, suspensions.

Registered with store.models' metadata. Steps, promises, suspensions and account events are kept for ever.
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store import billing_models, invoice_models  # noqa: F401 what is referred to is registered with it
from pbxbill.store.models import Base, RowId


class PenaltyClassRow(Base):
    """What paying late costs."""

    __tablename__ = "penalty_classes"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64))
    definition: Mapped[str] = mapped_column(Text)
    """JSON of billing.dunning.penalties.PenaltyTerms."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class DunningPolicyRow(Base):
    """The levels that an issuer's overdue invoices go through."""

    __tablename__ = "dunning_policies"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64))
    definition: Mapped[str] = mapped_column(Text)
    """JSON of billing.dunning.dunning_policy.DunningPolicy, its newest version."""
    version: Mapped[int]
    standard: Mapped[bool]
    """Of all accounts of the issuer for whom nothing else is said."""
    groups: Mapped[str] = mapped_column(Text, server_default="")
    """Names of billing profiles' groups that it is for, one per line."""
    state: Mapped[str] = mapped_column(String(12))
    """active, paused, or stopped by the brake (a person has to release it)."""
    released_to_us: Mapped[int | None]
    """Until then the brake does not hold: somebody looked, and released it."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class DunningPolicyVersionRow(Base):
    """What a policy said once, so that every step can be explained."""

    __tablename__ = "dunning_policy_versions"
    policy_id: Mapped[int] = mapped_column(ForeignKey("dunning_policies.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[str] = mapped_column(Text)
    created_us: Mapped[int]


class DunningStepRow(Base):
    """One level that an invoice reached, with what was done."""

    __tablename__ = "dunning_steps"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"))
    level: Mapped[int]
    policy_id: Mapped[int] = mapped_column(ForeignKey("dunning_policies.id"))
    policy_version: Mapped[int]
    action: Mapped[str] = mapped_column(String(16))
    """remind, fee, bar_outgoing, suspend, terminate or collection."""
    at_us: Mapped[int] = mapped_column(index=True)
    open: Mapped[int]
    """What was overdue then."""
    charge_id: Mapped[int | None] = mapped_column(ForeignKey("charges.id"))
    suspension_id: Mapped[int | None] = mapped_column(ForeignKey("suspensions.id"))
    detail: Mapped[str] = mapped_column(String(300))
    ended_us: Mapped[int | None]
    """When what it did to the account was lifted."""
    __table_args__ = (UniqueConstraint("invoice_id", "level"),)


class DunningStateRow(Base):
    """How far dunning is with an open invoice; gone once that is settled."""

    __tablename__ = "dunning_states"
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    level: Mapped[int]
    """The last one reached; 0: none."""
    since_us: Mapped[int | None]
    """When it was reached, or put back; None: what it did is lifted, and put back if dunning goes on."""
    next_us: Mapped[int | None] = mapped_column(index=True)
    """When the next one is due; None: it waits (paid, disputed, promised), or there is none."""
    penalty_to_us: Mapped[int | None]
    """Penalties are charged up to this moment."""


class PromiseToPayRow(Base):
    """That an account said when it will pay; its invoices are not dunned until then."""

    __tablename__ = "promises_to_pay"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    """None: all that were overdue."""
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    amount: Mapped[int]
    until_us: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    """open, kept, broken or withdrawn."""
    made_us: Mapped[int]
    ended_us: Mapped[int | None]
    remark: Mapped[str] = mapped_column(String(300))
    by: Mapped[str] = mapped_column(String(64))
    __table_args__ = (Index("ix_promises_to_pay_state_until_us", "state", "until_us"),)


class DisputeFileRow(Base):
    """Something that somebody added to a dispute."""

    __tablename__ = "dispute_files"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    name: Mapped[str] = mapped_column(String(120))
    media_type: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    at_us: Mapped[int]
    by: Mapped[str] = mapped_column(String(64))


class SuspensionRow(Base):
    """One reason for which an account's service is barred. Its status is that of the worst one in force."""

    __tablename__ = "suspensions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    cause: Mapped[str] = mapped_column(String(120))
    """dunning:INVOICE, life_cycle, stop_date, hand ...: one in force per cause."""
    status: Mapped[str] = mapped_column(String(12))
    """charging.status.AccountStatus, but for active."""
    reason: Mapped[str] = mapped_column(String(300))
    from_us: Mapped[int]
    lifted_us: Mapped[int | None]
    by: Mapped[str] = mapped_column(String(64))
    lifted_by: Mapped[str] = mapped_column(String(64), server_default="")
    __table_args__ = (
        Index("ix_suspensions_account_id", "account_id"),
        Index(
            "uq_suspensions_in_force",
            "account_id",
            "cause",
            unique=True,
            sqlite_where=text("lifted_us IS NULL"),
            postgresql_where=text("lifted_us IS NULL"),
        ),
    )


class AccountEventRow(Base):
    """Something that happened to an account: suspended, lifted, alerted, terminated ..."""

    __tablename__ = "account_events"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    at_us: Mapped[int]
    kind: Mapped[str] = mapped_column(String(24))
    detail: Mapped[str] = mapped_column(String(500))
    by: Mapped[str] = mapped_column(String(64))


class LifeCyclePolicyRow(Base):
    """The periods that an issuer's accounts go through when they are not filled, or not used."""

    __tablename__ = "life_cycle_policies"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64))
    definition: Mapped[str] = mapped_column(Text)
    """JSON of billing.life_cycle.life_cycle_policy.LifeCyclePolicy, its newest version."""
    version: Mapped[int]
    standard: Mapped[bool]
    """Of all accounts of the issuer for whom nothing else is said."""
    state: Mapped[str] = mapped_column(String(12))
    """active, paused, stopped by the brake, or released: the next run goes without it."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class LifeCycleRow(Base):
    """Where an account stands in its life-cycle."""

    __tablename__ = "life_cycles"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    policy_id: Mapped[int | None] = mapped_column(ForeignKey("life_cycle_policies.id"))
    """None: the issuer's standard one."""
    stage: Mapped[str] = mapped_column(String(12))
    """charging.status.AccountStatus, as far as the life-cycle has it."""
    since_us: Mapped[int]
    valid_to_us: Mapped[int | None]
    """Prepaid funds may be used until then; None: for ever."""
    stop_on: Mapped[str] = mapped_column(String(10), server_default="")
    """The local day, YYYY-MM-DD, on which service ends; empty: none."""
    next_us: Mapped[int | None] = mapped_column(index=True)
    """When something is to be done about it next: an alert, a stage."""
    alerted_us: Mapped[int | None]
    """Of which moment the last alert told."""
