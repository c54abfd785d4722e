"""Tables of invoices: documents with lines and taxes, numbers, allocations, files, runs, templates, outbox.

Registered with store.models' metadata. What is issued is never changed: only what became of it is
(open, credited, disputed_us ...), and each such change is an event.
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store.models import Base, RowId

ARE_NOTES = "kind IN ('credit_note', 'debit_note')"


class InvoiceRow(Base):
    """A quote, invoice, credit note, debit note or receipt; amounts are in steps of the unit."""

    __tablename__ = "invoices"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    """quote, invoice, credit_note, debit_note or receipt."""
    state: Mapped[str] = mapped_column(String(12))
    """draft, issued, partly_paid, paid, written_off, discarded (a draft); a quote: open, accepted, refused,
    expired; cancelled: wholly credited by notes."""
    number: Mapped[str | None] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    period_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    """Account, unit and end of the period that a run made it for; one that is discarded gives it up."""
    from_us: Mapped[int | None]
    to_us: Mapped[int | None]
    created_us: Mapped[int]
    issued_us: Mapped[int | None] = mapped_column(index=True)
    due_us: Mapped[int | None]
    """When it must be paid; of a quote: until when it can be accepted."""
    net: Mapped[int]
    tax: Mapped[int]
    total: Mapped[int]
    """With tax, in whole minor units; of a credit note too it is above zero."""
    from_wallet: Mapped[int]
    """What of the total the wallet's funds had paid when it was issued."""
    due: Mapped[int]
    """total - from_wallet."""
    open: Mapped[int]
    """What of due is neither paid nor credited nor written off."""
    open_wallet: Mapped[int]
    """What of open the wallet still owes: a payment of it goes there and frees credit. Paid first."""
    corrects_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    """The invoice that a note corrects, or the quote that an invoice was made from."""
    run_id: Mapped[int | None] = mapped_column(index=True)
    entry_id: Mapped[str | None] = mapped_column(String(32))
    """What issuing it posted."""
    disputed_us: Mapped[int | None]
    """Since when; why is in its events."""
    disputed: Mapped[int] = mapped_column(server_default="0")
    """What of open is disputed, and so not dunned."""
    dunning_step: Mapped[int]
    """0: none yet."""
    purchase_order: Mapped[str] = mapped_column(String(64), server_default="")
    note: Mapped[str] = mapped_column(String(1000), server_default="")
    """Printed."""
    snapshot: Mapped[str | None] = mapped_column(Text)
    """JSON of billing.invoices.document.Document as issued: what is rendered, for ever."""
    __table_args__ = (
        UniqueConstraint("issuer_id", "kind", "number"),
        Index("ix_invoices_state_due_us", "state", "due_us"),
        Index(
            "ix_invoices_unpaid",
            "account_id",
            sqlite_where=text("open > 0"),
            postgresql_where=text("open > 0"),
        ),
        Index(
            "ix_invoices_notes",
            "issuer_id",
            "issued_us",
            sqlite_where=text(ARE_NOTES),
            postgresql_where=text(ARE_NOTES),
        ),
    )


class InvoiceLineRow(Base):
    """One line; net is in whole minor units, the exact amounts behind it in the unit's steps."""

    __tablename__ = "invoice_lines"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    """billing.charge.ChargeKind."""
    product_class: Mapped[str] = mapped_column(String(32))
    description: Mapped[str] = mapped_column(String(300))
    """Plain English, or what somebody wrote."""
    told: Mapped[str] = mapped_column(Text, server_default="")
    """JSON of billing.line_words' facts, from which documents tell it in their language; empty: somebody
    wrote the description."""
    quantity: Mapped[int]
    """In millionths."""
    measure: Mapped[str] = mapped_column(String(12))
    """items, calls, seconds, messages, bytes, months, days ..."""
    unit_price: Mapped[int | None]
    """For one, in the unit's steps; None: there is no one price."""
    net_exact: Mapped[int]
    tax_exact: Mapped[int]
    """Taken already with the charge from the wallet, where that holds tax."""
    net: Mapped[int]
    taxes: Mapped[str] = mapped_column(Text)
    """JSON of billing.taxes.tax.AppliedTax, in their order."""
    collection: Mapped[str] = mapped_column(String(8))
    """wallet: taken already; invoice: taken by it."""
    ledger_code: Mapped[str] = mapped_column(String(40))
    """The revenue that it is."""
    from_us: Mapped[int | None]
    to_us: Mapped[int | None]
    charge_id: Mapped[int | None] = mapped_column(ForeignKey("charges.id"))
    corrects_id: Mapped[int | None] = mapped_column(ForeignKey("invoice_lines.id"), index=True)
    """The line that a credit note's line gives back."""
    credited: Mapped[int] = mapped_column(server_default="0")
    """What notes gave back of net."""
    origin: Mapped[str] = mapped_column(String(12))
    """reckoned, added, corrected or removed: what is removed from a draft stays, and counts nothing."""
    reason: Mapped[str] = mapped_column(String(300), server_default="")
    """Of who added, corrected or removed it."""


