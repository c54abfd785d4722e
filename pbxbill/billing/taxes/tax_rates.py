"""Writes an issuer's tax rates and his accounts' exemptions; refuses what no invoice could be made out with.

Rates end and are followed by others; none is changed, since what was issued went by it.
"""

import re
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import checked_country
from pbxbill.billing.period import day_start_us, local_date
from pbxbill.billing.taxes.tax import PPM, percent
from pbxbill.billing.taxes.tax_rules import EXPORT_REASON, REVERSE_CHARGE_REASON
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import TaxExemptionRow, TaxRateRow
from pbxbill.store.models import AccountRow

CATEGORIES = {
    "S": "standard or reduced rate",
    "Z": "zero rate",
    "E": "exempt",
    "AE": "reverse charge",
    "G": "export outside the EU",
    "K": "intra-community supply of goods",
    "O": "outside the scope of tax",
    "L": "Canary Islands general indirect tax (IGIC)",
    "M": "Ceuta and Melilla's tax (IPSI)",
}
"""UNCL 5305, the part of it that EN 16931 allows (its code list for BT-118 and BT-151)."""
_RATED = {"S", "L", "M"}
"""Those that may have a rate (BR-S-05, BR-IG-05, BR-IP-05); of the others it is 0."""
_NEED_REASON = {"E", "K", "O"}
"""BR-E-10, BR-IC-10, BR-O-10; for AE and G we have the words."""
_GIVEN_REASON = {"AE": REVERSE_CHARGE_REASON, "G": EXPORT_REASON}
MAX_NAME_LENGTH, MAX_REGION_LENGTH, MAX_REASON_LENGTH, MAX_CERTIFICATE_LENGTH = 40, 64, 300, 100
_CLASS = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class NewTaxRate:
    """A rate to be added."""

    name: str
    ppm: int
    from_us: int
    to_us: int | None = None
    category: str = "S"
    country: str = ""
    region: str = ""
    product_class: str = ""
    compound: bool = False
    inclusive: bool = False
    position: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NewExemption:
    """That an account owes no tax, or not the one of that name, and why."""

    reason: str
    """Printed."""
    from_us: int
    to_us: int | None = None
    tax_name: str = ""
    certificate: str = ""


def validity_us(
    first_day: date | None, last_day: date | None, zone: str, now_us: int
) -> tuple[int, int | None]:
    """From when until when something holds, by days where the issuer is; None: from today on, for ever."""
    first = local_date(now_us, zone) if first_day is None else first_day
    return day_start_us(first, zone), None if last_day is None else last_moment_us(last_day, zone)


def last_moment_us(last_day: date, zone: str) -> int:
    """Just before which something ends whose last day is whole."""
    return day_start_us(last_day + timedelta(days=1), zone)


def usual_tax(session: Session, issuer_id: int, now_us: int) -> TaxRateRow | None:
    """The rate that an issuer's sales most likely have now: of his standard rates the highest."""
    rates = tax_rates(session, issuer_id)
    now = [x for x in rates if x.from_us <= now_us and (x.to_us is None or now_us < x.to_us)]
    return max((x for x in now if x.category in _RATED and x.ppm), key=lambda x: x.ppm, default=None)


def add_tax_rate(session: Session, issuer_id: int, new: NewTaxRate) -> TaxRateRow:
    """Add a rate; it may begin in the past, and what is issued already stays as it is."""
    country = checked_country(new.country)
    _refuse_bad(new)
    for other in tax_rates(session, issuer_id):
        if _same_case(other, new, country) and _overlap(other.from_us, other.to_us, new.from_us, new.to_us):
            raise InputRefused(
                f"{new.name} has a rate for this place and class in that time already, "
                f"{percent(other.ppm)} %; end it where the new one begins"
            )
    row = TaxRateRow(
        issuer_id=issuer_id,
        name=new.name,
        ppm=new.ppm,
        category=new.category,
        country=country,
        region=new.region,
        product_class=new.product_class,
        from_us=new.from_us,
        to_us=new.to_us,
        compound=new.compound,
        inclusive=new.inclusive,
        position=new.position,
        reason=new.reason or _GIVEN_REASON.get(new.category, ""),
    )
    session.add(row)
    session.flush()
    return row


def tax_rates(session: Session, issuer_id: int) -> list[TaxRateRow]:
    """All rates of an issuer, in the order in which they are reckoned."""
    order = (TaxRateRow.position, TaxRateRow.compound, TaxRateRow.id)
    return list(session.scalars(select(TaxRateRow).where(TaxRateRow.issuer_id == issuer_id).order_by(*order)))


def end_tax_rate(session: Session, issuer_id: int, rate_id: int, to_us: int) -> TaxRateRow:
    """Let a rate hold until just before a moment."""
    row = session.get(TaxRateRow, rate_id, with_for_update=True)
    if row is None or row.issuer_id != issuer_id:
        raise InputRefused(f"there is no tax rate {rate_id}; `pbxbill taxes list` shows them")
    if to_us <= row.from_us:
        raise InputRefused("a tax rate ends after it has begun")
    for other in tax_rates(session, issuer_id):
        alike = other.id != row.id and _same_case(other, row, row.country)
        if alike and _overlap(other.from_us, other.to_us, row.from_us, to_us):
            raise InputRefused(f"another rate of {row.name} holds by then; it cannot end so late")
    row.to_us = to_us
    session.flush()
    return row


