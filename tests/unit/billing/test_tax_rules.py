"""Which taxes apply: by place, class, moment and buyer; and what VAT ids, IBANs and addresses are."""

import pytest

from pbxbill.billing.identifiers import (
    checked_bic,
    checked_country,
    checked_email,
    checked_iban,
    checked_vat_id,
)
from pbxbill.billing.taxes.tax_rules import (
    EXPORT_REASON,
    REVERSE_CHARGE_REASON,
    Exemption,
    TaxBuyer,
    TaxPlace,
    TaxRate,
    TaxTable,
    TaxTreatment,
)
from pbxbill.errors import InputRefused

DAY = 86_400_000_000
FRENCH_ID, GERMAN_ID, GREEK_ID = "FR40303265045", "DE136695976", "EL094259216"


def rate(text: str, from_us: int = 0, to_us: int | None = None) -> TaxRate:
    """`name percent category country region class`, "-" for any; "+": compound; "!": inclusive."""
    name, percent, category, country, region, product_class, *flags = text.split()
    ppm = round(float(percent) * 10_000)
    country, region, product_class = (x.replace("-", "") for x in (country, region, product_class))
    reason = "" if ppm or category in "SZ" else f"{category} by law"
    return TaxRate(
        name,
        ppm,
        category,
        country,
        region,
        product_class,
        from_us,
        to_us,
        "+" in flags,
        "!" in flags,
        reason,
    )


def table(seller: str, *rates: str | TaxRate) -> TaxTable:
    country, _, region = seller.partition(" ")
    return TaxTable(TaxPlace(country, region), tuple(x if isinstance(x, TaxRate) else rate(x) for x in rates))


GERMANY = table(
    "DE",
    "USt 19 S DE - -",
    "USt 7 S DE - books",
    "USt 0 E DE - insurance",
    "TVA 20 S FR - -",
)
CANADA = table(
    "CA QC",
    "GST 5 S CA - -",
    "PST 7 S CA BC -",
    "QST 9.975 S CA QC -",
    "HST 13 S CA ON -",
    "GST 0 S CA ON -",
    "GST 0 Z - - -",
)


def said(tax_table: TaxTable, buyer: TaxBuyer, product_class: str = "usage", at_us: int = DAY) -> str:
    taxes = tax_table.applied(buyer, product_class, at_us)
    return ", ".join(f"{x.name} {x.ppm / 10_000:g} {x.category}" for x in taxes)


@pytest.mark.parametrize(
    "buyer, product_class, taxes",
    [
        (TaxBuyer("DE"), "usage", "USt 19 S"),
        (TaxBuyer(), "usage", "USt 19 S"),  # without an address: as at home
        (TaxBuyer("DE", vat_id=GERMAN_ID), "usage", "USt 19 S"),
        (TaxBuyer("DE"), "books", "USt 7 S"),
        (TaxBuyer("DE"), "insurance", "USt 0 E"),
        (TaxBuyer("FR"), "usage", "TVA 20 S"),  # a private buyer: the tax of his country
        (TaxBuyer("MC"), "usage", "TVA 20 S"),  # Monaco counts as France
        (TaxBuyer("ES"), "usage", "USt 19 S"),  # a country that the issuer has no rate of
        (TaxBuyer("FR", vat_id=FRENCH_ID), "usage", "USt 0 AE"),
        (TaxBuyer("GR", vat_id=GREEK_ID), "usage", "USt 0 AE"),
        (TaxBuyer("FR", vat_id="FR40303265046"), "usage", "TVA 20 S"),  # check digits are wrong
        (TaxBuyer("FR", vat_id=GERMAN_ID), "usage", "TVA 20 S"),  # of the issuer's own country
        (TaxBuyer("GB", vat_id="XI432525179"), "usage", "USt 0 G"),  # Northern Ireland: goods only
        (TaxBuyer("CH"), "usage", "USt 0 G"),
        (TaxBuyer("FR", vat_id=FRENCH_ID), "insurance", "USt 0 AE"),  # exempt at home, not there
        (TaxBuyer("FR", vat_id=FRENCH_ID, treatment=TaxTreatment.STANDARD), "usage", "TVA 20 S"),
        (TaxBuyer("CH", treatment=TaxTreatment.STANDARD), "usage", ""),
        (TaxBuyer("DE", treatment=TaxTreatment.REVERSE_CHARGE), "usage", "USt 0 AE"),
    ],
)
def test_an_issuer_in_the_eu(buyer: TaxBuyer, product_class: str, taxes: str) -> None:
    assert said(GERMANY, buyer, product_class) == taxes


