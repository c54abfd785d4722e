"""Tables of what accounts are billed for: plans, subscriptions, charges, DIDs, taxes, and who is billed how.

Registered with store.models' metadata. A plan's version is never changed once it is written, and a charge
neither but for what it became of: entry, invoice line, what of it is earned.
"""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId


class PlanRow(Base):
    """A named offer of an issuer; its terms are in its versions."""

    __tablename__ = "plans"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(12))
    """service, or did: what a DID costs."""
    retired_us: Mapped[int | None]
    """Since then nobody can subscribe to it; who has it keeps it."""
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class PlanVersionRow(Base):
    """Immutable terms; a subscription keeps its version until it is migrated."""

    __tablename__ = "plan_versions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    plan_id: Mapped[int] = mapped_column(ForeignKey("plans.id"))
    number: Mapped[int]
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    definition: Mapped[str] = mapped_column(Text)
    """JSON of billing.subscriptions.plan.PlanTerms."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("plan_id", "number"),)


class SubscriptionRow(Base):
    """An account's use of a plan."""

    __tablename__ = "subscriptions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    plan_version_id: Mapped[int] = mapped_column(ForeignKey("plan_versions.id"))
    quantity: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    """trial, active, paused, unpaid (its charge could not be taken from the wallet) or ended."""
    overrides: Mapped[str] = mapped_column(Text, server_default="{}")
    """JSON: prices agreed with this account, by the names of the plan's charges."""
    started_us: Mapped[int]
    trial_ends_us: Mapped[int | None]
    term_ends_us: Mapped[int | None]
    """Leaving before it costs the cancellation fee."""
    ends_us: Mapped[int | None]
    """When it is to end, or has ended."""
    paused_us: Mapped[int | None]
    charged_to_us: Mapped[int]
    """Its charges are made for all service before this moment."""
    due_us: Mapped[int | None] = mapped_column(index=True)
    """When something is to be done about it next; None: never."""
    reminded_us: Mapped[int | None]
    """The renewal that was announced last."""
    created_us: Mapped[int]


class SubscriptionChangeRow(Base):
    """What happened to a subscription, or is to: its history, changes to come, requests to decide."""

    __tablename__ = "subscription_changes"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    """None: it is asked for, and there is none yet."""
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    """Who asks for a new subscription; None of what concerns one that there is."""
    kind: Mapped[str] = mapped_column(String(12))
    """subscribe, change, quantity, pause, resume, cancel, renew, end, migrate, unpaid, taken_over."""
    plan_version_id: Mapped[int | None] = mapped_column(ForeignKey("plan_versions.id"))
    quantity: Mapped[int | None]
    effective_us: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    """requested (an operator decides), planned, done, refused or withdrawn."""
    reason: Mapped[str] = mapped_column(String(300))
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_us: Mapped[int]
    decided_by: Mapped[str] = mapped_column(String(64), server_default="")
    decided_us: Mapped[int | None]


class ChargeRow(Base):
    """A one-time or recurring amount, without tax, exact. Above zero: owed by the account."""

    __tablename__ = "charges"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    """Made from its cause: the same cause charges once."""
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    """billing.charge.ChargeKind."""
    gives_back: Mapped[str] = mapped_column(String(20), server_default="")
    """Of a credit: the kind of the charge that it gives back, whose income it lessens; empty: of none."""
    description: Mapped[str] = mapped_column(String(200))
    """Plain English, or what somebody wrote."""
    product_class: Mapped[str] = mapped_column(String(32))
    """What taxes it falls under."""
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    quantity: Mapped[int]
    """In millionths."""
    unit_price: Mapped[int]
    """For one, in the unit's steps."""
    net: Mapped[int]
    explanation: Mapped[str] = mapped_column(Text, server_default="")
    """JSON: how net came about, days and amounts; of a plan's charge also what it is called."""
    at_us: Mapped[int]
    """On the invoice whose period this moment lies in."""
    from_us: Mapped[int | None]
    to_us: Mapped[int | None]
    """The service that it is for; None: a one-time charge."""
    collection: Mapped[str] = mapped_column(String(8))
    """wallet or invoice."""
    tax: Mapped[int] = mapped_column(server_default="0")
    """Taken with it from the wallet."""
    entry_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """Of what was taken from the wallet, or of the invoice."""
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    deferred: Mapped[int] = mapped_column(server_default="0")
    """What was posted as deferred revenue."""
    earned: Mapped[int] = mapped_column(server_default="0")
    """What of it has become revenue since."""
    earned_to_us: Mapped[int | None]
    created_us: Mapped[int]
    __table_args__ = (
        Index("ix_charges_account_id_at_us", "account_id", "at_us"),
        Index("ix_charges_at_us", "at_us"),
        Index(
            "ix_charges_unearned",
            "id",
            sqlite_where=text("deferred <> earned"),
            postgresql_where=text("deferred <> earned"),
        ),
    )


