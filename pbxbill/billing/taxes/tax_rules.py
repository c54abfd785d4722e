"""Which taxes a line falls under: decided from the issuer's rates, who buys, what, and when.

In this order:

1. The rates in force at the moment, of the buyer's place and the product's class. Of rates of one name the
   one for the narrowest place counts, then the one for the class: 7 % for books stands in for 19 % for all.
2. Reverse charge (category AE), where it was set for the account, or by itself: a buyer with a valid VAT id
   of another member state of the EU owes the tax himself (Directive 2006/112/EC, articles 44 and 196; article
   226 (11a) wants the words on the invoice).
3. Export (category G) to a buyer outside the EU's VAT area by an issuer inside it: services are taxed where
   the buyer is (articles 44 and 59), unless the issuer has rates of that country, being registered there.
4. A private buyer in another member state is taxed by the rates of his country (article 58), or as at home
   where the issuer has none of it (below the threshold of article 59c).
5. Exemptions of the account (category E, with their reason: EN 16931 BR-E-10) take the place of the taxes
   that they name.

Where nothing would be owed either way (a small business, a class that is exempt), 2 and 3 change nothing, but
for a reverse charge that was set. Categories are those of UNCL 5305 that EN 16931 allows. A price with tax in
it stays what it is for a buyer who owes none. An account without an address is taxed as at home.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.identifiers import EU_VAT_AREA, eu_country_of_vat_id, vat_country
from pbxbill.billing.taxes.tax import PPM, AppliedTax, percent, shares
from pbxbill.store.billing_models import PartyRow, TaxRateRow

TAKEN_TAX = "Tax"
"""What a tariff's tax is called where the issuer has none of its rate; documents say it in their language."""
REVERSE_CHARGE_REASON = (
    "Reverse charge: VAT is to be accounted for by the recipient (Articles 44 and 196 of "
    "Directive 2006/112/EC)"
)
EXPORT_REASON = (
    "Not subject to VAT: supplied to a recipient outside the European Union (Articles 44 and 59 of "
    "Directive 2006/112/EC)"
)


class TaxTreatment(StrEnum):
    """How an account is taxed."""

    AUTOMATIC = "automatic"
    STANDARD = "standard"
    """By the rates of its place alone: neither reverse charge nor export."""
    REVERSE_CHARGE = "reverse_charge"
    """Whatever its place: for what a law at home puts on the recipient, as some do for resellers of calls."""


class Exemption(NamedTuple):
    """That an account does not owe a tax."""

    tax_name: str
    """Empty: any."""
    reason: str
    from_us: int = 0
    to_us: int | None = None


class TaxPlace(NamedTuple):
    """Where taxes are owed."""

    country: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class TaxBuyer:
    """What decides the taxes of an account."""

    country: str = ""
    region: str = ""
    vat_id: str = ""
    exemptions: tuple[Exemption, ...] = ()
    treatment: TaxTreatment = TaxTreatment.AUTOMATIC


class TaxRate(NamedTuple):
    """A rate of the issuer's."""

    name: str
    ppm: int
    category: str
    country: str
    region: str
    product_class: str
    from_us: int
    to_us: int | None
    compound: bool
    inclusive: bool
    reason: str

    def in_force(self, at_us: int) -> bool:
        """Whether it holds at a moment."""
        return self.from_us <= at_us and (self.to_us is None or at_us < self.to_us)

    def fits(self, place: TaxPlace, product_class: str) -> bool:
        """Whether it is for a place and a class, or for any."""
        return (
            self.country in ("", place.country, vat_country(place.country))
            and (not self.region or self.region.casefold() == place.region.casefold())
            and self.product_class in ("", product_class)
        )

    @property
    def narrowness(self) -> tuple[bool, bool, bool]:
        """Place before class."""
        return bool(self.country), bool(self.region), bool(self.product_class)

    @property
    def applied(self) -> AppliedTax:
        """As a line falls under it."""
        return AppliedTax(self.name, self.ppm, self.category, self.compound, self.inclusive, self.reason)


class TaxDecision(NamedTuple):
    """Taxes of a line, and why these."""

    taxes: tuple[AppliedTax, ...]
    why: str


