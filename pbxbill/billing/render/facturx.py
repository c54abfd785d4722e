"""A document as the XML of EN 16931 (Cross Industry Invoice, profile EN 16931 of Factur-X and ZUGFeRD).

Terms BT-n and BG-n are the standard's. What cannot be said truly in it is not said: the outcome is NoXml, and
the PDF goes without.
"""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pbxbill.billing.charge import QUANTITY_SCALE
from pbxbill.billing.invoices.document import Document, DocumentLine, PartyBlock
from pbxbill.billing.render.texts import built_in_texts
from pbxbill.errors import check
from pbxbill.money import to_decimal

if TYPE_CHECKING:
    from lxml.etree import _Element

PROFILE = "urn:cen.eu:en16931:2017"
TYPE_CODES = {"invoice": "380", "credit_note": "381", "debit_note": "383"}
_MEASURES = {
    "seconds": "SEC", "minutes": "MIN", "hours": "HUR", "days": "DAY", "weeks": "WEE", "months": "MON",
    "years": "ANN", "bytes": "AD",
}  # fmt: skip
_ONE = "C62"
_SEPA = "58"
_CREDIT_TRANSFER = "30"
_PPM_SCALE = 4
_MOST_DIGITS = 2
"""EN 16931 knows no amounts with more digits after the point."""
_EXEMPT = {"AE": "VATEX-EU-AE", "E": "", "G": "VATEX-EU-G", "K": "VATEX-EU-IC", "O": "VATEX-EU-O"}
"""Categories that owe no tax and say why, with the codes of their reasons."""
_NS = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
}


@dataclass(frozen=True, slots=True)
class NoXml:
    """Why a document has no structured form."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Breakdown:
    """BG-23: the lines of one category and rate."""

    category: str
    ppm: int
    base: int
    tax: int
    reason: str


def facturx_xml(document: Document) -> bytes | NoXml:
    """The XML, valid against the schema of the profile."""
    obstacle = _obstacle(document)
    if obstacle is not None:
        return NoXml(obstacle)
    breakdowns = _breakdowns(document)
    if isinstance(breakdowns, NoXml):
        return breakdowns
    missing = _missing_for(document, breakdowns)
    if missing is not None:
        return NoXml(missing)
    return _Writer(document, breakdowns).written()


def _obstacle(document: Document) -> str | None:
    unit = document.unit
    if document.kind not in TYPE_CODES:
        return "only invoices, credit notes and debit notes have one"
    if document.draft or not document.number:
        return "a draft has none"
    if len(unit.code) != 3 or not unit.code.isalpha() or not unit.code.isupper():
        return f"{unit.code} is no currency of ISO 4217"
    if unit.digits > _MOST_DIGITS:
        return f"EN 16931 has no amounts with {unit.digits} digits after the point, as {unit.code} has"
    for name, party in (("seller", document.seller), ("buyer", document.buyer)):
        if not party.name or not party.country:
            return f"the {name} has no {'country' if party.name else 'name'}: set it in its party data"
    if not document.lines:
        return "there are no lines"
    if any(len(line.tax_names) > 1 for line in document.lines):
        return "a line falls under two taxes, which EN 16931 has no place for"
    return None


def _category(line: DocumentLine, document: Document) -> str:
    """A line without any tax: out of VAT's scope where the seller has no VAT id, else taxed at zero."""
    if line.tax_names and line.category:
        return line.category
    return "Z" if document.seller.vat_id or line.category == "Z" else "O"


def _breakdowns(document: Document) -> tuple[_Breakdown, ...] | NoXml:
    bases: dict[tuple[str, int], int] = {}
    for line in document.lines:
        key = (_category(line, document), line.ppm if line.tax_names else 0)
        bases[key] = bases.get(key, 0) + line.net
    taxes: dict[tuple[str, int], int] = {}
    reasons: dict[tuple[str, int], str] = {}
    for tax in document.taxes:
        key = (tax.category, tax.ppm)
        taxes[key] = taxes.get(key, 0) + tax.tax
        reasons.setdefault(key, tax.reason)
    if not {key for key, tax in taxes.items() if tax} <= set(bases):
        return NoXml("a tax is not that of any line")
    if sum(bases.values()) != document.net or sum(taxes.values()) != document.tax:
        return NoXml("its lines and taxes do not add up to its totals")
    texts = built_in_texts(document.language)
    made = []
    for key, base in bases.items():
        category, ppm = key
        reason = reasons.get(key) or texts.get(f"exempt_{category.lower()}", "")
        made.append(_Breakdown(category, ppm, base, taxes.get(key, 0), reason if category in _EXEMPT else ""))
    return tuple(made)


