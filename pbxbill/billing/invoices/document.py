"""A document as it is printed, and as EN 16931 sees it: all that a template or an e-invoice may read.

Amounts are integers in steps of the unit, times UTC microseconds. Dates of issue are local to the issuer;
periods, the dates of lines and the times of calls are in the zone in which the account's periods lie.

It is kept with the issued invoice as JSON, so that the same document can be rendered in ten years.
"""

from dataclasses import dataclass, field
from datetime import date

from pbxbill.money import Unit


@dataclass(frozen=True, slots=True)
class PartyBlock:
    """Seller or buyer as printed; empty fields are left out."""

    code: str
    """The account's."""
    name: str
    street: str = ""
    extra: str = ""
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    """ISO 3166 two letters."""
    vat_id: str = ""
    registration_id: str = ""
    contact: str = ""
    email: str = ""
    phone: str = ""
    website: str = ""
    bank_name: str = ""
    iban: str = ""
    bic: str = ""


@dataclass(frozen=True, slots=True)
class DocumentTax:
    """One tax with its base."""

    name: str
    ppm: int
    category: str
    """UNCL 5305."""
    base: int
    tax: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DocumentLine:
    """One line; net in whole minor units."""

    position: int
    kind: str
    """billing.charge.ChargeKind."""
    description: str
    quantity: int
    """In millionths."""
    measure: str
    unit_price: int | None
    net: int
    tax_names: tuple[str, ...]
    """Of the taxes below that it falls under."""
    category: str
    """Of its first tax: UNCL 5305."""
    ppm: int
    """Of its first tax."""
    from_date: date | None = None
    to_date: date | None = None
    """The last day."""
    detail: str = ""
    """How the amount came about, where it was pro-rated."""


@dataclass(frozen=True, slots=True)
class DocumentCall:
    """One call of the call list."""

    started_at: str
    """In the zone of the account's periods, as YYYY-MM-DD HH:MM:SS."""
    caller: str
    called: str
    destination: str
    duration_s: int
    total: int
    """Exact; without the tax that was taken with it, so that calls add up to the lines."""
    tax: int = 0
    """What was taken as tax with it."""


@dataclass(frozen=True, slots=True)
class DocumentPayment:
    """Money received in the period, or for this invoice."""

    on: date
    description: str
    amount: int


@dataclass(frozen=True, slots=True)
class Document:
    """A quote, invoice, credit note, debit note or receipt."""

    kind: str
    number: str
    """Empty while it is a draft."""
    draft: bool
    language: str
    unit: Unit
    issued_on: date
    due_on: date | None
    from_date: date | None
    to_date: date | None
    seller: PartyBlock
    buyer: PartyBlock
    lines: tuple[DocumentLine, ...]
    taxes: tuple[DocumentTax, ...]
    net: int
    tax: int
    total: int
    from_wallet: int
    """Paid from the wallet's funds already."""
    due: int
    purchase_order: str = ""
    corrects: str = ""
    """Number of the invoice that a note corrects."""
    corrects_on: date | None = None
    payment_terms: str = ""
    note: str = ""
    previous_balance: int | None = None
    """What was open before; None: not shown."""
    payments: tuple[DocumentPayment, ...] = ()
    calls: tuple[DocumentCall, ...] = ()
    calls_left_out: int = 0
    """Calls beyond what an annex shows."""
    call_amounts: str = ""
    """What the calls' amounts are: net; gross, where the issuer's tax is inside the price; empty: no tax."""
    extra: dict[str, str] = field(default_factory=dict)
    """What a later release adds to old documents."""