class InvoiceTaxRow(Base):
    """A tax of an invoice, summed up."""

    __tablename__ = "invoice_taxes"
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    ppm: Mapped[int]
    category: Mapped[str] = mapped_column(String(2))
    reason: Mapped[str] = mapped_column(String(300))
    base: Mapped[int]
    """In whole minor units."""
    tax: Mapped[int]


class InvoiceEntryRow(Base):
    """Which invoice a journal entry of a wallet went into: no entry is on two."""

    __tablename__ = "invoice_entries"
    entry_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    invoice_id: Mapped[int] = mapped_column(index=True)
    line_id: Mapped[int]


class GatheredRow(Base):
    """How far an account's entries in a unit are on invoices, so that older ones are not looked at again.

    Whoever makes or discards a draft of them locks it.
    """

    __tablename__ = "gathered"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    unit: Mapped[str] = mapped_column(String(12), primary_key=True)
    entry_id: Mapped[str] = mapped_column(String(32))
    """Every entry up to this one that belongs on an invoice is on one, be it a draft; empty: unknown."""


class AllocationRow(Base):
    """What of a payment, a credit note or a write-off went to an invoice."""

    __tablename__ = "allocations"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    """payment, credit_note or write_off; what is taken back keeps its kind."""
    entry_id: Mapped[str] = mapped_column(String(32), index=True)
    note_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"))
    amount: Mapped[int]
    """Below zero: taken back."""
    wallet_amount: Mapped[int]
    """What of it settled the wallet's part."""
    at_us: Mapped[int] = mapped_column(index=True)
    memo: Mapped[str] = mapped_column(String(200), server_default="")


class InvoiceFileRow(Base):
    """A file of an issued invoice, as it was made first."""

    __tablename__ = "invoice_files"
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(8), primary_key=True)
    """pdf, xml or csv."""
    name: Mapped[str] = mapped_column(String(120))
    sha256: Mapped[str] = mapped_column(String(64))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    created_us: Mapped[int]


class InvoiceEventRow(Base):
    """Something that happened to an invoice."""

    __tablename__ = "invoice_events"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoices.id"), index=True)
    at_us: Mapped[int]
    kind: Mapped[str] = mapped_column(String(20))
    detail: Mapped[str] = mapped_column(String(500))
    by: Mapped[str] = mapped_column(String(64))


class NumberFormatRow(Base):
    """How an issuer numbers documents of a kind."""

    __tablename__ = "number_formats"
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    prefix: Mapped[str] = mapped_column(String(24))
    """May hold {year}."""
    padding: Mapped[int]
    yearly: Mapped[bool]
    """Each year begins with 1."""


class NumberSequenceRow(Base):
    """The last number that was given out; its row is locked until the document with it is durable."""

    __tablename__ = "number_sequences"
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(12), primary_key=True)
    year: Mapped[int] = mapped_column(primary_key=True)
    """0 where it is not yearly."""
    last: Mapped[int]
    first: Mapped[int] = mapped_column(server_default="1")
    """With which it began: 1, or where it goes on from another system's numbers."""


class BillingRunRow(Base):
    """One execution of billing over many accounts."""

    __tablename__ = "billing_runs"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    definition: Mapped[str] = mapped_column(Text)
    """JSON: which accounts, up to when."""
    state: Mapped[str] = mapped_column(String(12))
    """running, stopping (somebody asked for it), done or stopped; one that was killed still says running, and
    goes on when started again."""
    accounts: Mapped[int]
    """That it is to bill."""
    started_us: Mapped[int]
    ended_us: Mapped[int | None]
    scope_id: Mapped[int | None]
    """Whose accounts it bills, and who sees it: a reseller; None: the operator."""
    by: Mapped[str] = mapped_column(String(200), server_default="")
    """Who started it; empty: the job, or the command line."""


