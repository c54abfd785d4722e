"""Tables of money that comes in: gateways, what was asked of them, what they told, vouchers, points.

Registered with store.models' metadata. Card data is never here: a saved method is what its gateway calls it.
"""

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pbxbill.store import billing_models, invoice_models  # noqa: F401 what is referred to is registered with it
from pbxbill.store.models import Base, RowId


class PaymentGatewayRow(Base):
    """An issuer's account at a payment service."""

    __tablename__ = "payment_gateways"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    name: Mapped[str] = mapped_column(String(64), unique=True)
    """In the address that it sends webhooks to."""
    kind: Mapped[str] = mapped_column(String(12))
    """stripe, paypal or ccavenue."""
    settings: Mapped[str] = mapped_column(Text)
    """JSON of its kind's settings; secrets are the names of files that hold them."""
    units: Mapped[str] = mapped_column(String(200), server_default="")
    """Currencies that it takes, with commas between; empty: any."""
    enabled: Mapped[bool]
    created_us: Mapped[int]


class SavedMethodRow(Base):
    """A card, or another way to pay, that a gateway keeps for an account."""

    __tablename__ = "saved_methods"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    gateway_id: Mapped[int] = mapped_column(ForeignKey("payment_gateways.id"))
    customer_ref: Mapped[str] = mapped_column(String(128))
    """What the gateway calls whom it belongs to."""
    method_ref: Mapped[str] = mapped_column(String(128))
    """What the gateway calls it."""
    brand: Mapped[str] = mapped_column(String(32))
    last4: Mapped[str] = mapped_column(String(4))
    expires: Mapped[str] = mapped_column(String(7))
    """YYYY-MM, its last month; empty: never."""
    state: Mapped[str] = mapped_column(String(12))
    """active, or removed."""
    preferred: Mapped[bool]
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("account_id", "gateway_id", "method_ref"),)


