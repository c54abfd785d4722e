"""Who issuers and accounts are: address, ids and bank for documents, and how an issuer makes his invoices.

Nothing has to be there: an account without a party has its name alone, an issuer without settings the
defaults of the columns. A change names only what is to change; all of it is checked before any is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import (
    checked_bic,
    checked_country,
    checked_email,
    checked_iban,
    checked_vat_id,
)
from pbxbill.billing.invoices.document import PartyBlock
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.errors import InputRefused, check
from pbxbill.rating.band_checks import zone_of
from pbxbill.rating.destination import to_e164
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.billing_models import BillingProfileRow, IssuerRow, PartyRow
from pbxbill.store.invoice_models import TemplateRow
from pbxbill.store.models import AccountRow

MAX_PAYMENT_DAYS, MAX_QUARANTINE_DAYS, MAX_TERMS_LENGTH = 3650, 3650, 500
MAX_SUPPORT_NUMBERS = 50
_SEPARATORS = str.maketrans("", "", " -./()")


@dataclass(frozen=True, slots=True)
class Party:
    """Who an account is in law, and where."""

    legal_name: str
    street: str = ""
    extra: str = ""
    postal_code: str = ""
    city: str = ""
    region: str = ""
    country: str = ""
    vat_id: str = ""
    registration_id: str = ""
    contact: str = ""
    email: str = ""
    phone: str = ""
    website: str = ""
    bank_name: str = ""
    iban: str = ""
    bic: str = ""

    def block(self, code: str) -> PartyBlock:
        """As it is printed."""
        printed = asdict(self)
        return PartyBlock(code, printed.pop("legal_name"), **printed)

    @property
    def missing(self) -> tuple[str, ...]:
        """What an address lacks to be one (EN 16931 BR-08 to BR-11; article 226 (5))."""
        return tuple(x for x in ("street", "city", "country") if not getattr(self, x))


PARTY_FIELDS = tuple(field.name for field in fields(Party))
OWN_FIELDS = ("contact", "street", "extra", "postal_code", "city", "region", "email", "phone", "website")
"""What an account may say of itself. Name, country and VAT id decide on taxes: its seller changes them."""
_CHECKS: dict[str, Callable[[str], str]] = {
    "country": checked_country,
    "email": checked_email,
    "iban": checked_iban,
    "bic": checked_bic,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """How the operator, or a reseller, makes his invoices."""

    zone: str = "UTC"
    tax_rounding: TaxRounding = TaxRounding.INVOICE
    payment_days: int = 14
    payment_terms: str = ""
    did_quarantine_days: int = 60
    template_id: int | None = None
    mail: str = "{}"
    """JSON of notify.smtp.MailSettings."""
    support_numbers: str = ""
    """E.164 digits, one per line, that customers reach however suspended they are."""


def party_of(session: Session, account_id: int) -> Party:
    """Who an account is; by its name alone, if nobody said more."""
    row = session.get(PartyRow, account_id)
    if row is not None:
        return Party(**{name: getattr(row, name) for name in PARTY_FIELDS})
    account = session.get(AccountRow, account_id)
    check(account is not None, "there is no account {}", account_id)
    assert account is not None
    return Party(account.name)


def known_addresses(session: Session, account_id: int) -> list[str]:
    """E-mail addresses that an account and its own users have said: a test message goes there alone."""
    users = select(UserRow.email).where(UserRow.account_id == account_id, UserRow.email != "")
    return sorted({party_of(session, account_id).email, *session.scalars(users)} - {""})


def set_party(session: Session, account_id: int, changes: Mapping[str, str]) -> Party:
    """Change who an account is; what is issued already keeps what was printed."""
    before = party_of(session, account_id)
    party = _checked_party(before, changes)
    profile = session.get(BillingProfileRow, account_id)
    if profile is not None and profile.tax_treatment == "reverse_charge" and not party.vat_id:
        raise InputRefused(
            "the account is billed under reverse charge, which needs its VAT id; "
            "set another tax treatment first"
        )
    row = session.get(PartyRow, account_id)
    if row is None:
        session.add(PartyRow(account_id=account_id, **asdict(party)))
    else:
        for name, value in asdict(party).items():
            setattr(row, name, value)
    session.flush()
    return party


def _checked_party(before: Party, changes: Mapping[str, str]) -> Party:
    cleaned = {name: _checked_text(name, value) for name, value in changes.items()}
    party = replace(before, **cleaned)
    if not party.legal_name:
        raise InputRefused("a party has a legal name")
    if changes.keys() & {"vat_id", "country"}:
        # An id that was right in another country may be none in this one.
        party = replace(party, vat_id=checked_vat_id(party.vat_id, party.country))
    return party


def _checked_text(name: str, value: str) -> str:
    text = " ".join(value.split())
    column = PartyRow.__table__.columns.get(name)
    check(column is not None and name in PARTY_FIELDS, "a party has no {}", name)
    assert column is not None
    longest: int = column.type.length  # type: ignore[attr-defined]  # every column is a String
    if text.isprintable():
        text = _CHECKS.get(name, str)(text)
        if len(text) <= longest:
            return text
    raise InputRefused(f"{name.replace('_', ' ')}: use up to {longest} printable characters")


def issuer_of(session: Session, account_id: int) -> Issuer:
    """How an issuer makes his invoices; by the defaults, if he did not say."""
    row = session.get(IssuerRow, account_id)
    if row is None:
        return Issuer()
    return Issuer(
        row.zone,
        TaxRounding(row.tax_rounding),
        row.payment_days,
        row.payment_terms,
        row.did_quarantine_days,
        row.template_id,
        row.mail,
        row.support_numbers,
    )


def zone_of_account(session: Session, account: AccountRow) -> str:
    """By whose clock its people most likely live: its own as an issuer, else that of who is above it."""
    for id in reversed([int(part) for part in account.path.split("/") if part]):
        row = session.get(IssuerRow, id)
        if row is not None:
            return row.zone
    return Issuer().zone


def set_issuer(session: Session, account_id: int, issuer: Issuer) -> None:
    """Change how an issuer makes his invoices, those that are issued from now on."""
    account = session.get(AccountRow, account_id)
    if account is None or account.kind == "customer":
        raise InputRefused("only the operator and resellers issue invoices")
    zone_of(issuer.zone)
    if not 0 <= issuer.payment_days <= MAX_PAYMENT_DAYS:
        raise InputRefused(f"an invoice is to be paid within 0 to {MAX_PAYMENT_DAYS} days")
    if not 0 <= issuer.did_quarantine_days <= MAX_QUARANTINE_DAYS:
        raise InputRefused(f"a DID rests for 0 to {MAX_QUARANTINE_DAYS} days")
    if len(issuer.payment_terms) > MAX_TERMS_LENGTH or not issuer.payment_terms.isprintable():
        raise InputRefused(f"payment terms have up to {MAX_TERMS_LENGTH} printable characters")
    row = session.get(IssuerRow, account_id)
    known = "" if row is None else row.support_numbers
    if row is None:
        session.add(IssuerRow(account_id=account_id, **asdict(issuer)))
    else:
        for name, value in asdict(issuer).items():
            setattr(row, name, value)
    if issuer.support_numbers != known:
        bump_catalogue(session)  # charging engines keep them in memory
    session.flush()


def support_numbers(text: str) -> str:
    """Numbers that a person wrote with commas between, as they are kept; empty: none."""
    written = filter(None, (part.translate(_SEPARATORS) for part in text.split(",")))
    numbers = [to_e164(number) for number in written]
    if len(numbers) > MAX_SUPPORT_NUMBERS or not all(numbers):
        raise InputRefused(
            f"support numbers are up to {MAX_SUPPORT_NUMBERS} numbers as they are dialled from abroad, with "
            "commas between: +4930123456, or short ones that the dialling rules of your customers know"
        )
    return "\n".join(dict.fromkeys(number for number in numbers if number))


def template_id_of(session: Session, issuer_id: int, name: str) -> int | None:
    """An issuer's template by its name; empty: the built-in one. InputRefused if it cannot be used."""
    if not name:
        return None
    row = session.scalar(
        select(TemplateRow).where(TemplateRow.issuer_id == issuer_id, TemplateRow.name == name)
    )
    if row is None:
        raise InputRefused(f"there is no template {name[:64]!r}")
    if row.current_version is None:
        raise InputRefused(f"template {name!r} has no version without errors yet")
    return row.id