def test_the_law_is_named() -> None:
    (reverse,) = GERMANY.applied(TaxBuyer("FR", vat_id=FRENCH_ID), "usage", DAY)
    (export,) = GERMANY.applied(TaxBuyer("US"), "usage", DAY)
    assert (reverse.reason, export.reason) == (REVERSE_CHARGE_REASON, EXPORT_REASON)


def test_the_issuers_own_words_stand_in_for_ours() -> None:
    own = table(
        "DE",
        "USt 19 S DE - -",
        rate("Reverse-Charge 0 AE - - -")._replace(reason="Steuerschuldnerschaft des Leistungsempfängers"),
        rate("Drittland 0 G - - -")._replace(reason="Nicht steuerbar"),
    )
    (reverse,) = own.applied(TaxBuyer("FR", vat_id=FRENCH_ID), "usage", DAY)
    assert (reverse.name, reverse.reason) == (
        "Reverse-Charge",
        "Steuerschuldnerschaft des Leistungsempfängers",
    )
    assert said(own, TaxBuyer("US")) == "Drittland 0 G"
    assert said(own, TaxBuyer("DE")) == "USt 19 S"  # they are for nobody else


def test_an_issuer_registered_abroad_taxes_there() -> None:
    registered = table("DE", "USt 19 S DE - -", "MWST 8.1 S CH - -")
    assert said(registered, TaxBuyer("CH")) == "MWST 8.1 S"
    assert said(registered, TaxBuyer("LI")) == "USt 0 G"


def test_who_owes_no_tax_at_home_owes_none_abroad() -> None:
    small_business = table("DE", rate("USt 0 E - - -")._replace(reason="§ 19 UStG"))
    for buyer in (TaxBuyer("DE"), TaxBuyer("FR", vat_id=FRENCH_ID), TaxBuyer("US")):
        assert said(small_business, buyer) == "USt 0 E"
    assert said(table("DE"), TaxBuyer("US")) == ""


@pytest.mark.parametrize(
    "place, taxes",
    [
        ("CA BC", "GST 5 S, PST 7 S"),
        ("CA bc", "GST 5 S, PST 7 S"),
        ("CA QC", "GST 5 S, QST 9.975 S"),
        ("CA ON", "HST 13 S, GST 0 S"),
        ("CA AB", "GST 5 S"),
        ("US WA", "GST 0 Z"),
    ],
)
def test_several_taxes_by_province(place: str, taxes: str) -> None:
    country, _, region = place.partition(" ")
    assert said(CANADA, TaxBuyer(country, region)) == taxes


def test_a_rate_holds_from_its_first_moment_to_just_before_its_end() -> None:
    """Germany, second half of 2020: 16 %."""
    lowered, ended = 10 * DAY, 20 * DAY
    changing = table(
        "DE",
        rate("USt 19 S - - -", 0, lowered),
        rate("USt 16 S - - -", lowered, ended),
        rate("USt 19 S - - -", ended),
    )
    moments = (0, lowered - 1, lowered, ended - 1, ended)
    found = [said(changing, TaxBuyer("DE"), at_us=at_us) for at_us in moments]
    assert found == ["USt 19 S", "USt 19 S", "USt 16 S", "USt 16 S", "USt 19 S"]
    assert said(changing, TaxBuyer("DE"), at_us=-1) == ""


