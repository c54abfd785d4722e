"""Documents that never were, to try a template on: every kind, with all that a document can have."""

from dataclasses import replace
from datetime import date, timedelta

from pbxbill.billing.invoices.document import (
    Document,
    DocumentCall,
    DocumentLine,
    DocumentPayment,
    DocumentTax,
    PartyBlock,
)
from pbxbill.billing.invoices.line_words import Facts, Words
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.texts import texts_of
from pbxbill.money import Unit

SAMPLES = (
    "invoice",
    "long-invoice",
    "paid-invoice",
    "draft",
    "credit_note",
    "debit_note",
    "quote",
    "receipt",
)
_CENT = 10_000
_ONE = 1_000_000
_VAT_PPM = 190_000


def _of_plan(kind: str, plan: str, name: str) -> Facts:
    return {"of": "charge", "kind": kind, "plan": plan, "name": name, "piece": 1}


def _calls_to(where: str, count: int) -> Facts:
    return {"of": "usage", "what": "outbound", "where": where, "measure": "seconds", "count": count}


_SELLER = PartyBlock(
    code="operator", name="Nordlicht Telecom GmbH", street="Speicherstraße 14", postal_code="20457",
    city="Hamburg", country="DE", vat_id="DE136695976", registration_id="HRB 93412", contact="Billing",
    email="billing@nordlicht.example", phone="+49 40 5550 100", website="nordlicht.example",
    bank_name="Hanse Bank", iban="DE02120300000000202051", bic="BYLADEM1001",
)  # fmt: skip
_BUYER = PartyBlock(
    code="atelier", name="Atelier Lumière SARL", contact="Camille Moreau", street="27 rue des Tanneurs",
    postal_code="67000", city="Strasbourg", country="FR", email="compta@lumiere.example",
)  # fmt: skip

_OFFERS: tuple[tuple[str, Facts | str, int, str, int | None, int | None, int | None, int | None], ...] = (
    # kind, what, how many, of what, price in cents, from day, to day, days of 31 that are charged
    (
        "recurring",
        _of_plan("recurring", "Cloud PBX Business", "Extension"),
        12,
        "items",
        990,
        None,
        None,
        None,
    ),
    ("recurring", _of_plan("recurring", "SIP trunk", "10 channels"), 1, "items", 4900, 12, 31, 20),
    (
        "did_recurring",
        _of_plan("did_recurring", "+49 40 5550 1200", "DID"),
        1,
        "items",
        150,
        None,
        None,
        None,
    ),
    ("usage", _calls_to("national", 1284), 1284, "calls", None, None, None, None),
    ("usage", _calls_to("mobile", 412), 92_437, "seconds", None, None, None, None),
    ("usage", _calls_to("international", 96), 18_220, "seconds", None, None, None, None),
    ("one_time", "Yealink T54W", 2, "items", 11_950, None, None, None),
    ("credit", _of_plan("credit", "Cloud PBX Basic", "Extension"), 1, "items", -959, 16, 31, 16),
)
_USAGE_CENTS = (1284 * 2, 15_406, 2_733)


def sample_document(kind: str = "invoice", language: str = "en") -> Document:
    """One of SAMPLES."""
    base = _invoice(language, _offered_lines(language))
    words = _words(language)
    match kind:
        case "long-invoice":
            many = tuple(
                replace(line, position=at, description=f"{line.description} / {at // 8 + 1}")
                for at, line in enumerate(_offered_lines(language) * 7, start=1)
            )
            return replace(
                _invoice(language, many), calls=_calls(300), calls_left_out=1284, call_amounts="net"
            )
        case "paid-invoice":
            return replace(
                base,
                from_wallet=base.total,
                due=0,
                payments=(DocumentPayment(date(2026, 1, 5), words.received("top-up", ""), 500_000_000),),
            )
        case "draft":
            return replace(base, number="", draft=True)
        case "credit_note":
            given_back = _invoice(language, (replace(base.lines[0], position=1),))
            return replace(
                given_back,
                kind="credit_note",
                number="CN-2026-00007",
                due_on=None,
                corrects="INV-2026-00041",
                corrects_on=date(2026, 2, 1),
                note=words.say("note_rerated", run=7),
            )
        case "debit_note":
            return replace(base, kind="debit_note", number="DN-2026-00002", corrects="INV-2026-00041")
        case "quote":
            return replace(base, kind="quote", number="Q-2026-00113", due_on=date(2026, 3, 1))
        case "receipt":
            return _receipt(base, words)
        case _:
            return replace(
                base,
                from_wallet=100 * _ONE,
                due=base.total - 100 * _ONE,
                previous_balance=42_500_000,
                payments=(
                    DocumentPayment(date(2026, 1, 5), words.received("top-up", ""), 60_000_000),
                    DocumentPayment(date(2026, 1, 20), words.received("payment", "RF18 5390"), 40_000_000),
                ),
                calls=_calls(24),
                call_amounts="net",
            )