def add_exemption(session: Session, account_id: int, new: NewExemption) -> TaxExemptionRow:
    """Say that an account owes no tax, or not the one of a name."""
    _refuse_text("a reason", new.reason, MAX_REASON_LENGTH, needed=True)
    _refuse_text("a certificate's number", new.certificate, MAX_CERTIFICATE_LENGTH)
    _refuse_reversed(new.from_us, new.to_us)
    account = session.get_one(AccountRow, account_id)
    if account.parent_id is None:
        raise InputRefused("the operator is billed by nobody")
    names = {row.name for row in tax_rates(session, account.parent_id)}
    if new.tax_name and new.tax_name not in names:
        known = ", ".join(sorted(names)) or "none"
        raise InputRefused(f"the issuer has no tax {new.tax_name[:40]!r}; his are: {known}")
    for other in exemptions(session, account_id):
        alike = other.tax_name == new.tax_name
        if alike and _overlap(other.from_us, other.to_us, new.from_us, new.to_us):
            raise InputRefused("the account is exempt from it in that time already; end that first")
    row = TaxExemptionRow(account_id=account_id, **asdict(new))
    session.add(row)
    session.flush()
    return row


def exemptions(session: Session, account_id: int) -> list[TaxExemptionRow]:
    """All exemptions of an account."""
    return list(
        session.scalars(
            select(TaxExemptionRow)
            .where(TaxExemptionRow.account_id == account_id)
            .order_by(TaxExemptionRow.id)
        )
    )


def end_exemption(session: Session, account_id: int, tax_name: str, to_us: int) -> TaxExemptionRow:
    """Let an account's exemption hold until just before a moment."""
    row = session.scalar(
        select(TaxExemptionRow)
        .where(
            TaxExemptionRow.account_id == account_id,
            TaxExemptionRow.tax_name == tax_name,
            TaxExemptionRow.from_us < to_us,
            or_(TaxExemptionRow.to_us.is_(None), TaxExemptionRow.to_us > to_us),
        )
        .with_for_update()
    )
    if row is None:
        raise InputRefused("the account is not exempt from it then")
    row.to_us = to_us
    session.flush()
    return row


def _refuse_bad(new: NewTaxRate) -> None:
    _refuse_text("a tax's name", new.name, MAX_NAME_LENGTH, needed=True)
    _refuse_text("a region", new.region, MAX_REGION_LENGTH)
    _refuse_text("a reason", new.reason, MAX_REASON_LENGTH)
    if new.category not in CATEGORIES:
        known = ", ".join(f"{code} ({words})" for code, words in CATEGORIES.items())
        raise InputRefused(f"{new.category[:10]!r} is no category; use one of {known}")
    if not 0 <= new.ppm <= PPM:
        raise InputRefused(f"a tax rate lies between 0 and 100 percent, not at {percent(new.ppm)}")
    if new.ppm and new.category not in _RATED:
        words = CATEGORIES[new.category]
        raise InputRefused(f"category {new.category} ({words}) has a rate of 0, not of {percent(new.ppm)} %")
    if not new.ppm and new.category == "S":
        raise InputRefused("category S has a rate above 0; a rate of 0 is Z, or E where the law exempts it")
    if new.category in _NEED_REASON and not new.reason:
        raise InputRefused(f"category {new.category} needs a --reason, which invoices print")
    if new.region and not new.country:
        raise InputRefused("a region needs its country")
    if new.product_class and not _CLASS.fullmatch(new.product_class):
        raise InputRefused(
            f"product class {new.product_class[:40]!r}: use up to 32 of a-z, 0-9, - and _, as in usage"
        )
    _refuse_reversed(new.from_us, new.to_us)


def _refuse_text(what: str, text: str, longest: int, *, needed: bool = False) -> None:
    if len(text) > longest or not text.isprintable() or (needed and not text.strip()):
        raise InputRefused(f"{what} has {1 if needed else 0} to {longest} printable characters")


def _refuse_reversed(from_us: int, to_us: int | None) -> None:
    if to_us is not None and to_us <= from_us:
        raise InputRefused("its end lies before its beginning")


def _same_case(one: TaxRateRow, other: TaxRateRow | NewTaxRate, country: str) -> bool:
    return (one.name, one.country, one.region.casefold(), one.product_class) == (
        other.name,
        country,
        other.region.casefold(),
        other.product_class,
    )


def _overlap(from_us: int, to_us: int | None, other_from_us: int, other_to_us: int | None) -> bool:
    begins_in_time = other_to_us is None or from_us < other_to_us
    return begins_in_time and (to_us is None or other_from_us < to_us)
