"""Brands: how panel and portal look to those whom somebody sells to; with colours that can be read.

A brand's colour stands under white text and as text on white: one that is too light is refused with how dark
it must be. What stands on dark grounds is reckoned from it.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import checked_email
from pbxbill.billing.render.logo import checked_logo
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import BrandRow
from pbxbill.store.models import AccountRow

MAX_NAME, MAX_FOOTER, MAX_PHONE, MAX_URL = 80, 300, 40, 300
CONTRAST = Decimal("4.8")
"""Against white: then it is 4.5 against our lightest grey as well, which WCAG asks of text."""
CONTRAST_DARK = Decimal(7)
WHITE, DARK_SURFACE = (255, 255, 255), (26, 31, 36)
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_HOST = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PHONE = re.compile(r"[+0-9 ()/.-]{0,40}")
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class BrandTerms:
    """What somebody wants."""

    name: str = ""
    host: str = ""
    colour: str = ""
    footer: str = ""
    support_email: str = ""
    support_phone: str = ""
    support_url: str = ""


class FieldRefused(InputRefused):
    """One of the terms cannot be used; field names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Shades:
    """A brand's colour as the pages need it: as text or ground, stronger, and soft behind text."""

    accent: str
    strong: str
    soft: str
    on_accent: str


def brand_of(session: Session, account_id: int) -> BrandRow | None:
    """An account's brand; None: it has said nothing."""
    return session.get(BrandRow, account_id)


def brand_of_host(session: Session, host: str) -> BrandRow | None:
    """Whose brand a browser asks for by a host's name; None: nobody's in particular."""
    name = name_of_host(host)
    return session.scalar(select(BrandRow).where(BrandRow.host == name[:253])) if name else None


def name_of_host(host: str) -> str:
    """What a browser calls a host, without its port."""
    return host.lower().rpartition("]")[2].partition(":")[0].rstrip(".")


def set_brand(session: Session, account: AccountRow, terms: BrandTerms, *, ours: str = "") -> BrandRow:
    """Change how an account's panel and portal look; FieldRefused names what cannot be used.

    ours: the name by which everybody reaches the installation, which is no seller's own.
    """
    if account.kind == "customer":
        raise InputRefused("a customer sells to nobody, and has no brand")
    row = _row(session, account.id)
    row.name = _text("name", terms.name, MAX_NAME)
    row.footer = _text("footer", terms.footer, MAX_FOOTER)
    row.host = _host(session, account.id, terms.host, ours)
    row.colour = checked_colour(terms.colour)
    row.support_phone = _text("support_phone", terms.support_phone, MAX_PHONE)
    if _PHONE.fullmatch(row.support_phone) is None:
        raise FieldRefused("support_phone", "a telephone number has digits, spaces and +()/.-")
    row.support_url = _url(terms.support_url)
    try:
        row.support_email = checked_email(terms.support_email)
    except InputRefused as error:
        raise FieldRefused("support_email", str(error)) from None
    row.version += 1
    session.flush()
    return row


def set_logo(session: Session, account_id: int, content: bytes | None) -> BrandRow:
    """Give a brand a logo, checked by its content; None: none any more."""
    logo = None if content is None else checked_logo(content)
    row = _row(session, account_id)
    row.logo, row.logo_type = (None, "") if logo is None else (logo.content, logo.media_type)
    row.version += 1
    session.flush()
    return row


def checked_colour(text: str) -> str:
    """A colour that text can have on white; empty stays empty."""
    colour = text.strip().lower()
    if not colour:
        return ""
    if _COLOUR.fullmatch(colour) is None:
        raise FieldRefused("colour", f"{text[:20]!r} is no colour; write it as #1d5fa8")
    parts = _parts(colour)
    if contrast(parts, WHITE) < CONTRAST:
        darker = _hex(_until(parts, (0, 0, 0), WHITE, CONTRAST))
        raise FieldRefused("colour", f"{colour} is too light to be read on white; a darker one is {darker}")
    return colour


def shades(colour: str, *, dark: bool) -> Shades:
    """The colours of a light or a dark page."""
    parts = _parts(colour)
    if not dark:
        return Shades(colour, _hex(_mixed(parts, (0, 0, 0), 20)), _hex(_mixed(WHITE, parts, 10)), "#ffffff")
    accent = _until(parts, WHITE, DARK_SURFACE, CONTRAST_DARK)
    strong, soft = _mixed(accent, WHITE, 35), _mixed(DARK_SURFACE, parts, 25)
    return Shades(_hex(accent), _hex(strong), _hex(soft), "#0c1722")


def contrast(one: Colour, other: Colour) -> Decimal:
    """How well one can be read on the other, as WCAG reckons it: 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + Decimal("0.05")) / (dark + Decimal("0.05"))


def _until(parts: Colour, towards: Colour, ground: Colour, least: Decimal) -> Colour:
    """The nearest to a colour, on its way to another, that can be read on a ground."""
    for percent in range(0, 101, 2):
        tried = _mixed(parts, towards, percent)
        if contrast(tried, ground) >= least:
            return tried
    return towards


def _luminance(colour: Colour) -> Decimal:
    linear = []
    for part in colour:
        value = Decimal(part) / 255
        small = value <= Decimal("0.04045")
        linear.append(
            value / Decimal("12.92")
            if small
            else ((value + Decimal("0.055")) / Decimal("1.055")) ** Decimal("2.4")
        )
    red, green, blue = linear
    return Decimal("0.2126") * red + Decimal("0.7152") * green + Decimal("0.0722") * blue


def _mixed(one: Colour, other: Colour, percent: int) -> Colour:
    red, green, blue = ((x * (100 - percent) + y * percent) // 100 for x, y in zip(one, other, strict=True))
    return red, green, blue


def _parts(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _hex(colour: Colour) -> str:
    return "#" + "".join(f"{x:02x}" for x in colour)


def _row(session: Session, account_id: int) -> BrandRow:
    row = session.get(BrandRow, account_id)
    if row is None:
        row = BrandRow(account_id=account_id, version=0, logo_type="")
        session.add(row)
    return row


def _text(field: str, text: str, longest: int) -> str:
    text = " ".join(text.split())
    if not text.isprintable() or len(text) > longest:
        raise FieldRefused(field, f"up to {longest} printable characters")
    return text


def _url(text: str) -> str:
    url = text.strip()
    if url and not (url.startswith(("https://", "http://")) and len(url) <= MAX_URL and url.isprintable()):
        raise FieldRefused(
            "support_url", f"an address begins with https:// and has up to {MAX_URL} characters"
        )
    if any(x in url for x in " \"'<>\\"):
        raise FieldRefused("support_url", "an address has no spaces or quotes")
    return url


def _host(session: Session, account_id: int, text: str, ours: str) -> str | None:
    host = text.strip().lower().rstrip(".")
    if not host:
        return None
    if _HOST.fullmatch(host) is None:
        raise FieldRefused("host", f"{text[:60]!r} is no host name; one is portal.example.com")
    taken = session.scalar(
        select(BrandRow.account_id).where(BrandRow.host == host, BrandRow.account_id != account_id)
    )
    if taken is not None or host == ours:
        raise FieldRefused("host", f"{host} is taken already")
    return host