def sample_documents(language: str = "en") -> tuple[Document, ...]:
    """All of them."""
    return tuple(sample_document(kind, language) for kind in SAMPLES)


def _invoice(language: str, lines: tuple[DocumentLine, ...]) -> Document:
    net = sum(line.net for line in lines)
    # Half up, in whole cents.
    tax = (2 * net * _VAT_PPM + _CENT * 1_000_000) // (2 * _CENT * 1_000_000) * _CENT
    return Document(
        kind="invoice",
        number="INV-2026-00042",
        draft=False,
        language=language,
        unit=Unit("EUR"),
        issued_on=date(2026, 2, 1),
        due_on=date(2026, 2, 15),
        from_date=date(2026, 1, 1),
        to_date=date(2026, 1, 31),
        seller=_SELLER,
        buyer=_BUYER,
        lines=lines,
        taxes=(DocumentTax("VAT", _VAT_PPM, "S", net, tax),),
        net=net,
        tax=tax,
        total=net + tax,
        from_wallet=0,
        due=net + tax,
        purchase_order="PO 4500-118",
    )


def _words(language: str) -> Words:
    return Words(texts_of(language, {}), Formatting(language, Unit("EUR")))


def _offered_lines(language: str) -> tuple[DocumentLine, ...]:
    words, usage = _words(language), iter(_USAGE_CENTS)
    made = []
    for position, (kind, what, count, measure, price, first, last, days) in enumerate(_OFFERS, start=1):
        cents = next(usage) if price is None else price * count
        explanation: dict[str, int | str] = {}
        if days is not None:
            explanation = {"used": days, "of": 31, "by": "day", "whole": cents * _CENT}
            # 4900 * 20 / 31 = 3161.29; -959 * 16 / 31 = -494.97
            cents = (2 * cents * days + 31) // 62
        made.append(
            DocumentLine(
                position=position,
                kind=kind,
                description=what if isinstance(what, str) else words.description(what),
                quantity=count * _ONE,
                measure=measure,
                unit_price=None if price is None else price * _CENT,
                net=cents * _CENT,
                tax_names=("VAT",),
                category="S",
                ppm=_VAT_PPM,
                from_date=date(2026, 1, first or 1),
                to_date=date(2026, 1, last or 31),
                detail=words.reckoned(explanation),
            )
        )
    return tuple(made)


def _receipt(base: Document, words: Words) -> Document:
    line = replace(
        base.lines[0],
        kind="one_time",
        description=words.received("top-up", "**** 4242"),
        quantity=_ONE,
        unit_price=50 * _ONE,
        net=50 * _ONE,
        tax_names=(),
        category="",
        ppm=0,
        from_date=None,
        to_date=None,
    )
    return replace(
        base, kind="receipt", number="R-2026-00318", lines=(line,), taxes=(), net=line.net, tax=0,
        total=line.net, from_wallet=0, due=0, due_on=None, from_date=None, to_date=None, purchase_order="",
    )  # fmt: skip


def _calls(count: int) -> tuple[DocumentCall, ...]:
    places = (
        ("493055501", "Germany, Berlin", 9),
        ("4915155502", "Germany, mobile", 95),
        ("33155503", "France", 31),
    )
    first = date(2026, 1, 1)
    made = []
    for at in range(count):
        prefix, name, price_per_min = places[at * 7 % 3]
        duration_s = 17 + at * 271 % 1900
        day = first + timedelta(days=at * 31 // count)
        made.append(
            DocumentCall(
                started_at=f"{day} {8 + at % 10:02d}:{at * 37 % 60:02d}:{at * 53 % 60:02d}",
                caller="+49 40 5550 1200",
                called=f"+{prefix}{at * 7919 % 10000:04d}",
                destination=name,
                duration_s=duration_s,
                total=duration_s * price_per_min * 100 // 60 * (_CENT // 1000),
            )
        )
    return tuple(sorted(made, key=lambda call: call.started_at))