@dataclass(frozen=True, slots=True)
class TaxTable:
    """All rates of an issuer, past and to come, and where he is."""

    seller: TaxPlace
    rates: tuple[TaxRate, ...]
    """In the order in which they are reckoned."""

    @staticmethod
    def load(session: Session, issuer_id: int) -> "TaxTable":
        """The rates of an issuer."""
        party = session.get(PartyRow, issuer_id)
        rows = session.scalars(
            select(TaxRateRow)
            .where(TaxRateRow.issuer_id == issuer_id)
            .order_by(TaxRateRow.position, TaxRateRow.compound, TaxRateRow.id)
        )
        place = TaxPlace() if party is None else TaxPlace(party.country, party.region)
        return TaxTable(place, tuple(rate_of(row) for row in rows))

    def applied(self, buyer: TaxBuyer, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        """The taxes of a line, in the order in which they are reckoned; none where none is owed."""
        return self.decide(buyer, product_class, at_us).taxes

    def decide(self, buyer: TaxBuyer, product_class: str, at_us: int) -> TaxDecision:
        """The taxes of a line, and why."""
        at_home = self._rates(self.seller, product_class, at_us)
        place = TaxPlace(buyer.country, buyer.region) if buyer.country else self.seller
        there = self._rates(place, product_class, at_us)
        if buyer.treatment is TaxTreatment.REVERSE_CHARGE:
            return self._unowed("AE", place, product_class, at_us, "reverse charge is set for the account")
        if buyer.treatment is TaxTreatment.AUTOMATIC and any(rate.ppm for rate in (*at_home, *there)):
            abroad = self._abroad(buyer, place, there)
            if abroad is not None:
                category, why = abroad
                if category:
                    return self._unowed(category, place, product_class, at_us, why)
                return _exempted(at_home, buyer, at_us, why)
        return _exempted(there, buyer, at_us, _why_there(buyer))

    def tax_taken(self, ppm: int, buyer: TaxBuyer, product_class: str, at_us: int) -> AppliedTax:
        """The tax of a tariff, which wallets paid call by call: named as the issuer's of that rate."""
        own = self.applied(buyer, product_class, at_us)
        alike = [tax for tax in own if tax.ppm == ppm]
        alike += [rate.applied for rate in self.rates if rate.ppm == ppm and rate.in_force(at_us)]
        if alike:
            return alike[0]._replace(compound=False, inclusive=True)
        return AppliedTax(TAKEN_TAX, ppm, "S" if ppm else "Z", compound=False, inclusive=True)

    def conflict(self, ppm: int | None, buyer: TaxBuyer, product_class: str, at_us: int) -> str:
        """How a tariff's own tax differs from what the buyer owes, in words; empty where it does not.

        ppm: None where only that there was some tax is known. An issuer without rates for a class leaves its
        taxes to the tariffs.
        """
        own, why = self.decide(buyer, product_class, at_us)
        if not own and not any(
            rate.ppm and rate.in_force(at_us) and rate.product_class in ("", product_class)
            for rate in self.rates
        ):
            return ""
        owed = sum(shares(own))
        if owed if ppm is None else owed == Fraction(ppm, PPM):
            return ""
        told = ", ".join(f"{tax.name} {percent(tax.ppm)} % ({tax.category})" for tax in own)
        return f"the issuer's rules say {told or 'no tax'}: {why}"

    def _rates(self, place: TaxPlace, product_class: str, at_us: int) -> tuple[TaxRate, ...]:
        """By name the narrowest; those of reverse charge and export are kept for their cases."""
        narrowest: dict[str, TaxRate] = {}
        for rate in self.rates:
            if not rate.in_force(at_us) or not rate.fits(place, product_class) or _is_kept(rate):
                continue
            best = narrowest.get(rate.name)
            if best is None or rate.narrowness > best.narrowness:
                narrowest[rate.name] = rate
        return tuple(rate for rate in self.rates if rate is narrowest.get(rate.name))

    def _abroad(self, buyer: TaxBuyer, place: TaxPlace, there: Sequence[TaxRate]) -> tuple[str, str] | None:
        """Category and why, where crossing a border decides; without a category: the rates at home."""
        home, other = vat_country(self.seller.country), vat_country(place.country)
        if home not in EU_VAT_AREA or other == home:
            return None
        registered = any(rate.country for rate in there)
        if other not in EU_VAT_AREA:
            return None if registered else ("G", f"{other} is outside the EU's VAT area")
        of_vat_id = eu_country_of_vat_id(buyer.vat_id)
        if of_vat_id is not None and of_vat_id != home:
            return "AE", f"the VAT id {buyer.vat_id} is of another member state"
        if not registered:
            return "", f"no VAT id of another member state, and no rate of {other}: taxed as at home"
        return None

    def _unowed(
        self, category: str, place: TaxPlace, product_class: str, at_us: int, why: str
    ) -> TaxDecision:
        """No tax, for a reason: in the issuer's own words, if he has a rate of the category."""
        for rate in self.rates:
            if rate.category == category and rate.in_force(at_us) and rate.fits(place, product_class):
                return TaxDecision((rate.applied,), why)
        at_home = self._rates(self.seller, product_class, at_us)
        name = at_home[0].name if at_home else "VAT"
        reason = REVERSE_CHARGE_REASON if category == "AE" else EXPORT_REASON
        return TaxDecision((AppliedTax(name, 0, category, False, False, reason),), why)


def rate_of(row: TaxRateRow) -> TaxRate:
    """A rate as it is kept."""
    return TaxRate(
        row.name,
        row.ppm,
        row.category,
        row.country,
        row.region,
        row.product_class,
        row.from_us,
        row.to_us,
        row.compound,
        row.inclusive,
        row.reason,
    )


def _why_there(buyer: TaxBuyer) -> str:
    if not buyer.country:
        return "the account has no country: taxed as at home"
    region = f", {buyer.region}" if buyer.region else ""
    return f"rates of {buyer.country}{region}"


def _is_kept(rate: TaxRate) -> bool:
    return rate.category == "AE" or (rate.category == "G" and not rate.country)


def _exempted(rates: Sequence[TaxRate], buyer: TaxBuyer, at_us: int, why: str) -> TaxDecision:
    """Each tax that is owed, or that the account is exempt from it; exempt from all is said once."""
    held = [x for x in buyer.exemptions if x.from_us <= at_us and (x.to_us is None or at_us < x.to_us)]
    of_all = next((x for x in held if not x.tax_name), None)
    if of_all is not None and any(rate.ppm for rate in rates):
        return TaxDecision((_exempt(rates[0].name, of_all),), f"exempt: {of_all.reason}")
    by_name = {x.tax_name: x for x in held}
    taxes = []
    for rate in rates:
        exemption = by_name.get(rate.name) if rate.ppm else None
        if exemption is None:
            taxes.append(rate.applied)
        else:
            taxes.append(_exempt(rate.name, exemption))
            why += f"; exempt from {rate.name}: {exemption.reason}"
    return TaxDecision(tuple(taxes), why if taxes else f"no rate applies ({why})")


def _exempt(name: str, exemption: Exemption) -> AppliedTax:
    return AppliedTax(name, 0, "E", compound=False, inclusive=False, reason=exemption.reason)