class GatewayPaymentRow(Base):
    """A payment asked for through a gateway, from before that is told of it until the money is booked."""

    __tablename__ = "gateway_payments"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(String(40), unique=True)
    """Ours, not to be guessed: what the gateway knows it by, and the idempotency key of every retry."""
    gateway_id: Mapped[int] = mapped_column(ForeignKey("payment_gateways.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(12))
    """top_up: into the wallet; invoice: to invoices, what is over into the wallet."""
    invoice_ids: Mapped[str] = mapped_column(Text, server_default="")
    """With commas between; empty: what was due first is paid first."""
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    amount: Mapped[int]
    """Asked for, in the unit's steps."""
    state: Mapped[str] = mapped_column(String(12))
    """asking (the gateway may or may not know of it), open (it waits for the payer), paid, declined, expired,
    cancelled, or held (something differs from what was asked: a person decides)."""
    gateway_ref: Mapped[str] = mapped_column(String(128), server_default="")
    method_id: Mapped[int | None] = mapped_column(ForeignKey("saved_methods.id"))
    """Charged without the payer there; None: he pays on the gateway's page."""
    automatic: Mapped[bool]
    """Asked for by an auto top-up."""
    save_method: Mapped[bool]
    url: Mapped[str] = mapped_column(Text, server_default="")
    """Where the payer pays."""
    form: Mapped[str] = mapped_column(Text, server_default="")
    """JSON of the fields that his browser posts there; empty: it simply goes there."""
    error: Mapped[str] = mapped_column(String(300), server_default="")
    """Why it was declined or is held."""
    entry_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """What it posted."""
    told_amount: Mapped[int | None]
    """What the gateway says it received, in the currency's minor units; None: nothing yet."""
    told_currency: Mapped[str] = mapped_column(String(12), server_default="")
    received: Mapped[int] = mapped_column(server_default="0")
    """What of it is booked, in the unit's steps."""
    refunded: Mapped[int] = mapped_column(server_default="0")
    """What of it went back, by refunds and charge-backs, asked for or done."""
    by: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    poll_us: Mapped[int | None] = mapped_column(index=True)
    """When the gateway is asked about it next; None: it has ended."""
    polls: Mapped[int] = mapped_column(server_default="0")
    ended_us: Mapped[int | None]
    __table_args__ = (Index("ix_gateway_payments_gateway_id_gateway_ref", "gateway_id", "gateway_ref"),)


class RefundRow(Base):
    """Money given back through a gateway, or taken back by one (a charge-back)."""

    __tablename__ = "refunds"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(String(160), unique=True)
    """Of a refund of ours, as the payment's; of what the gateway told, made from its own reference."""
    payment_id: Mapped[int] = mapped_column(ForeignKey("gateway_payments.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    """refund, or charge_back."""
    amount: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    """asking, open, done or failed; of a charge-back: open (disputed; the money is gone), lost or won."""
    gateway_ref: Mapped[str] = mapped_column(String(128), server_default="", index=True)
    entry_id: Mapped[str | None] = mapped_column(String(32))
    back_entry_id: Mapped[str | None] = mapped_column(String(32))
    """Of a refund that failed or a charge-back that was won: what put the money back."""
    reason: Mapped[str] = mapped_column(String(300))
    by: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    poll_us: Mapped[int | None] = mapped_column(index=True)
    polls: Mapped[int] = mapped_column(server_default="0")


class ReceivedWebhookRow(Base):
    """What a gateway sent, as it came, and what became of it."""

    __tablename__ = "received_webhooks"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    gateway_id: Mapped[int] = mapped_column(ForeignKey("payment_gateways.id"))
    event_ref: Mapped[str] = mapped_column(String(128))
    """The gateway's own id of the event, by which one that comes again is known; of a refused one a hash."""
    received_us: Mapped[int] = mapped_column(index=True)
    kind: Mapped[str] = mapped_column(String(64))
    headers: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    outcome: Mapped[str] = mapped_column(String(12))
    """handled, nothing (it concerns nothing of ours), held or refused."""
    detail: Mapped[str] = mapped_column(String(300))
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("gateway_payments.id"), index=True)
    times: Mapped[int] = mapped_column(server_default="1")
    """How often it came."""
    __table_args__ = (UniqueConstraint("gateway_id", "event_ref"),)


class AutoTopUpRow(Base):
    """That a wallet is filled from a saved method when its funds fall below a threshold."""

    __tablename__ = "auto_top_ups"
    wallet_id: Mapped[int] = mapped_column(ForeignKey("wallets.id"), primary_key=True)
    below: Mapped[int]
    amount: Mapped[int]
    method_id: Mapped[int] = mapped_column(ForeignKey("saved_methods.id"))
    daily_cap: Mapped[int | None]
    """Most per local day; None: no cap. Reached: it waits for the next day."""
    monthly_cap: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(12))
    """on, off (by the account), or stopped (after too many declines)."""
    declines: Mapped[int] = mapped_column(server_default="0")
    """In a row."""
    next_us: Mapped[int | None] = mapped_column(index=True)
    """When it is to be looked at; None: when funds fall."""
    payment_id: Mapped[int | None] = mapped_column(ForeignKey("gateway_payments.id"))
    """The attempt that is under way."""
    created_us: Mapped[int]


class VoucherBatchRow(Base):
    """Vouchers made together."""

    __tablename__ = "voucher_batches"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    """Whose customers can redeem them."""
    name: Mapped[str] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    value: Mapped[int]
    count: Mapped[int]
    digits: Mapped[int]
    """Of its codes, the last of which is there to tell typing mistakes."""
    from_us: Mapped[int]
    to_us: Mapped[int | None]
    """Since then they are worth nothing."""
    validity_days: Mapped[int | None]
    """By how many days redeeming one prolongs the account's validity; None: as its life-cycle says."""
    state: Mapped[str] = mapped_column(String(12))
    """making, active or blocked."""
    by: Mapped[str] = mapped_column(String(64))
    created_us: Mapped[int]
    __table_args__ = (UniqueConstraint("issuer_id", "name"),)


class VoucherRow(Base):
    """One voucher; its code is only with who holds it."""

    __tablename__ = "vouchers"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("voucher_batches.id"))
    serial: Mapped[int]
    """Printed, to speak of it without its code."""
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(12))
    """new, redeemed or blocked."""
    account_id: Mapped[int | None] = mapped_column(ForeignKey("accounts.id"), index=True)
    redeemed_us: Mapped[int | None]
    entry_id: Mapped[str | None] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(12), server_default="")
    """cli, api, panel or telephone."""
    by: Mapped[str] = mapped_column(String(64), server_default="")
    """The number of the caller, or who else redeemed it."""
    __table_args__ = (UniqueConstraint("batch_id", "serial"),)