class DidRow(Base):
    """A telephone number of the inventory."""

    __tablename__ = "dids"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    number: Mapped[str] = mapped_column(String(32), unique=True)
    """As the switch shows it when it is called."""
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    """Who gives it out: the operator, or the reseller who got it."""
    country: Mapped[str] = mapped_column(String(2), server_default="")
    state: Mapped[str] = mapped_column(String(12))
    """free, assigned, quarantined or withdrawn."""
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    endpoint_id: Mapped[int | None] = mapped_column(ForeignKey("endpoints.id"))
    subscription_id: Mapped[int | None] = mapped_column(ForeignKey("subscriptions.id"))
    free_from_us: Mapped[int | None]
    """End of its quarantine."""
    created_us: Mapped[int]


class DidHistoryRow(Base):
    """Who had a DID when."""

    __tablename__ = "did_history"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    did_id: Mapped[int] = mapped_column(ForeignKey("dids.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    from_us: Mapped[int]
    to_us: Mapped[int | None]


class TaxRateRow(Base):
    """One named tax of an issuer, for a time, a place and a class of products."""

    __tablename__ = "tax_rates"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    name: Mapped[str] = mapped_column(String(40))
    """Its label on invoices."""
    ppm: Mapped[int]
    category: Mapped[str] = mapped_column(String(2))
    """UNCL 5305 as in EN 16931: S, Z, E, AE, G, O, K, L, M."""
    country: Mapped[str] = mapped_column(String(2), server_default="")
    """Of the buyer; empty: any."""
    region: Mapped[str] = mapped_column(String(64), server_default="")
    product_class: Mapped[str] = mapped_column(String(32), server_default="")
    """Empty: any."""
    from_us: Mapped[int]
    to_us: Mapped[int | None]
    compound: Mapped[bool]
    """Reckoned on the amount with the taxes before it."""
    inclusive: Mapped[bool]
    """The prices that it applies to contain it already."""
    position: Mapped[int] = mapped_column(server_default="0")
    """Order in which taxes are reckoned and shown."""
    reason: Mapped[str] = mapped_column(String(300), server_default="")
    """Printed where the law wants one: exempt, reverse charge, not subject to tax."""


class TaxExemptionRow(Base):
    """That an account owes no tax, or not one of that name, and why."""

    __tablename__ = "tax_exemptions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    tax_name: Mapped[str] = mapped_column(String(40), server_default="")
    """Empty: every one."""
    reason: Mapped[str] = mapped_column(String(300))
    certificate: Mapped[str] = mapped_column(String(100), server_default="")
    from_us: Mapped[int]
    to_us: Mapped[int | None]


class PartyRow(Base):
    """Who an account is in law and where: printed on invoices, as seller or as buyer."""

    __tablename__ = "parties"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    legal_name: Mapped[str] = mapped_column(String(200))
    street: Mapped[str] = mapped_column(String(200), server_default="")
    extra: Mapped[str] = mapped_column(String(200), server_default="")
    postal_code: Mapped[str] = mapped_column(String(20), server_default="")
    city: Mapped[str] = mapped_column(String(100), server_default="")
    region: Mapped[str] = mapped_column(String(64), server_default="")
    country: Mapped[str] = mapped_column(String(2), server_default="")
    vat_id: Mapped[str] = mapped_column(String(32), server_default="")
    registration_id: Mapped[str] = mapped_column(String(64), server_default="")
    contact: Mapped[str] = mapped_column(String(100), server_default="")
    email: Mapped[str] = mapped_column(String(254), server_default="")
    phone: Mapped[str] = mapped_column(String(32), server_default="")
    website: Mapped[str] = mapped_column(String(200), server_default="")
    bank_name: Mapped[str] = mapped_column(String(100), server_default="")
    iban: Mapped[str] = mapped_column(String(34), server_default="")
    bic: Mapped[str] = mapped_column(String(11), server_default="")


class IssuerRow(Base):
    """How the operator, or a reseller, makes his invoices."""

    __tablename__ = "issuers"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    zone: Mapped[str] = mapped_column(String(64), server_default="UTC")
    """Dates on documents, tax validity and number years are in it."""
    tax_rounding: Mapped[str] = mapped_column(String(8), server_default="invoice")
    """invoice: once per rate; line: on every line."""
    payment_days: Mapped[int] = mapped_column(server_default="14")
    payment_terms: Mapped[str] = mapped_column(String(500), server_default="")
    did_quarantine_days: Mapped[int] = mapped_column(server_default="60")
    template_id: Mapped[int | None]
    """Of its invoices, unless the account has its own; None: the built-in one."""
    mail: Mapped[str] = mapped_column(Text, server_default="{}")
    """JSON of notify.smtp.MailSettings: server, port, security, sender, reply-to, where the password is."""
    support_numbers: Mapped[str] = mapped_column(Text, server_default="")
    """E.164 digits, one per line, that customers reach however suspended they are; charged as always."""


class BillingProfileRow(Base):
    """How an account is billed. An account without one is billed as the defaults here say."""

    __tablename__ = "billing_profiles"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    invoicing: Mapped[str] = mapped_column(String(8), server_default="draft")
    """issue: at once; draft: an operator reviews it; none: no invoice at all."""
    cycle: Mapped[str] = mapped_column(String(12), server_default="month")
    every: Mapped[int] = mapped_column(server_default="1")
    """How many of the cycle's days, weeks, months ... a period has."""
    anchor: Mapped[str] = mapped_column(String(10), server_default="")
    """The local day, YYYY-MM-DD, on whose like periods begin; empty: the account's first day."""
    zone: Mapped[str] = mapped_column(String(64), server_default="")
    """Empty: the issuer's."""
    billed_to_us: Mapped[int | None]
    """Periods before this moment are billed."""
    next_us: Mapped[int | None] = mapped_column(index=True)
    """When the period ends that is to be billed next."""
    language: Mapped[str] = mapped_column(String(8), server_default="")
    """Empty: the account's."""
    formats: Mapped[str] = mapped_column(String(64), server_default="pdf")
    """pdf, xml (the structured invoice as its own file), csv (the call list), with commas between."""
    emails: Mapped[str] = mapped_column(Text, server_default="")
    """One address per line; empty: the party's."""
    template_id: Mapped[int | None]
    purchase_order: Mapped[str] = mapped_column(String(64), server_default="")
    payment_days: Mapped[int | None]
    """None: the issuer's."""
    call_list: Mapped[str] = mapped_column(String(8), server_default="annex")
    """none, annex or file."""
    previous_balance: Mapped[bool] = mapped_column(server_default=text("false"))
    tax_treatment: Mapped[str] = mapped_column(String(16), server_default="automatic")
    """automatic, standard, or reverse_charge."""
    minimum_total: Mapped[int] = mapped_column(server_default="0")
    """Below it nothing is invoiced: it waits for the next period."""
    group_name: Mapped[str] = mapped_column(String(64), server_default="", index=True)
    """By which a billing run may choose accounts."""
    dunning_policy_id: Mapped[int | None]
    """None: that of its group, else the issuer's standard one."""
    penalty_class_id: Mapped[int | None]
    """None: the dunning policy's."""