class InvoiceActionRow(Base):
    """What somebody does with many invoices at once: first chosen and shown, then done one by one."""

    __tablename__ = "invoice_actions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    scope_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whose: of the operator, or of a reseller."""
    by: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(8))
    """issue, discard, send or cancel."""
    chosen: Mapped[str] = mapped_column(Text, deferred=True)
    """JSON: ids of the invoices, in the order in which they are taken: read only by who takes them."""
    reason: Mapped[str] = mapped_column(String(300), server_default="")
    state: Mapped[str] = mapped_column(String(8))
    """chosen, running, stopping, stopped or done."""
    total: Mapped[int]
    looked: Mapped[int] = mapped_column(server_default="0")
    """So many of them were taken up, and what became of them is written."""
    done: Mapped[int] = mapped_column(server_default="0")
    """Of these it was done with so many."""
    told: Mapped[str] = mapped_column(Text, server_default="")
    """JSON: invoices and why it was not done, or what else is to be known; as many as are shown."""
    created_us: Mapped[int]
    beaten_us: Mapped[int]
    """When whoever does it last said a word."""


class BillingRunAccountRow(Base):
    """How far a run is with an account."""

    __tablename__ = "billing_run_accounts"
    run_id: Mapped[int] = mapped_column(ForeignKey("billing_runs.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(12))
    """waiting, done or failed."""
    invoices: Mapped[int]
    detail: Mapped[str] = mapped_column(String(500))
    """Why it failed."""
    at_us: Mapped[int | None]
    __table_args__ = (Index("ix_billing_run_accounts_run_id_state", "run_id", "state"),)


class TemplateRow(Base):
    """A named template of an issuer; its text is in its versions."""

    __tablename__ = "templates"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64))
    current_version: Mapped[int | None]
    """The last one without errors; None: none yet."""
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class TemplateVersionRow(Base):
    """One saved state of a template; never changed."""

    __tablename__ = "template_versions"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("templates.id"))
    number: Mapped[int]
    definition: Mapped[str] = mapped_column(Text)
    """JSON of billing.template.Template: HTML, CSS, colours, fonts, layout, texts per language."""
    logo: Mapped[bytes | None] = mapped_column(LargeBinary)
    error: Mapped[str] = mapped_column(String(500))
    """Why it cannot be used; empty: it can."""
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("template_id", "number"),)


class MessageRow(Base):
    """A message in the outbox."""

    __tablename__ = "outbox"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    """Made from its cause: the same cause is told once."""
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    """What it is about: invoice, renewal ..."""
    recipient: Mapped[str] = mapped_column(String(254))
    subject: Mapped[str] = mapped_column(String(300))
    text: Mapped[str] = mapped_column(Text)
    html: Mapped[str] = mapped_column(Text, server_default="")
    invoice_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    """Whose files go with it."""
    channel: Mapped[str] = mapped_column(String(8), server_default="mail")
    """mail, or webhook: then text is the JSON that is posted."""
    endpoint_id: Mapped[int | None] = mapped_column(index=True)
    """Of a webhook."""
    report_run_id: Mapped[int | None]
    """Whose file goes with it."""
    digest_id: Mapped[int | None] = mapped_column(index=True)
    """The message that tells this one with others."""
    state: Mapped[str] = mapped_column(String(12))
    """waiting, sending, sent, failed (given up), bounced, gathered (waits for the account's digest), or
    digested (went into one)."""
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_us: Mapped[int | None]
    claimed_us: Mapped[int | None]
    """When a process took it to send."""
    message_id: Mapped[str] = mapped_column(String(200), server_default="", index=True)
    error: Mapped[str] = mapped_column(String(500), server_default="")
    created_us: Mapped[int]
    sent_us: Mapped[int | None]
    __table_args__ = (
        Index("ix_outbox_state_next_us", "state", "next_us"),
        Index("ix_outbox_issuer_id_state", "issuer_id", "channel", "state", "id"),
        Index("ix_outbox_issuer_id_sent_us", "issuer_id", "sent_us"),
    )
