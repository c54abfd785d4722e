"""What is public knowledge of telephone numbers: countries, kinds of numbers, emergency numbers.

The only module that knows `phonenumbers`. Its answers take some 15 us, so they are remembered.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType, shortnumberinfo

from pbxbill.errors import check

REMEMBERED = 100_000
EMERGENCY_MAX_DIGITS = 6
"""The longest in any country's plan; a test compares them all."""
UNKNOWN_REGION = "ZZ"
"""ISO 3166's own code for a territory that nobody knows."""
WORLD = "001"


class DestinationKind(StrEnum):
    """The class of a destination."""

    LOCAL = "local"
    NATIONAL = "national"
    MOBILE = "mobile"
    INTERNATIONAL = "international"
    PREMIUM = "premium"
    TOLL_FREE = "toll_free"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    EMERGENCY = "emergency"
    SPECIAL = "special"
    """Personal, voicemail, company-wide and short numbers."""


KINDS = tuple(kind.value for kind in DestinationKind)
_OF_TYPE = {
    PhoneNumberType.PREMIUM_RATE: DestinationKind.PREMIUM,
    PhoneNumberType.TOLL_FREE: DestinationKind.TOLL_FREE,
    PhoneNumberType.SHARED_COST: DestinationKind.SHARED_COST,
    PhoneNumberType.MOBILE: DestinationKind.MOBILE,
    PhoneNumberType.PAGER: DestinationKind.MOBILE,
    PhoneNumberType.PERSONAL_NUMBER: DestinationKind.SPECIAL,
    PhoneNumberType.UAN: DestinationKind.SPECIAL,
    PhoneNumberType.VOICEMAIL: DestinationKind.SPECIAL,
}
_OF_NO_COUNTRY = {
    "800": DestinationKind.TOLL_FREE,
    "808": DestinationKind.SHARED_COST,
    "870": DestinationKind.SATELLITE,
    "881": DestinationKind.SATELLITE,
    "882": DestinationKind.SATELLITE,
    "878": DestinationKind.SPECIAL,
    "883": DestinationKind.SPECIAL,
    "888": DestinationKind.SPECIAL,
    "979": DestinationKind.PREMIUM,
}
"""Calling codes of networks that belong to no country."""


class RegionPlan(NamedTuple):
    """How a country dials."""

    calling_code: str
    international_prefix: re.Pattern[str]
    national_prefix: str
    """Empty where there is none."""


def is_region(region: str) -> bool:
    """Whether region is the ISO 3166 code of a country with telephone numbers."""
    return region in phonenumbers.SUPPORTED_REGIONS


@lru_cache(maxsize=300)
def region_plan(region: str) -> RegionPlan:
    """How a country that is_region() knows dials."""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
    check(metadata is not None, "no number plan of {}", region)
    assert metadata is not None
    prefix = metadata.international_prefix or "(?!)"  # matches nothing
    return RegionPlan(str(metadata.country_code), re.compile(prefix), metadata.national_prefix or "")


def region_of(number: str) -> str:
    """The country of E.164 digits: its ISO 3166 code, or the calling code where that is no single country's.

    A number that no plan has assigned belongs to its calling code if several countries share that.
    """
    for length in (1, 2, 3):
        regions = _REGIONS.get(number[:length])
        if regions is not None:
            alone = regions[0] if len(regions) == 1 else _shared_region(number)
            return number[:length] if alone is None or alone == WORLD else alone
    return UNKNOWN_REGION


_REGIONS = {str(code): regions for code, regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.items()}


@lru_cache(maxsize=REMEMBERED)
def _shared_region(number: str) -> str | None:
    parsed = _parsed(number)
    return None if parsed is None else phonenumbers.region_code_for_number(parsed)


@lru_cache(maxsize=REMEMBERED)
def derived_kind(number: str, home: str, area_code: str) -> DestinationKind:
    """The class of E.164 digits for who is at home in a country (empty: nobody knows where).

    A number abroad is international, unless it is one that costs more than its country.
    """
    parsed = _parsed(number)
    if parsed is None:
        return DestinationKind.INTERNATIONAL
    if (kind := _OF_NO_COUNTRY.get(str(parsed.country_code))) is not None:
        return kind
    kind = _OF_TYPE.get(phonenumbers.number_type(parsed), DestinationKind.NATIONAL)
    if not home or region_of(number) != home:
        return kind if kind is DestinationKind.PREMIUM else DestinationKind.INTERNATIONAL
    own_area = area_code and number.startswith(region_plan(home).calling_code + area_code)
    return DestinationKind.LOCAL if own_area and kind is DestinationKind.NATIONAL else kind


@lru_cache(maxsize=REMEMBERED)
def from_national(digits: str, region: str, area_code: str) -> str | None:
    """E.164 digits of what was dialled within a country, with or without its national prefix.

    With an area code, digits without the national prefix are a local number where that makes one.
    """
    plan = region_plan(region)
    national = _national(digits, region)
    with_prefix = plan.national_prefix and digits.startswith(plan.national_prefix)
    if not area_code or with_prefix:
        return national
    local = f"{plan.calling_code}{area_code}{digits}"
    return national if national is not None and not _is_valid(local) and _is_valid(national) else local


def is_emergency_number(digits: str, region: str) -> bool:
    """Whether exactly these digits call for help in a country."""
    return len(digits) <= EMERGENCY_MAX_DIGITS and _is_emergency_number(digits, region)


@lru_cache(maxsize=300)
def emergency_numbers(region: str) -> frozenset[str]:
    """All numbers that is_emergency_number() knows of a country, which is_region() knows."""
    plan = phonenumbers.PhoneMetadata.short_metadata_for_region(region)
    if plan is None or plan.emergency is None or not plan.emergency.national_number_pattern:
        return frozenset()
    pattern = re.compile(plan.emergency.national_number_pattern)
    # Three digits nearly everywhere: a thousand candidates.
    candidates = (
        f"{number:0{length}}" for length in plan.emergency.possible_length for number in range(10**length)
    )
    return frozenset(digits for digits in candidates if pattern.fullmatch(digits))


def trunk_prefix(calling_code: str) -> str | None:
    """What is dialled before area codes within the country of a calling code; None: that is none.

    Empty where there is nothing of the kind, as in Italy, whose numbers begin with 0 from abroad too.
    """
    regions = _REGIONS.get(calling_code)
    return None if regions is None else "" if regions[0] == WORLD else region_plan(regions[0]).national_prefix


@lru_cache(maxsize=10_000)
def _is_emergency_number(digits: str, region: str) -> bool:
    return shortnumberinfo.is_emergency_number(digits, region)


def _national(digits: str, region: str) -> str | None:
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _parsed(number: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse("+" + number, None)
    except phonenumbers.NumberParseException:
        return None


def _is_valid(number: str) -> bool:
    parsed = _parsed(number)
    return parsed is not None and phonenumbers.is_valid_number(parsed)
