"""How accounts are billed: when, what they get, in which words; by the defaults, where nobody said more.

Periods lie end to end from the account's first day on, and billed_to_us says up to where they are billed: the
next one begins there, whatever became of cycle, anchor or zone since. It ends with the period of the new
cycle that it begins in: the first period after a change is a short one. Where that would leave less than a
day it goes on to the end of the following one, and is a long one. So no change makes two periods overlap, or
leaves a gap between them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import checked_email
from pbxbill.billing.parties import Issuer, party_of
from pbxbill.billing.period import BillingCycle, Period, check_cycle, day_start_us, local_date
from pbxbill.billing.taxes.tax_rules import Exemption, TaxBuyer, TaxTreatment
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, check
from pbxbill.rating.band_checks import zone_of
from pbxbill.store.billing_models import BillingProfileRow, TaxExemptionRow
from pbxbill.store.driver import rows_within

INVOICINGS = ("draft", "issue", "none")
CALL_LISTS = ("annex", "file", "none")
FORMATS = ("pdf", "xml", "csv")
MAX_EMAILS, MAX_ORDER_LENGTH, MAX_GROUP_LENGTH, MAX_PAYMENT_DAYS = 20, 64, 64, 3650
SHORTEST_US = 86_400 * SECOND_US
_DEFAULTS = (
    "SELECT a.parent_id, a.created_us, a.language, s.zone, s.payment_days, s.template_id, p.email "
    "FROM accounts a LEFT JOIN issuers s ON s.account_id = a.parent_id "
    "LEFT JOIN parties p ON p.account_id = a.id WHERE a.id = :account_id"
)
_BILLED_BEHIND = (
    "SELECT id FROM invoices WHERE account_id = :account_id AND kind = 'invoice' "
    "AND period_key IS NOT NULL AND to_us > :free_from_us LIMIT 1"
)
_LANGUAGE = re.compile(r"[a-z]{2}(-[A-Z]{2})?")


@dataclass(frozen=True, slots=True)
class ProfileTerms:
    """What was said about an account's billing; None and empty: its issuer's, or its party's."""

    invoicing: str = "draft"
    """issue: at once; draft: an operator reviews it; none: no invoice at all."""
    cycle: str = "month"
    every: int = 1
    anchor: date | None = None
    """None: the account's first day."""
    zone: str = ""
    language: str = ""
    formats: tuple[str, ...] = ("pdf",)
    emails: tuple[str, ...] = ()
    template_id: int | None = None
    purchase_order: str = ""
    payment_days: int | None = None
    call_list: str = "annex"
    previous_balance: bool = False
    tax_treatment: TaxTreatment = TaxTreatment.AUTOMATIC
    minimum_total: int = 0
    group_name: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """How an account is billed, with all that it leaves to others filled in."""

    account_id: int
    issuer_id: int
    terms: ProfileTerms
    cycle: BillingCycle
    first_us: int
    """Its periods begin with the local day of this moment: that of its opening."""
    billed_to_us: int | None
    """Periods before this moment are billed."""
    language: str
    emails: tuple[str, ...]
    payment_days: int
    template_id: int | None

    @property
    def invoiced(self) -> bool:
        """Whether it gets invoices."""
        return self.terms.invoicing != "none"

    def next_period(self) -> Period:
        """The period that is to be billed next."""
        return _period_from(self.cycle, self._watermark_us)

    def periods_until(self, until_us: int) -> Iterator[Period]:
        """The periods that are to be billed and are over at a moment, in order."""
        period = self.next_period()
        while period.to_us <= until_us:
            yield period
            period = _period_from(self.cycle, period.to_us)

    @property
    def _watermark_us(self) -> int:
        if self.billed_to_us is not None:
            return self.billed_to_us
        return day_start_us(local_date(self.first_us, self.cycle.zone), self.cycle.zone)


def _period_from(cycle: BillingCycle, from_us: int) -> Period:
    whole = cycle.period_of(from_us)
    to_us = whole.to_us
    if whole.from_us < from_us and to_us - from_us < SHORTEST_US:
        to_us = cycle.period_of(to_us).to_us
    return Period(from_us, to_us)


