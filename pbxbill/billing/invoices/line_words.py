"""What the lines say that nobody wrote by hand: facts, and the words for them in a language. Pure.

A line that is reckoned keeps what it is about as facts, beside a plain English description for the
operator's lists. Its document says the same in the document's own language, with the issuer's words and with
figures as that language writes them. What people wrote is never translated: lines and charges by hand, and in
facts the names of plans, of their charges and of meters, and what a payment was for.

    usage        what: outbound, inbound, usage, volume or correction; where: the class of the destination;
                 measure; count
    charge       kind; plan; name, empty for a minimum spend or a fee; piece, above 1: a later step of its
                 price; withdrawn
    reading      meter, consumed (with READING_SCALE digits), measure
    received     kind: top-up or payment; memo
    adjustment, unnamed   nothing is known of them
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from pbxbill.billing.charge import ChargeKind
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.texts import built_in_texts
from pbxbill.billing.taxes.tax_rules import EXPORT_REASON, REVERSE_CHARGE_REASON, TAKEN_TAX
from pbxbill.money import Unit, to_decimal
from pbxbill.rating.consumption import READING_SCALE

Facts = Mapping[str, str | int]

_MEASURES = {"messages": "line_messages", "bytes": "line_data"}
_REASONS = {REVERSE_CHARGE_REASON: "reason_reverse_charge", EXPORT_REASON: "reason_export"}
_RECEIVED = {"top-up": "line_top_up", "payment": "line_payment"}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of documents in one language."""

    texts: Mapping[str, str]
    form: Formatting

    def description(self, facts: Facts) -> str:
        """What a line is for."""
        match facts["of"]:
            case "usage":
                return self._usage(facts)
            case "charge":
                return self._charge(facts)
            case "reading":
                exact = to_decimal(int(facts["consumed"]), READING_SCALE)
                consumed = f"{self.form.number(exact, 0, READING_SCALE)} {facts['measure']}"
                return self.say("line_reading", meter=facts["meter"], consumed=consumed)
            case "received":
                return self.received(str(facts["kind"]), str(facts["memo"]))
            case "adjustment":
                return self.texts["line_adjustment"]
            case _:
                return self.texts["line_charge"]

    def received(self, kind: str, memo: str) -> str:
        """Money that came in, and what was written with it."""
        what = self.texts[_RECEIVED[kind]]
        return self.say("line_with_memo", what=what, memo=memo) if memo else what

    def reckoned(self, explanation: Mapping[str, Any]) -> str:
        """How a charge's amount came about, where it is a part of a period's; empty: it is all of it."""
        if "minimum" in explanation:
            minimum, usage = (self.form.amount(explanation[name]) for name in ("minimum", "usage"))
            return self.say("minimum_and_usage", minimum=minimum, usage=usage)
        used, of = explanation.get("used"), explanation.get("of")
        if used is None or of is None or used == of or "whole" not in explanation:
            return ""
        return self.say(
            "share_of_seconds" if explanation.get("by") == "second" else "share_of_days",
            used=self.form.number(used),
            of=self.form.number(of),
            whole=self.form.amount(explanation["whole"]),
        )

    def reason(self, reason: str) -> str:
        """Why no tax is owed: ours in the language, an issuer's own words as they are."""
        return self.texts[_REASONS[reason]] if reason in _REASONS else reason

    def tax_name(self, name: str) -> str:
        """A tax that no issuer gave a name is called just that."""
        return self.texts["tax"] if name == TAKEN_TAX else name

    def say(self, text: str, **values: str | int) -> str:
        """A text with its values; what a template's own words ask for that is no value of ours stays."""
        return Template(self.texts[text]).safe_substitute(values)

    def _usage(self, facts: Facts) -> str:
        what, where, measure = str(facts["what"]), str(facts["where"]), str(facts["measure"])
        named_class = self.texts.get(f"class_{where}", where.replace("_", " "))
        match what:
            case "volume":
                return self.texts["line_volume"]
            case "correction":
                told = self.texts["line_corrections"]
            case "inbound":
                told = self.texts["line_calls_incoming"]
            case "outbound" if not where or f"line_calls_{where}" in self.texts:
                told = self.texts[f"line_calls_{where}" if where else "line_calls"]
            case "outbound":
                told = self.say("line_of_class", **{"what": self.texts["line_calls"], "class": named_class})
            case _:
                told = self.texts[_MEASURES.get(measure, "line_other_usage")]
                if where:
                    told = self.say("line_of_class", **{"what": told, "class": named_class})
        return self.say("line_counted", what=told, count=self.form.number(int(facts["count"])))

    def _charge(self, facts: Facts) -> str:
        told = str(facts["name"]) or self.texts[f"line_{facts['kind']}"]
        if int(facts.get("piece", 1)) > 1:
            told = self.say("line_from_piece", what=told, piece=self.form.number(int(facts["piece"])))
        if facts["kind"] == ChargeKind.CREDIT:
            told = self.say("line_given_back", what=told)
        if facts.get("plan"):
            told = self.say("line_of_plan", plan=facts["plan"], what=told)
        return self.say("line_withdrawn", what=told) if facts.get("withdrawn") else told


ENGLISH = Words(built_in_texts("en"), Formatting("en", Unit("EUR")))
"""Of the operator's lists. No description holds an amount: the unit plays no part."""


def facts_of_charge(kind: str, explanation: str) -> Facts | None:
    """What a charge's line is about; None: somebody wrote what it says."""
    known = json.loads(explanation) if explanation else {}
    if "charge" not in known:
        return None
    withdrawn = {"withdrawn": 1} if "withdraws" in known else {}
    said = {"plan": known.get("plan", ""), "name": known["charge"], "piece": known.get("piece", 1)}
    return {"of": "charge", "kind": kind} | said | withdrawn


def facts_to_json(facts: Facts | None) -> str:
    """As a line keeps them; empty: its description says what somebody wrote."""
    return "" if facts is None else json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