class GuessRow(Base):
    """Wrong codes and PINs in a row, of a caller, an account, a card or an access number."""

    __tablename__ = "guesses"
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    """caller, account, card or access_number, of what: voucher:caller ..."""
    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    last_us: Mapped[int]
    locked_to_us: Mapped[int | None]
    """Until then not even a right one is looked at."""


class PointsRuleRow(Base):
    """How customers of an issuer earn points."""

    __tablename__ = "points_rules"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    kind: Mapped[str] = mapped_column(String(12))
    """top_up, usage or referral."""
    points_unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    """A unit of whole pieces: points are a wallet in it."""
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    per: Mapped[int]
    """For each such amount of unit; of a referral: from such a first top-up on."""
    points: Mapped[int]
    valid_days: Mapped[int | None]
    """None: they do not expire."""
    worth: Mapped[int]
    """What one point is worth when it is spent, in the unit's steps; 0: these cannot be spent on funds."""
    state: Mapped[str] = mapped_column(String(12))
    """active or ended."""
    from_us: Mapped[int]


class PointsLotRow(Base):
    """Points earned at once, and what is left of them; the oldest to expire are spent first."""

    __tablename__ = "points_lots"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)
    """Made from its cause: the same cause earns once."""
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    rule_id: Mapped[int | None] = mapped_column(ForeignKey("points_rules.id"))
    unit: Mapped[str] = mapped_column(ForeignKey("units.code"))
    amount: Mapped[int]
    """What of the rule's unit they were earned by; of points given by hand 0."""
    earned: Mapped[int]
    left: Mapped[int]
    taken_back: Mapped[int] = mapped_column(server_default="0")
    """What was taken back since the money went back, of this lot or, where it was spent, of others."""
    earned_us: Mapped[int]
    expires_us: Mapped[int | None] = mapped_column(index=True)
    told_us: Mapped[int | None]
    """When the account was told that they expire soon."""
    cause_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The entry of the top-up that earned them."""
    entry_id: Mapped[str] = mapped_column(String(32))


class ReferralRow(Base):
    """Who brought an account."""

    __tablename__ = "referrals"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    referrer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    created_us: Mapped[int]
    entry_id: Mapped[str | None] = mapped_column(String(32), index=True)
    """The first top-up that is large enough for the reward."""
    rewarded_us: Mapped[int | None]


class EarnedToRow(Base):
    """Up to which journal entry an account has earned points by usage."""

    __tablename__ = "points_earned_to"
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    rule_id: Mapped[int] = mapped_column(ForeignKey("points_rules.id"), primary_key=True)
    entry_id: Mapped[str] = mapped_column(String(32))
    rest: Mapped[int]
    """What was not enough for a point yet."""


class CallingCardRow(Base):
    """A PIN by which a caller is known at an access number; charged through its endpoint `sip card:ID`."""

    __tablename__ = "calling_cards"
    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    name: Mapped[str] = mapped_column(String(64), server_default="")
    pin_hash: Mapped[str] = mapped_column(String(128), unique=True)
    state: Mapped[str] = mapped_column(String(12))
    """active, locked or blocked."""
    expires_us: Mapped[int | None]
    last_used_us: Mapped[int | None]
    created_us: Mapped[int]


class KnownCallerRow(Base):
    """A caller ID that needs no PIN at access numbers."""

    __tablename__ = "known_callers"
    number: Mapped[str] = mapped_column(String(32), primary_key=True)
    """E.164 digits."""
    card_id: Mapped[int] = mapped_column(ForeignKey("calling_cards.id"), index=True)
    created_us: Mapped[int]


class AccessNumberRow(Base):
    """A number that callers dial to be asked for their PIN."""

    __tablename__ = "access_numbers"
    number: Mapped[str] = mapped_column(String(32), primary_key=True)
    """As the switch shows it when it is called."""
    issuer_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    """Whose customers' cards work here, and those of customers below."""
    definition: Mapped[str] = mapped_column(Text)
    """JSON of ivr.access_number.AccessTerms: languages, lengths, limits, what is offered."""
    created_us: Mapped[int]


class InstallationRow(Base):
    """What this installation drew for itself once: the salt of code and PIN hashes."""

    __tablename__ = "installation"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))