@pytest.mark.parametrize(
    "exemption, place, taxes",
    [
        (Exemption("", "Diplomatic mission"), "CA QC", "GST 0 E"),
        (Exemption("QST", "Registered charity"), "CA QC", "GST 5 S, QST 0 E"),
        (Exemption("PST", "Reseller"), "CA QC", "GST 5 S, QST 9.975 S"),
        (Exemption("", "Was a mission", 0, DAY), "CA QC", "GST 5 S, QST 9.975 S"),
        (Exemption("", "Will be one", 2 * DAY), "CA QC", "GST 5 S, QST 9.975 S"),
        (Exemption("", "Diplomatic mission"), "US", "GST 0 Z"),  # nothing is owed there
    ],
)
def test_exemptions(exemption: Exemption, place: str, taxes: str) -> None:
    country, _, region = place.partition(" ")
    buyer = TaxBuyer(country, region, exemptions=(exemption,))
    assert said(CANADA, buyer) == taxes
    for tax in CANADA.applied(buyer, "usage", DAY):
        assert tax.reason == (exemption.reason if tax.category == "E" else "")


def test_why_is_said() -> None:
    decided = GERMANY.decide(TaxBuyer("FR", vat_id=FRENCH_ID), "usage", DAY)
    assert decided.why == "the VAT id FR40303265045 is of another member state"
    decided = CANADA.decide(TaxBuyer("CA", "QC", exemptions=(Exemption("QST", "Charity"),)), "usage", DAY)
    assert decided.why == "rates of CA, QC; exempt from QST: Charity"


def test_the_tax_of_a_tariff_is_named_as_the_issuers_of_that_rate() -> None:
    assert GERMANY.tax_taken(190_000, TaxBuyer("FR"), "usage", DAY).name == "USt"
    assert GERMANY.tax_taken(200_000, TaxBuyer("FR"), "usage", DAY).name == "TVA"
    unknown = GERMANY.tax_taken(77_000, TaxBuyer("DE"), "usage", DAY)
    assert (unknown.name, unknown.ppm, unknown.category) == ("Tax", 77_000, "S")


@pytest.mark.parametrize(
    "text, country, vat_id",
    [
        ("de 136 695 976", "DE", "DE136695976"),
        ("136695976", "DE", "DE136695976"),
        ("094259216", "GR", "EL094259216"),
        ("GB 980 7806 84", "GB", "GB980780684"),
        ("CHE-107.787.577 IVA", "CH", "CHE107787577IVA"),
        ("995 525 828 MVA", "NO", "NO995525828MVA"),
        ("FR40303265045", "DE", "FR40303265045"),  # registered abroad
        ("40303265045", "MC", "FR40303265045"),
        ("12-3456789", "US", "12-3456789"),  # there is no VAT, nor a rule
        ("", "", ""),
    ],
)
def test_vat_ids_in_one_form(text: str, country: str, vat_id: str) -> None:
    assert checked_vat_id(text, country) == vat_id


@pytest.mark.parametrize(
    "text, country, reason",
    [
        ("DE136695977", "DE", "no VAT id of DE: the number's checksum or check digit is invalid"),
        ("DE12", "DE", "the number has an invalid length"),
        ("GB980780685", "GB", "no VAT id of GB"),
        ("DE136695976", "", "set the country too"),
        ("X" * 33, "US", "up to 32 printable"),
    ],
)
def test_what_is_no_vat_id(text: str, country: str, reason: str) -> None:
    with pytest.raises(InputRefused) as refused:
        checked_vat_id(text, country)
    assert reason in str(refused.value)


def test_what_else_is_checked() -> None:
    assert checked_iban("gb82 west 1234 5698 7654 32") == "GB82WEST12345698765432"
    assert checked_bic("agrifrpp882") == "AGRIFRPP882"
    assert checked_country(" de") == "DE"
    assert checked_email(" Billing+x@sub.example.org ") == "Billing+x@sub.example.org"
    assert [check("") for check in (checked_iban, checked_bic, checked_country, checked_email)] == [""] * 4


@pytest.mark.parametrize(
    "address",
    [
        "a",
        "a@b",
        "a b@example.org",
        "a@example.org, b@example.org",
        "A <a@example.org>",
        "a@example.org\nBcc: b@example.org",
        "a@.org",
        "a@example..org",
        "a@" + "x" * 250 + ".org",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputRefused, match="is no e-mail address"):
        checked_email(address)


@pytest.mark.parametrize(
    "check, text", [(checked_iban, "GB82WEST12345698765433"), (checked_bic, "AGRI"), (checked_country, "UK")]
)
def test_what_is_refused_says_so(check, text: str) -> None:
    with pytest.raises(InputRefused, match="is no"):
        check(text)
