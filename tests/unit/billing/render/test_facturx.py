"""The structured invoice: valid by its schema, by the sums of EN 16931, and by its keeper's own rules."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import facturx
import pytest
from lxml import etree

from pbxbill.billing.invoices.document import Document, DocumentLine, DocumentTax
from pbxbill.billing.render.facturx import NoXml, facturx_xml
from pbxbill.billing.render.sample import sample_document
from pbxbill.money import Unit

NS = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}
EURO = 1_000_000
INVOICE = sample_document()


def line(
    number: int, net_cents: int, ppm: int = 190_000, category: str = "S", name: str = "VAT"
) -> DocumentLine:
    """An item that costs what its line does."""
    net = net_cents * 10_000
    names = (name,) if name else ()
    return DocumentLine(number, "one_time", f"Item {number}", EURO, "items", net, net, names, category, ppm)


def invoice(lines: tuple[DocumentLine, ...], taxes: tuple[DocumentTax, ...], **changes: object) -> Document:
    net = sum(x.net for x in lines)
    tax = sum(x.tax for x in taxes)
    made = replace(
        INVOICE, lines=lines, taxes=taxes, net=net, tax=tax, total=net + tax, from_wallet=0, due=net + tax
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # its fields


def tax(
    base_cents: int, tax_cents: int, ppm: int = 190_000, category: str = "S", reason: str = ""
) -> DocumentTax:
    return DocumentTax("VAT", ppm, category, base_cents * 10_000, tax_cents * 10_000, reason)


TWO_RATES = invoice(
    # 10.01 + 0.02 = 10.03 at 19 %: 1.9057; 5.55 at 7 %: 0.3885
    (line(1, 1001), line(2, 555, 70_000), line(3, 2)),
    (tax(1003, 191), tax(555, 39, 70_000)),
)
REVERSE_CHARGE = invoice(
    (line(1, 10_000, 0, "AE"),),
    (tax(10_000, 0, 0, "AE", "Reverse charge, article 196"),),
    buyer=replace(INVOICE.buyer, vat_id="FR40303265045"),
)
WITHIN_EU = invoice(
    (line(1, 10_000, 0, "K"),),
    (tax(10_000, 0, 0, "K"),),
    buyer=replace(INVOICE.buyer, vat_id="FR40303265045"),
)
EXEMPT = invoice((line(1, 10_000, 0, "E"),), (tax(10_000, 0, 0, "E", "Exempt: article 132 (1) (i)"),))
UNTAXED = invoice((line(1, 10_000, 0, "O", ""),), (), seller=replace(INVOICE.seller, vat_id=""))
UNTAXED_BY_TAXED = invoice((line(1, 10_000, 0, "O", ""),), ())
GIVEN_BACK = invoice(
    (line(1, 10_000), replace(line(2, -2_500), unit_price=-25 * EURO)), (tax(7_500, 1_425),),
    from_wallet=50 * EURO, due=(7_500 + 1_425) * 10_000 - 50 * EURO,
)  # fmt: skip
PRORATED = invoice((replace(line(1, 3161), unit_price=49 * EURO, detail="20 of 31 days"),), (tax(3161, 601),))
IN_DOLLARS = invoice((line(1, 10_000),), (tax(10_000, 1_900),), unit=Unit("USD"))
IN_YEN = replace(
    invoice((line(1, 100),), (tax(100, 19),)),
    unit=Unit("JPY", 0, 0),
    lines=(replace(line(1, 0), net=12_345, unit_price=12_345),),
    taxes=(DocumentTax("VAT", 100_000, "S", 12_345, 1_235),),
    net=12_345, tax=1_235, total=13_580, due=13_580,
)  # fmt: skip
IN_YEN = replace(IN_YEN, lines=(replace(IN_YEN.lines[0], ppm=100_000),))
PENNY_TAXED_BY_LINE = invoice(
    tuple(line(n, 10) for n in range(1, 8)), (tax(70, 14),)
)  # 7 x 1.9 cents, each 2
STRANGE_TEXTS = replace(
    INVOICE,
    buyer=replace(
        INVOICE.buyer, name="A & B <GmbH>\x07", region="Alsace", extra="2e étage", email="", contact=""
    ),
    note="Thank you\x00 & good bye\nsee you",
)

VALID = {
    "invoice": INVOICE,
    "long invoice": sample_document("long-invoice"),
    "paid from the wallet": sample_document("paid-invoice"),
    "credit note": sample_document("credit_note"),
    "debit note": sample_document("debit_note"),
    "two rates": TWO_RATES,
    "reverse charge": REVERSE_CHARGE,
    "within the EU": WITHIN_EU,
    "exempt": EXEMPT,
    "untaxed": UNTAXED,
    "untaxed, by who has a VAT id": UNTAXED_BY_TAXED,
    "something given back": GIVEN_BACK,
    "prorated": PRORATED,
    "dollars": IN_DOLLARS,
    "yen": IN_YEN,
    "taxed by line": PENNY_TAXED_BY_LINE,
    "strange texts": STRANGE_TEXTS,
    "no due date": replace(INVOICE, due_on=None),
    "by a seller without bank": replace(
        INVOICE, seller=replace(INVOICE.seller, iban="", bic="", bank_name="")
    ),
    "by a seller with a tax number": replace(INVOICE, seller=replace(INVOICE.seller, vat_id="")),
    "of one day": replace(INVOICE, from_date=date(2026, 1, 1), to_date=date(2026, 1, 1)),
}


def xml_of(document: Document) -> bytes:
    xml = facturx_xml(document)
    assert isinstance(xml, bytes), xml
    return xml


@pytest.mark.parametrize("document", VALID.values(), ids=VALID.keys())
def test_valid_by_the_schema_of_its_profile(document: Document) -> None:
    xml = xml_of(document)
    assert facturx.get_level(etree.fromstring(xml)) == "en16931"
    assert facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")


@pytest.mark.parametrize("document", VALID.values(), ids=VALID.keys())
def test_sums_agree(document: Document) -> None:
    """BR-CO-10 to BR-CO-17, and that a line is its price times its quantity."""
    tree = etree.fromstring(xml_of(document))
    sums = "//ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:"
    lines_net = [
        amount(item, ".//ram:LineTotalAmount")
        for item in tree.iterfind(".//ram:IncludedSupplyChainTradeLineItem", NS)
    ]
    breakdowns = tree.findall(".//ram:ApplicableHeaderTradeSettlement/ram:ApplicableTradeTax", NS)
    taxes = [amount(part, "ram:CalculatedAmount") for part in breakdowns]
    line_total, net = amount(tree, sums + "LineTotalAmount"), amount(tree, sums + "TaxBasisTotalAmount")
    tax_total, total = amount(tree, sums + "TaxTotalAmount"), amount(tree, sums + "GrandTotalAmount")
    minor = Decimal(1).scaleb(-document.unit.digits)
    assert line_total == sum(lines_net)  # BR-CO-10
    assert net == line_total  # BR-CO-13: no allowances or charges on the whole
    assert tax_total == sum(taxes)  # BR-CO-14
    assert total == net + tax_total  # BR-CO-15
    prepaid = amount(tree, sums + "TotalPrepaidAmount")
    assert amount(tree, sums + "DuePayableAmount") == total - prepaid  # BR-CO-16
    for part in breakdowns:
        exact = amount(part, "ram:BasisAmount") * amount(part, "ram:RateApplicablePercent") / 100
        # BR-CO-17 with the tolerance that rounding on each line needs.
        assert abs(amount(part, "ram:CalculatedAmount") - exact) <= minor / 2 * (len(lines_net) + 1)
    assert sum(amount(part, "ram:BasisAmount") for part in breakdowns) == line_total
    for item, line_net in zip(
        tree.iterfind(".//ram:IncludedSupplyChainTradeLineItem", NS), lines_net, strict=True
    ):
        price = amount(item, ".//ram:ChargeAmount")
        assert price >= 0  # BR-27
        whole = price * amount(item, ".//ram:BilledQuantity")
        assert whole.quantize(minor, ROUND_HALF_UP) == line_net


def amount(element: etree._Element, path: str) -> Decimal:
    found = element.xpath(path, namespaces=NS) if path.startswith("//") else element.findall(path, NS)
    return Decimal(found[0].text) if found else Decimal(0)


@pytest.fixture(scope="module")
def rules() -> Callable[[bytes], list[str]]:
    """The published rules of the profile; which of them an XML breaks."""
    from saxonche import PySaxonProcessor

    folder = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931"
    processor = PySaxonProcessor(license=False)
    compiled = processor.new_xslt30_processor().compile_stylesheet(
        stylesheet_file=str(folder / "FACTUR-X_EN16931.xslt")
    )

    def broken(xml: bytes) -> list[str]:
        report = compiled.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml.decode()))
        tree = etree.fromstring(report.encode())
        failed = tree.iterfind(".//{http://purl.oclc.org/dsdl/svrl}failed-assert")
        return [" ".join("".join(assertion.itertext()).split()) for assertion in failed]

    return broken


@pytest.mark.parametrize("document", VALID.values(), ids=VALID.keys())
def test_valid_by_the_published_rules(document: Document, rules: Callable[[bytes], list[str]]) -> None:
    assert rules(xml_of(document)) == []


def test_the_rules_find_what_is_wrong(rules: Callable[[bytes], list[str]]) -> None:
    wrong = xml_of(INVOICE).replace(b"<ram:GrandTotalAmount>705.71", b"<ram:GrandTotalAmount>805.71")
    assert any("BR-CO-15" in told for told in rules(wrong))


def text(document: Document, path: str) -> str:
    found = etree.fromstring(xml_of(document)).find(f".//{path}", NS)
    return "" if found is None else found.text or ""


@pytest.mark.parametrize(
    "document,path,value",
    [
        (INVOICE, "rsm:ExchangedDocument/ram:TypeCode", "380"),
        (sample_document("credit_note"), "rsm:ExchangedDocument/ram:TypeCode", "381"),
        (sample_document("debit_note"), "rsm:ExchangedDocument/ram:TypeCode", "383"),
        (INVOICE, "ram:BuyerReference", "PO 4500-118"),
        (INVOICE, "ram:BuyerOrderReferencedDocument/ram:IssuerAssignedID", "PO 4500-118"),
        (INVOICE, "ram:SpecifiedTradeSettlementPaymentMeans/ram:TypeCode", "58"),
        (IN_DOLLARS, "ram:SpecifiedTradeSettlementPaymentMeans/ram:TypeCode", "30"),
        (INVOICE, "ram:IBANID", "DE02120300000000202051"),
        (INVOICE, "ram:PaymentReference", "INV-2026-00042"),
        (INVOICE, "ram:TotalPrepaidAmount", "100.00"),
        (INVOICE, "ram:DuePayableAmount", "605.71"),
        (sample_document("paid-invoice"), "ram:DuePayableAmount", "0.00"),
        (
            sample_document("credit_note"),
            "ram:InvoiceReferencedDocument/ram:IssuerAssignedID",
            "INV-2026-00041",
        ),
        (REVERSE_CHARGE, "ram:ExemptionReason", "Reverse charge, article 196"),
        (REVERSE_CHARGE, "ram:ExemptionReasonCode", "VATEX-EU-AE"),
        (
            UNTAXED_BY_TAXED,
            "ram:ApplicableHeaderTradeSettlement/ram:ApplicableTradeTax/ram:CategoryCode",
            "Z",
        ),
        (IN_YEN, "ram:GrandTotalAmount", "13580"),
        (STRANGE_TEXTS, "ram:BuyerTradeParty/ram:Name", "A & B <GmbH>"),
    ],
)
def test_what_stands_where(document: Document, path: str, value: str) -> None:
    assert text(document, path) == value


@pytest.mark.parametrize(
    "document,reason",
    [
        (sample_document("quote"), "only invoices"),
        (sample_document("receipt"), "only invoices"),
        (sample_document("draft"), "draft"),
        (replace(INVOICE, unit=Unit("POINTS", 0, 0)), "no currency"),
        (replace(INVOICE, unit=Unit("KWD", 6, 3)), "3 digits"),
        (replace(INVOICE, buyer=replace(INVOICE.buyer, country="")), "the buyer has no country"),
        (replace(INVOICE, seller=replace(INVOICE.seller, name="")), "the seller has no name"),
        (
            replace(INVOICE, seller=replace(INVOICE.seller, vat_id="", registration_id="")),
            "no VAT or tax number",
        ),
        (replace(REVERSE_CHARGE, buyer=INVOICE.buyer), "the buyer has no VAT id"),
        (invoice((replace(line(1, 100), tax_names=("VAT", "City")),), (tax(100, 19),)), "two taxes"),
        (invoice((line(1, 100),), (tax(100, 19), tax(100, 5, 50_000))), "not that of any line"),
        (replace(INVOICE, net=INVOICE.net + 10_000), "add up"),
        (invoice((), ()), "no lines"),
    ],
)
def test_what_cannot_be_said_is_not_said(document: Document, reason: str) -> None:
    found = facturx_xml(document)
    assert isinstance(found, NoXml)
    assert reason in found.reason
