"""The QR code by which a banking application fills in a SEPA credit transfer (EPC069-12)."""

from functools import lru_cache

from markupsafe import Markup

from pbxbill.billing.invoices.document import Document
from pbxbill.money import to_decimal

_MOST = 99_999_999_999
"""Cents that a transfer can carry."""


def payment_code(document: Document) -> Markup:
    """An image, or nothing where no transfer in euros to a known account is asked for."""
    seller = document.seller
    cents, rest = divmod(document.due * 100, 10**document.unit.scale)
    asked = document.kind in ("invoice", "debit_note") and not document.draft
    if not asked or document.unit.code != "EUR" or not seller.iban or rest or not 0 < cents <= _MOST:
        return Markup()
    return _drawn(seller.name[:70], seller.iban.replace(" ", ""), seller.bic, cents, document.number[:140])


@lru_cache(maxsize=32)
def _drawn(name: str, iban: str, bic: str, cents: int, reference: str) -> Markup:
    import segno

    lines = ("BCD", "002", "1", "SCT", bic, name, iban, f"EUR{to_decimal(cents, 2)}", "", "", reference)
    code = segno.make("\n".join(lines), error="m", encoding="utf-8", micro=False)
    # As an image of dots: the same as vectors takes as long to set as the rest of the page.
    return Markup('<img class="payment-code" alt="" src="{}">').format(code.png_data_uri(scale=6, border=0))
