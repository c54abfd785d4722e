"""Vouchers as cards to be cut out, ten on a page of A4, with their codes as QR codes beside them.

Set in the process with limits that others' templates are set in: a batch may be large.
"""

from collections.abc import Iterator, Sequence
from datetime import date

from markupsafe import Markup, escape

from pbxbill.billing.codes.voucher_codes import grouped
from pbxbill.billing.codes.voucher_file import BatchFacts, Printed
from pbxbill.billing.render.typesetting import Job
from pbxbill.billing.render.worker import Isolated

PER_FILE = 500
"""Cards of one PDF: some 50 pages."""
TIMEOUT_S = 120
WORDS = {
    "en": {"voucher": "Voucher", "code": "Code", "serial": "Serial", "until": "Valid until"},
    "fr": {"voucher": "Bon de recharge", "code": "Code", "serial": "N°", "until": "Valable jusqu'au"},
    "es": {"voucher": "Vale", "code": "Código", "serial": "N.º", "until": "Válido hasta"},
    "de": {"voucher": "Gutschein", "code": "Code", "serial": "Nummer", "until": "Gültig bis"},
}
"""By language."""
LANGUAGE_NAMES = {"en": "English", "fr": "Français", "es": "Español", "de": "Deutsch"}
"""Those of WORDS, as they call themselves."""
_CSS = """
@page { size: A4; margin: 12mm 10mm }
body { font-family: "Source Sans", sans-serif; font-size: 10pt; margin: 0 }
.card { float: left; box-sizing: border-box; width: 94.5mm; height: 54mm; padding: 5mm;
        border: 0.2mm dashed #999; break-inside: avoid; position: relative }
.seller { font-size: 9pt; color: #555 }
.value { font-size: 20pt; font-weight: 600; margin: 1mm 0 }
.code { font-size: 12pt; font-weight: 600; white-space: nowrap }
.small { font-size: 7.5pt; color: #555 }
.qr { position: absolute; right: 5mm; top: 5mm; width: 20mm; height: 20mm }
"""


def sheets(
    facts: BatchFacts,
    vouchers: Sequence[Printed],
    *,
    seller: str,
    created_on: date,
    language: str = "en",
    note: str = "",
) -> Iterator[bytes]:
    """PDFs, each of up to PER_FILE cards. note: a line on each, where it is redeemed say."""
    setter = Isolated()
    words = WORDS.get(language, WORDS["en"])
    try:
        for at in range(0, len(vouchers), PER_FILE):
            part = vouchers[at : at + PER_FILE]
            cards = Markup("").join(_card(facts, voucher, seller, note, words) for voucher in part)
            title = f"{words['voucher']} {facts.batch}"
            yield setter.set(
                Job(_page(title, language, cards), _CSS, created_on=created_on.isoformat()), TIMEOUT_S
            ).pdf
    finally:
        setter.close()


def _page(title: str, language: str, cards: Markup) -> str:
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    return f'<!doctype html><html lang="{escape(language)}"><head>{head}</head><body>{cards}</body></html>'


def _card(facts: BatchFacts, voucher: Printed, seller: str, note: str, words: dict[str, str]) -> Markup:
    import segno

    code = segno.make(voucher.code, error="m", micro=False)
    until = f" · {words['until']} {facts.valid_to}" if facts.valid_to else ""
    return Markup(
        '<div class="card"><img class="qr" alt="" src="{qr}"><div class="seller">{seller}</div>'
        '<div class="small">{voucher}</div><div class="value">{value} {unit}</div>'
        '<div class="small">{code_word}</div><div class="code">{code}</div>'
        '<div class="small">{serial_word} {batch} {serial}{until}</div><div class="small">{note}</div></div>'
    ).format(
        qr=code.png_data_uri(scale=3, border=0),
        seller=seller,
        voucher=words["voucher"],
        value=facts.value,
        unit=facts.unit,
        code_word=words["code"],
        code=grouped(voucher.code),
        serial_word=words["serial"],
        batch=facts.batch,
        serial=voucher.serial,
        until=until,
        note=note,
    )
