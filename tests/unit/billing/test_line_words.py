"""What reckoned lines are called, in each language, and in an issuer's own words."""

import pytest

from pbxbill.billing.invoices.line_words import ENGLISH, Facts, Words, facts_of_charge
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.texts import LANGUAGES, built_in_texts, texts_of
from pbxbill.billing.taxes.tax_rules import EXPORT_REASON, REVERSE_CHARGE_REASON
from pbxbill.rating.number_plan import KINDS
from tests.small_operator import EUR, eur


def words(language: str, **own: str) -> Words:
    return Words(texts_of(language, {language: own}), Formatting(language, EUR))


def usage(what: str = "outbound", where: str = "", measure: str = "seconds", count: int = 1) -> Facts:
    return {"of": "usage", "what": what, "where": where, "measure": measure, "count": count}


def charge(kind: str = "recurring", name: str = "Seat", **more: str | int) -> Facts:
    return {"of": "charge", "kind": kind, "plan": "Office", "name": name, **more}


READING: Facts = {"of": "reading", "meter": "M1", "consumed": 1_012_500_000, "measure": "kWh"}

TOLD = [
    # facts, English, German, French
    (usage(where="mobile", count=1234), "Calls to mobiles (1,234)", "Anrufe in Mobilfunknetze (1.234)",
     "Appels vers les mobiles (1\u202f234)"),
    (usage(), "Calls (1)", "Anrufe (1)", "Appels (1)"),
    (usage(where="moon_base"), "Calls, moon base (1)", "Anrufe, moon base (1)", "Appels, moon base (1)"),
    (usage("inbound"), "Incoming calls (1)", "Eingehende Anrufe (1)", "Appels entrants (1)"),
    (usage("usage", "mobile", "messages"), "Messages, mobile (1)", "Nachrichten, Mobilfunk (1)",
     "Messages, mobiles (1)"),
    (usage("usage", "", "bytes"), "Data (1)", "Daten (1)", "Données (1)"),
    (usage("volume"), "Volume discount", "Mengenrabatt", "Remise sur volume"),
    (usage("correction"), "Corrections of earlier calls (1)", "Berichtigungen früherer Anrufe (1)",
     "Corrections d'appels antérieurs (1)"),
    (charge(), "Office: Seat", "Office: Seat", "Office\u00a0: Seat"),
    (charge("credit", piece=11), "Office: Seat, from piece 11 on, given back",
     "Office: Seat, ab Stück 11, Erstattung", "Office\u00a0: Seat, à partir de l'unité 11, remboursement"),
    (charge("minimum_spend", ""), "Office: Minimum spend", "Office: Mindestumsatz",
     "Office\u00a0: Minimum de consommation"),
    (charge("cancellation_fee", ""), "Office: Cancellation fee", "Office: Gebühr für vorzeitige Kündigung",
     "Office\u00a0: Frais de résiliation"),
    (charge(withdrawn=1), "Withdrawn: Office: Seat", "Zurückgenommen: Office: Seat",
     "Annulé\u00a0: Office\u00a0: Seat"),
    (READING, "Meter M1: 1,012.5 kWh", "Zähler M1: 1.012,5 kWh", "Compteur M1\u00a0: 1\u202f012,5 kWh"),
    ({"of": "received", "kind": "top-up", "memo": "tin"}, "Top-up: tin", "Aufladung: tin",
     "Rechargement\u00a0: tin"),
    ({"of": "received", "kind": "payment", "memo": ""}, "Payment", "Zahlung", "Paiement"),
    ({"of": "adjustment"}, "Adjustment", "Anpassung", "Ajustement"),
    ({"of": "unnamed"}, "Charge", "Belastung", "Débit"),
]  # fmt: skip


@pytest.mark.parametrize("facts, english, german, french", TOLD)
def test_lines_are_called_what_they_are_in_each_language(
    facts: Facts, english: str, german: str, french: str
) -> None:
    said = tuple(words(language).description(facts) for language in ("en", "de", "fr"))
    assert said == (english, german, french)
    assert ENGLISH.description(facts) == english
    assert words("es").description(facts)


def test_every_class_of_destinations_has_its_words() -> None:
    for language in LANGUAGES:
        texts = built_in_texts(language)
        assert {f"line_calls_{kind}" for kind in KINDS} | {f"class_{kind}" for kind in KINDS} <= set(texts)


@pytest.mark.parametrize(
    "language, part, seconds, minimum",
    [
        ("en", "21 of 30 days of 1,010.00", "5 of 86,400 seconds of 0.10", "minimum 20.00, used 3.40"),
        ("de", "21 von 30 Tagen zu 1.010,00", "5 von 86.400 Sekunden zu 0,10",
         "Mindestumsatz 20,00, davon genutzt 3,40"),
        ("fr", "21 sur 30 jours à 1\u202f010,00", "5 sur 86\u202f400 secondes à 0,10",
         "minimum 20,00, utilisé 3,40"),
        ("es", "21 de 30 días a 1.010,00", "5 de 86.400 segundos a 0,10", "mínimo 20,00, consumido 3,40"),
    ],
)  # fmt: skip
def test_how_an_amount_came_about(language: str, part: str, seconds: str, minimum: str) -> None:
    say = words(language).reckoned
    assert say({"used": 21, "of": 30, "by": "day", "whole": eur("1010")}) == part
    assert say({"used": 5, "of": 86_400, "by": "second", "whole": eur("0.10")}) == seconds
    assert (
        say({"minimum": eur("20"), "usage": eur("3.40"), "whole": eur("20"), "used": 1, "of": 1}) == minimum
    )
    assert say({"used": 30, "of": 30, "by": "day", "whole": eur("10")}) == ""
    assert say({"reason": "by hand"}) == ""


def test_an_issuer_has_the_last_word() -> None:
    own = words("de", line_calls_mobile="Handy", line_counted="$count x $what, $unknown")
    assert own.description(usage(where="mobile", count=7)) == "7 x Handy, $unknown"


def test_reasons_of_ours_are_in_the_language_and_others_as_they_were_written() -> None:
    german = words("de")
    assert german.reason(REVERSE_CHARGE_REASON).startswith("Steuerschuldnerschaft des Leistungsempfängers")
    assert german.reason(EXPORT_REASON).startswith("Nicht steuerbar")
    assert german.reason("Small business") == "Small business"
    assert (german.tax_name("Tax"), german.tax_name("VAT")) == ("Steuer", "VAT")
    assert (words("en").reason(REVERSE_CHARGE_REASON), words("en").reason(EXPORT_REASON)) == (
        REVERSE_CHARGE_REASON,
        EXPORT_REASON,
    )


def test_what_people_wrote_is_no_fact() -> None:
    assert facts_of_charge("one_time", "") is None
    assert facts_of_charge("one_time", '{"reason": "damaged", "by": "ann"}') is None
