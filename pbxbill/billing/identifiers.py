"""VAT ids, IBANs, BICs, e-mail addresses, countries as people write them: checked, in one form."""

import re
from functools import lru_cache

from phonenumbers import SUPPORTED_REGIONS
from stdnum import bic, get_cc_module, iban
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from pbxbill.errors import InputRefused

EU_VAT_AREA = frozenset(country.upper() for country in eu_vat.MEMBER_STATES if country != "xi") | {"MC"}
"""Where Directive 2006/112/EC holds (articles 5 to 7): the member states, and Monaco, which counts as France.
Parts of them that are outside (the Canary Islands, Åland ...) have no letters of their own: their accounts
get rates by region, or an exemption."""
_VAT_COUNTRY = {"MC": "FR", "EL": "GR"}
_VAT_PREFIX = {"GR": "EL", "MC": "FR"}
MAX_VAT_ID_LENGTH, MAX_EMAIL_LENGTH = 32, 254
_EMAIL = re.compile(r"[^\s@<>(),;:\"\[\]\\]+@[^\s@<>(),;:\"\[\]\\.]+(\.[^\s@<>(),;:\"\[\]\\.]+)+")


def checked_country(text: str) -> str:
    """A country's two letters; empty stays empty."""
    country = text.strip().upper()
    if country and country not in SUPPORTED_REGIONS:
        raise InputRefused(f"{text[:40]!r} is no country; write its two letters, as in DE, FR or US")
    return country


def vat_country(country: str) -> str:
    """The country whose VAT holds in a country."""
    return _VAT_COUNTRY.get(country, country)


def checked_vat_id(text: str, country: str) -> str:
    """A VAT id with the letters of its country, check digits and all; empty stays empty.

    A country whose ids nobody can check (there is no rule for them, or no VAT) takes what is printable.
    """
    compact = "".join(text.split()).upper()
    if not compact:
        return ""
    if len(compact) > MAX_VAT_ID_LENGTH or not compact.isprintable():
        raise InputRefused(f"a VAT id has up to {MAX_VAT_ID_LENGTH} printable characters")
    if not country:
        raise InputRefused(f"say whose VAT id {compact} is: set the country too")
    prefix = _VAT_PREFIX.get(country, country)
    bare = compact.removeprefix(prefix)
    try:
        if country in EU_VAT_AREA or compact[:2] in {"XI", "EU"}:
            foreign = compact[:2].isalpha() and not compact.startswith(prefix)
            return eu_vat.validate(compact if foreign else prefix + bare)
        module = get_cc_module(country, "vat")
        if module is None:
            return compact
        # Some countries' numbers begin with the country's letters by themselves (CHE...).
        valid: str = module.validate(compact if module.is_valid(compact) else bare)
    except ValidationError as fault:
        why = str(fault).rstrip(".").lower()
        raise InputRefused(f"{text[:40]!r} is no VAT id of {country}: {why}") from None
    return valid if valid.startswith(prefix) else prefix + valid


@lru_cache(maxsize=4096)
def eu_country_of_vat_id(vat_id: str) -> str | None:
    """The member state that gave out a VAT id; None: none did, or it is not valid.

    XI is Northern Ireland, which is in the area for goods only: what we tax are services.
    """
    country = vat_country(vat_id[:2].upper())
    if country not in EU_VAT_AREA or not eu_vat.is_valid(vat_id):
        return None
    return country


def checked_iban(text: str) -> str:
    """An IBAN without spaces; empty stays empty."""
    if not text.strip():
        return ""
    try:
        return iban.validate(text)
    except ValidationError as fault:
        raise InputRefused(f"{text[:50]!r} is no IBAN: {str(fault).rstrip('.').lower()}") from None


def checked_bic(text: str) -> str:
    """A BIC; empty stays empty."""
    if not text.strip():
        return ""
    try:
        return bic.validate(text)
    except ValidationError:
        raise InputRefused(
            f"{text[:20]!r} is no BIC; it has 8 or 11 letters and digits, as COBADEFF"
        ) from None


def checked_email(text: str) -> str:
    """An e-mail address alone, without a name; empty stays empty."""
    address = text.strip()
    if address and (
        len(address) > MAX_EMAIL_LENGTH
        or not address.isprintable()
        or not _EMAIL.fullmatch(address)
        or "=?" in address  # headers would decode it
    ):
        raise InputRefused(f"{text[:80]!r} is no e-mail address; write it like billing@example.org")
    return address