def _missing_for(document: Document, breakdowns: tuple[_Breakdown, ...]) -> str | None:
    """What the rules of the categories want of the parties (BR-S-02, BR-AE-02, BR-O-02 ...)."""
    seller, buyer = document.seller, document.buyer
    for part in breakdowns:
        if part.category != "O" and not (seller.vat_id or seller.registration_id):
            return "the seller has no VAT or tax number: set it in its party data"
        if part.category in ("AE", "G", "K") and not seller.vat_id:
            return "the seller has no VAT id, which this tax category needs: set it in its party data"
        if part.category in ("AE", "K") and not (
            buyer.vat_id or (part.category == "AE" and buyer.registration_id)
        ):
            return "the buyer has no VAT id, which reverse charge needs: set it in its party data"
        if part.category == "O" and (len(breakdowns) > 1 or seller.vat_id or buyer.vat_id):
            return "what is not subject to VAT cannot be mixed with what is, nor be between VAT ids"
    return None


class _Writer:
    """The XML, element by element in the schema's order."""

    def __init__(self, document: Document, breakdowns: tuple[_Breakdown, ...]) -> None:
        from lxml import etree

        self._etree = etree
        self._document = document
        self._breakdowns = breakdowns
        self._root = etree.Element(f"{{{_NS['rsm']}}}CrossIndustryInvoice", nsmap=_NS)

    def written(self) -> bytes:
        self._head()
        trade = self._under(self._root, "rsm:SupplyChainTradeTransaction")
        for number, line in enumerate(self._document.lines, start=1):
            self._line(trade, number, line)
        self._agreement(self._under(trade, "ram:ApplicableHeaderTradeAgreement"))
        self._delivery(self._under(trade, "ram:ApplicableHeaderTradeDelivery"))
        self._settlement(self._under(trade, "ram:ApplicableHeaderTradeSettlement"))
        schema = _schema()
        valid = schema.validate(self._root)
        check(valid, "the structured invoice breaks its schema: {}", schema.error_log.last_error)
        made: bytes = self._etree.tostring(
            self._root, encoding="UTF-8", xml_declaration=True, pretty_print=True
        )
        return made

    def _under(self, parent: "_Element", path: str, text: str | None = None, **attributes: str) -> "_Element":
        """The element at the path's end, all of it made anew."""
        for name in path.split("/"):
            prefix, _, local = name.partition(":")
            parent = self._etree.SubElement(parent, f"{{{_NS[prefix]}}}{local}")
        for name, value in attributes.items():
            parent.set(name, value)
        if text is not None:
            # Control characters, which a caller may have sent, are not allowed in XML.
            parent.text = "".join(c for c in text if c.isprintable() or c in "\n\t")
        return parent

    def _given(self, parent: "_Element", path: str, text: str, **attributes: str) -> None:
        if text:
            self._under(parent, path, text, **attributes)

    def _day(self, parent: "_Element", path: str, day: date | None, kind: str = "udt") -> None:
        if day is not None:
            self._under(parent, f"{path}/{kind}:DateTimeString", day.strftime("%Y%m%d"), format="102")

    def _amount(self, amount: int) -> str:
        unit = self._document.unit
        exact = to_decimal(amount, unit.scale)
        return str(exact.quantize(Decimal(1).scaleb(-unit.digits), ROUND_HALF_UP))

    def _head(self) -> None:
        document = self._document
        self._under(
            self._root,
            "rsm:ExchangedDocumentContext/ram:GuidelineSpecifiedDocumentContextParameter/ram:ID",
            PROFILE,
        )
        head = self._under(self._root, "rsm:ExchangedDocument")
        self._under(head, "ram:ID", document.number)
        self._under(head, "ram:TypeCode", TYPE_CODES[document.kind])
        self._day(head, "ram:IssueDateTime", document.issued_on)
        self._given(head, "ram:IncludedNote/ram:Content", document.note)

    def _line(self, trade: "_Element", number: int, line: DocumentLine) -> None:
        item = self._under(trade, "ram:IncludedSupplyChainTradeLineItem")
        self._under(item, "ram:AssociatedDocumentLineDocument/ram:LineID", str(number))
        product = self._under(item, "ram:SpecifiedTradeProduct")
        self._under(product, "ram:Name", line.description or line.kind)
        self._given(product, "ram:Description", line.detail)
        price, quantity, measure = self._priced(line)
        agreed = "ram:SpecifiedLineTradeAgreement/ram:NetPriceProductTradePrice/ram:ChargeAmount"
        self._under(item, agreed, f"{price:f}")
        delivered = "ram:SpecifiedLineTradeDelivery/ram:BilledQuantity"
        self._under(item, delivered, f"{quantity:f}", unitCode=measure)
        settlement = self._under(item, "ram:SpecifiedLineTradeSettlement")
        tax = self._under(settlement, "ram:ApplicableTradeTax")
        self._under(tax, "ram:TypeCode", "VAT")
        category = _category(line, self._document)
        self._under(tax, "ram:CategoryCode", category)
        self._rate(tax, category, line.ppm if line.tax_names else 0)
        self._period(settlement, line.from_date, line.to_date)
        summed = "ram:SpecifiedTradeSettlementLineMonetarySummation/ram:LineTotalAmount"
        self._under(settlement, summed, self._amount(line.net))

    def _priced(self, line: DocumentLine) -> tuple[Decimal, Decimal, str]:
        """BT-146, BT-129: price times quantity is the line's amount, and no price is below zero (BR-27)."""
        unit = self._document.unit
        net = to_decimal(line.net, unit.scale)
        quantity = to_decimal(line.quantity, QUANTITY_SCALE)
        if line.unit_price is not None:
            price = to_decimal(line.unit_price, unit.scale)
            minor = Decimal(1).scaleb(-unit.digits)
            if price < 0:
                price, quantity = -price, -quantity
            if (price * quantity).quantize(minor, ROUND_HALF_UP) == net.quantize(minor):
                return price.normalize(), quantity.normalize(), _MEASURES.get(line.measure, _ONE)
        # Pro-rated, or of many prices: one of it costs what it costs.
        return abs(net).normalize(), Decimal(-1 if net < 0 else 1), _ONE

    def _rate(self, tax: "_Element", category: str, ppm: int) -> None:
        if category != "O":  # BR-O-05
            percent = f"{to_decimal(ppm, _PPM_SCALE).normalize():f}"
            self._under(tax, "ram:RateApplicablePercent", percent)

    def _period(self, parent: "_Element", first: date | None, last: date | None) -> None:
        if first is None and last is None:
            return
        period = self._under(parent, "ram:BillingSpecifiedPeriod")
        self._day(period, "ram:StartDateTime", first)
        self._day(period, "ram:EndDateTime", last)

    def _agreement(self, agreement: "_Element") -> None:
        document = self._document
        self._given(agreement, "ram:BuyerReference", document.purchase_order)
        self._party(self._under(agreement, "ram:SellerTradeParty"), document.seller, is_seller=True)
        self._party(self._under(agreement, "ram:BuyerTradeParty"), document.buyer, is_seller=False)
        order = "ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID"
        self._given(agreement, order, document.purchase_order)

    def _party(self, element: "_Element", party: PartyBlock, *, is_seller: bool) -> None:
        if not is_seller:
            self._given(element, "ram:ID", party.code)
        self._under(element, "ram:Name", party.name)
        self._given(element, "ram:SpecifiedLegalOrganization/ram:ID", party.registration_id)
        if party.contact or party.phone or party.email:
            contact = self._under(element, "ram:DefinedTradeContact")
            self._given(contact, "ram:PersonName", party.contact)
            self._given(contact, "ram:TelephoneUniversalCommunication/ram:CompleteNumber", party.phone)
            self._given(contact, "ram:EmailURIUniversalCommunication/ram:URIID", party.email)
        address = self._under(element, "ram:PostalTradeAddress")
        self._given(address, "ram:PostcodeCode", party.postal_code)
        self._given(address, "ram:LineOne", party.street)
        self._given(address, "ram:LineTwo", party.extra)
        self._given(address, "ram:CityName", party.city)
        self._under(address, "ram:CountryID", party.country.upper())
        self._given(address, "ram:CountrySubDivisionName", party.region)
        self._given(element, "ram:URIUniversalCommunication/ram:URIID", party.email, schemeID="EM")
        if party.vat_id:
            self._under(element, "ram:SpecifiedTaxRegistration/ram:ID", party.vat_id, schemeID="VA")
        elif is_seller and party.registration_id and self._breakdowns[0].category != "O":
            self._under(element, "ram:SpecifiedTaxRegistration/ram:ID", party.registration_id, schemeID="FC")

    def _delivery(self, delivery: "_Element") -> None:
        if any(part.category == "K" for part in self._breakdowns):  # BR-IC-12
            address = "ram:ShipToTradeParty/ram:PostalTradeAddress/ram:CountryID"
            self._under(delivery, address, self._document.buyer.country.upper())
        day = self._document.to_date or self._document.issued_on
        self._day(delivery, "ram:ActualDeliverySupplyChainEvent/ram:OccurrenceDateTime", day)

    def _settlement(self, settlement: "_Element") -> None:
        document = self._document
        self._under(settlement, "ram:PaymentReference", document.number)
        self._under(settlement, "ram:InvoiceCurrencyCode", document.unit.code)
        self._means(settlement)
        for part in self._breakdowns:
            self._tax(settlement, part)
        self._period(settlement, document.from_date, document.to_date)
        if document.payment_terms or document.due_on:
            terms = self._under(settlement, "ram:SpecifiedTradePaymentTerms")
            self._given(terms, "ram:Description", document.payment_terms)
            self._day(terms, "ram:DueDateDateTime", document.due_on)
        elif document.due > 0:  # BR-CO-25 wants terms or a date
            at_once = built_in_texts(document.language)["due_at_once"]
            self._under(settlement, "ram:SpecifiedTradePaymentTerms/ram:Description", at_once)
        sums = self._under(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation")
        self._under(sums, "ram:LineTotalAmount", self._amount(document.net))
        self._under(sums, "ram:TaxBasisTotalAmount", self._amount(document.net))
        self._under(sums, "ram:TaxTotalAmount", self._amount(document.tax), currencyID=document.unit.code)
        self._under(sums, "ram:GrandTotalAmount", self._amount(document.total))
        if document.total != document.due:
            self._under(sums, "ram:TotalPrepaidAmount", self._amount(document.total - document.due))
        self._under(sums, "ram:DuePayableAmount", self._amount(document.due))
        if document.corrects:
            corrected = self._under(settlement, "ram:InvoiceReferencedDocument")
            self._under(corrected, "ram:IssuerAssignedID", document.corrects)
            self._day(corrected, "ram:FormattedIssueDateTime", document.corrects_on, "qdt")

    def _means(self, settlement: "_Element") -> None:
        seller = self._document.seller
        if not seller.iban or self._document.kind == "credit_note":
            return
        means = self._under(settlement, "ram:SpecifiedTradeSettlementPaymentMeans")
        self._under(means, "ram:TypeCode", _SEPA if self._document.unit.code == "EUR" else _CREDIT_TRANSFER)
        account = self._under(means, "ram:PayeePartyCreditorFinancialAccount")
        self._under(account, "ram:IBANID", seller.iban.replace(" ", ""))
        self._under(account, "ram:AccountName", seller.name)
        self._given(means, "ram:PayeeSpecifiedCreditorFinancialInstitution/ram:BICID", seller.bic)

    def _tax(self, settlement: "_Element", part: _Breakdown) -> None:
        tax = self._under(settlement, "ram:ApplicableTradeTax")
        self._under(tax, "ram:CalculatedAmount", self._amount(part.tax))
        self._under(tax, "ram:TypeCode", "VAT")
        self._given(tax, "ram:ExemptionReason", part.reason)
        self._under(tax, "ram:BasisAmount", self._amount(part.base))
        self._under(tax, "ram:CategoryCode", part.category)
        self._given(tax, "ram:ExemptionReasonCode", _EXEMPT.get(part.category, ""))
        self._rate(tax, part.category, part.ppm)


@cache
def _schema() -> Any:
    """The profile's schema, as the keeper of the format ships it."""
    import facturx
    from facturx.facturx import FACTURX_LEVEL2xsd
    from lxml import etree

    folder = Path(facturx.__file__).parent / "xsd_and_schematron"
    return etree.XMLSchema(file=str(folder / FACTURX_LEVEL2xsd["en16931"]))