def profile_of(session: Session, account_id: int) -> Profile:
    """How an account is billed."""
    row = session.get(BillingProfileRow, account_id)
    return _filled(session, account_id, row, terms_of(row))


def terms_of(row: BillingProfileRow | None) -> ProfileTerms:
    """What was said, as it is kept."""
    if row is None:
        return ProfileTerms()
    return ProfileTerms(
        invoicing=row.invoicing,
        cycle=row.cycle,
        every=row.every,
        anchor=date.fromisoformat(row.anchor) if row.anchor else None,
        zone=row.zone,
        language=row.language,
        formats=tuple(filter(None, row.formats.split(","))),
        emails=tuple(row.emails.split()),
        template_id=row.template_id,
        purchase_order=row.purchase_order,
        payment_days=row.payment_days,
        call_list=row.call_list,
        previous_balance=row.previous_balance,
        tax_treatment=TaxTreatment(row.tax_treatment),
        minimum_total=row.minimum_total,
        group_name=row.group_name,
    )


def set_profile(session: Session, account_id: int, terms: ProfileTerms) -> Profile:
    """Bill an account otherwise, beginning with what is not billed yet."""
    _refuse_bad(terms)
    before = profile_of(session, account_id)
    if terms.tax_treatment is TaxTreatment.REVERSE_CHARGE and not party_of(session, account_id).vat_id:
        raise InputRefused("reverse charge needs the VAT id of the account; set it first")
    row = session.get(BillingProfileRow, account_id, with_for_update=True)
    if row is None:
        row = BillingProfileRow(account_id=account_id, billed_to_us=before.billed_to_us)
        session.add(row)
    row.invoicing, row.cycle, row.every = terms.invoicing, terms.cycle, terms.every
    row.anchor = "" if terms.anchor is None else terms.anchor.isoformat()
    row.zone, row.language = terms.zone, terms.language
    row.formats, row.emails = ",".join(terms.formats), "\n".join(terms.emails)
    row.template_id, row.purchase_order = terms.template_id, terms.purchase_order
    row.payment_days, row.call_list = terms.payment_days, terms.call_list
    row.previous_balance, row.tax_treatment = terms.previous_balance, terms.tax_treatment
    row.minimum_total, row.group_name = terms.minimum_total, terms.group_name
    profile = _filled(session, account_id, row, terms)
    row.next_us = profile.next_period().to_us if profile.invoiced else None
    session.flush()
    return profile


def billed_up_to(session: Session, account_id: int, to_us: int) -> None:
    """Note that the periods before a moment are billed; only open_again() goes back."""
    row = session.get(BillingProfileRow, account_id, with_for_update=True)
    if row is None:
        set_profile(session, account_id, ProfileTerms())
        row = session.get_one(BillingProfileRow, account_id)
    note_billed(row, profile_of(session, account_id), to_us)
    session.flush()


def note_billed(row: BillingProfileRow, profile: Profile, to_us: int) -> Profile:
    """The same for a row that the caller has locked, and its profile; as that is now."""
    check(
        row.billed_to_us is None or row.billed_to_us <= to_us, "account {} is billed further", row.account_id
    )
    row.billed_to_us = to_us
    profile = replace(profile, billed_to_us=to_us)
    row.next_us = profile.next_period().to_us if profile.invoiced else None
    return profile


def locked_profile(session: Session, account_id: int) -> BillingProfileRow | None:
    """The row of an account, so that nobody else bills it meanwhile; before any of its invoices is locked."""
    return session.get(BillingProfileRow, account_id, with_for_update=True, populate_existing=True)


