"""What a draft goes by: who is billed by whom, in which unit and zone, under which taxes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.invoices.usage_class import Known
from pbxbill.billing.period import Period
from pbxbill.billing.taxes.tax import AppliedTax
from pbxbill.billing.taxes.tax_rules import Exemption, TaxBuyer, TaxTable, TaxTreatment
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.billing_models import TaxExemptionRow
from pbxbill.store.driver import rows_within

if TYPE_CHECKING:
    from pbxbill.billing.invoices.preparing import Prepared

_BILLED = (
    "SELECT a.id, a.parent_id, a.code, u.code, u.scale, u.digits, "
    "COALESCE(s.zone, 'UTC'), COALESCE(s.tax_rounding, 'invoice'), "
    "COALESCE(b.payment_days, s.payment_days, 14), COALESCE(b.minimum_total, 0), "
    "COALESCE(b.purchase_order, ''), COALESCE(p.country, ''), COALESCE(p.region, ''), "
    "COALESCE(p.vat_id, ''), COALESCE(b.tax_treatment, 'automatic'), "
    "(SELECT COUNT(*) FROM tax_exemptions x WHERE x.account_id = a.id) "
    "FROM accounts a JOIN units u ON u.code = :unit LEFT JOIN issuers s ON s.account_id = a.parent_id "
    "LEFT JOIN billing_profiles b ON b.account_id = a.id LEFT JOIN parties p ON p.account_id = a.id "
    "WHERE a.id = :account_id"
)


class Billed(NamedTuple):
    """An account as it is billed in a unit."""

    account_id: int
    issuer_id: int
    code: str
    unit: Unit
    zone: str
    """The issuer's: of dates on documents."""
    tax_rounding: TaxRounding
    payment_days: int
    minimum_total: int
    purchase_order: str
    buyer: TaxBuyer


class BuyerTaxes:
    """The taxes of one buyer's lines; asked for the same often, so remembered."""

    def __init__(self, table: TaxTable, buyer: TaxBuyer) -> None:
        moments = {x for rate in table.rates for x in (rate.from_us, rate.to_us) if x is not None}
        moments |= {x for held in buyer.exemptions for x in (held.from_us, held.to_us) if x is not None}
        self.changes = tuple(sorted(moments))
        """When other taxes begin to apply."""
        self._table = table
        self._buyer = buyer
        self._known: dict[tuple[str, int], tuple[AppliedTax, ...]] = {}

    def at(self, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        """The taxes of a class of products at a moment."""
        key = (product_class, at_us)
        taxes = self._known.get(key)
        if taxes is None:
            taxes = self._known[key] = self._table.applied(self._buyer, product_class, at_us)
        return taxes

    def taken(self, ppm: int, product_class: str, at_us: int) -> tuple[AppliedTax, ...]:
        """The tax that the wallet paid with its charges."""
        return (self._table.tax_taken(ppm, self._buyer, product_class, at_us),)

    def conflict(self, ppm: int | None, product_class: str, at_us: int) -> str:
        """How that tax differs from what the buyer owes; empty where it does not."""
        return self._table.conflict(ppm, self._buyer, product_class, at_us)


@dataclass(slots=True)
class RunMemory:
    """What drafts of one run read once, and together: give the same one to each."""

    known: Known = field(default_factory=Known)
    tax_tables: dict[int, TaxTable] = field(default_factory=dict)
    prepared: dict[tuple[int, str, Period], "Prepared"] = field(default_factory=dict)
    """What was reckoned ahead, by account, unit and period."""

    def taxes_of(self, session: Session, billed: Billed) -> BuyerTaxes:
        """The taxes of an account's lines."""
        table = self.tax_tables.get(billed.issuer_id)
        if table is None:
            table = self.tax_tables[billed.issuer_id] = TaxTable.load(session, billed.issuer_id)
        return BuyerTaxes(table, billed.buyer)


def billed_account(session: Session, account_id: int, unit: str) -> Billed:
    """How an account is billed in a unit; InputRefused if there is neither, or nobody above to bill it."""
    rows = rows_within(session, _BILLED, {"account_id": account_id, "unit": unit})
    if not rows:
        raise InputRefused(f"there is no account {account_id}, or no unit {unit[:20]!r}")
    (row,) = rows
    id, issuer_id, code, *of_unit, zone, rounding = row[:8]
    payment_days, minimum_total, purchase_order = row[8:11]
    country, region, vat_id, treatment, exempt = row[11:]
    if issuer_id is None:
        raise InputRefused("the operator is billed by nobody")
    exemptions = _exemptions(session, account_id) if exempt else ()
    buyer = TaxBuyer(country, region, vat_id, exemptions, TaxTreatment(treatment))
    return Billed(
        id,
        issuer_id,
        code,
        Unit(*of_unit),
        zone,
        TaxRounding(rounding),
        payment_days,
        minimum_total,
        purchase_order,
        buyer,
    )


def _exemptions(session: Session, account_id: int) -> tuple[Exemption, ...]:
    rows = session.scalars(
        select(TaxExemptionRow).where(TaxExemptionRow.account_id == account_id).order_by(TaxExemptionRow.id)
    )
    return tuple(Exemption(row.tax_name, row.reason, row.from_us, row.to_us) for row in rows)


def is_currency(unit: Unit) -> bool:
    """Whether invoices can be made out in a unit."""
    return (
        len(unit.code) == 3 and unit.code.isalpha() and unit.digits in {0, 2, 3} and unit.scale >= unit.digits
    )