def open_again(session: Session, row: BillingProfileRow, period: Period) -> bool:
    """Let a period whose draft was discarded be billed again; False: a later invoice stands in the way.

    The caller has locked the row. Invoices of the period in other units stay, and are found by their key.
    """
    if row.billed_to_us is None or row.billed_to_us <= period.from_us:
        return True  # it was opened with the invoice of another unit, or with a later one
    profile = replace(profile_of(session, row.account_id), billed_to_us=period.from_us)
    again = profile.next_period()
    # Where cycle, anchor or zone are others by now it ends elsewhere: then nothing of it may be billed.
    free_from_us = period.to_us if again.to_us == period.to_us else period.from_us
    values = {"account_id": row.account_id, "free_from_us": free_from_us}
    if rows_within(session, _BILLED_BEHIND, values):
        return False
    row.billed_to_us = period.from_us
    row.next_us = again.to_us if profile.invoiced else None
    return True


def tax_buyer_of(session: Session, account_id: int) -> TaxBuyer:
    """What decides the taxes of an account."""
    party = party_of(session, account_id)
    row = session.get(BillingProfileRow, account_id)
    exemptions = session.scalars(
        select(TaxExemptionRow).where(TaxExemptionRow.account_id == account_id).order_by(TaxExemptionRow.id)
    )
    return TaxBuyer(
        party.country,
        party.region,
        party.vat_id,
        tuple(Exemption(x.tax_name, x.reason, x.from_us, x.to_us) for x in exemptions),
        TaxTreatment.AUTOMATIC if row is None else TaxTreatment(row.tax_treatment),
    )


def _filled(session: Session, account_id: int, row: BillingProfileRow | None, terms: ProfileTerms) -> Profile:
    found = rows_within(session, _DEFAULTS, {"account_id": account_id})
    check(bool(found), "there is no account {}", account_id)
    ((issuer_id, created_us, language, zone, payment_days, template_id, email),) = found
    if issuer_id is None:
        raise InputRefused("the operator is billed by nobody")
    zone = terms.zone or zone or Issuer().zone
    anchor = terms.anchor or local_date(created_us, zone)
    if terms.payment_days is not None:
        payment_days = terms.payment_days
    return Profile(
        account_id=account_id,
        issuer_id=issuer_id,
        terms=terms,
        cycle=BillingCycle(terms.cycle, terms.every, anchor, zone),
        first_us=created_us,
        billed_to_us=None if row is None else row.billed_to_us,
        language=terms.language or language,
        emails=terms.emails or ((email,) if email else ()),
        payment_days=Issuer().payment_days if payment_days is None else payment_days,
        template_id=template_id if terms.template_id is None else terms.template_id,
    )


def _refuse_bad(terms: ProfileTerms) -> None:
    check_cycle(terms.cycle, terms.every)
    if terms.zone:
        zone_of(terms.zone)
    if terms.language and not _LANGUAGE.fullmatch(terms.language):
        raise InputRefused(f"{terms.language[:20]!r} is no language; write it like en, fr or pt-BR")
    for what, value, allowed in (
        ("invoicing", terms.invoicing, INVOICINGS),
        ("call list", terms.call_list, CALL_LISTS),
        *(("format", x, FORMATS) for x in terms.formats),
    ):
        if value not in allowed:
            raise InputRefused(f"{what} {value[:20]!r}: use one of {', '.join(allowed)}")
    if "pdf" not in terms.formats and "xml" not in terms.formats:
        raise InputRefused("an invoice is a pdf or an xml; csv is its call list alone")
    if len(terms.emails) > MAX_EMAILS:
        raise InputRefused(f"an invoice goes to up to {MAX_EMAILS} addresses")
    for address in terms.emails:
        checked_email(address)
    if terms.payment_days is not None and not 0 <= terms.payment_days <= MAX_PAYMENT_DAYS:
        raise InputRefused(f"an invoice is to be paid within 0 to {MAX_PAYMENT_DAYS} days")
    if terms.minimum_total < 0:
        raise InputRefused("the least total of an invoice cannot be negative")
    for what, value, longest in (
        ("a purchase order's number", terms.purchase_order, MAX_ORDER_LENGTH),
        ("a group's name", terms.group_name, MAX_GROUP_LENGTH),
    ):
        if len(value) > longest or not value.isprintable():
            raise InputRefused(f"{what} has up to {longest} printable characters")
