"""Writes an explanation as text: all of it for an operator, its own charge for a customer."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pbxbill.charging.arithmetic import Line, price_text, seconds_text
from pbxbill.charging.events import DenialReason
from pbxbill.charging.explain import exchange_text
from pbxbill.charging.explanation import (
    CallFacts,
    Correction,
    Cost,
    Explanation,
    LevelExplanation,
    WalletShare,
)
from pbxbill.money import Rounding, Unit, format_amount, round_ratio, to_decimal
from pbxbill.rating.mark_up import calendar_of
from pbxbill.rating.stretch import own_prices
from pbxbill.rating.tariff import BandPrice, Rate, Tariff

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Audience(StrEnum):
    """Who reads it."""

    OPERATOR = "operator"
    """Every level, the ledger, what was reserved, what the carrier asks and what is left."""
    ACCOUNT = "customer"
    """What the account itself was charged."""


DENIALS = {
    DenialReason.CREDIT_LIMIT_REACHED: "the funds were used up, or held by other calls",
    DenialReason.END_USER_SERVICE_DENIED: "the account, or the line that called, was suspended",
    DenialReason.USER_UNKNOWN: "no account belongs to the line that called",
    DenialReason.RATING_FAILED: "there is no price for this number",
    DenialReason.SERVICE_UNAVAILABLE: "the billing system could not answer in time",
    DenialReason.SIMULTANEOUS_CALLS: "as many calls were up as are allowed at once",
    DenialReason.CALL_RATE: "calls came faster than is allowed",
    DenialReason.SPENDING_LIMIT: "what may be spent in this time was spent, or held by live calls",
    DenialReason.DESTINATION_BARRED: "calls to this destination are not allowed",
    DenialReason.COUNTRY_HELD: "the first call to this country waits for a release",
    DenialReason.SHORT_CALLS: "too many short calls had come in a short time",
    DenialReason.LOSS_MAKING: "it would have cost more than it brings",
}
"""Why a call was denied, in words for whoever wanted to call."""


def moment_text(at_us: int | None) -> str:
    """A moment in UTC to the microsecond."""
    if at_us is None:
        return "-"
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(sep=" ", timespec="microseconds")[:26] + " UTC"


def statement(explanation: Explanation, audience: Audience = Audience.OPERATOR) -> str:
    """The explanation, a line for each fact."""
    lines = list(_call(explanation, audience))
    if audience is Audience.ACCOUNT:
        for level in explanation.levels[:1]:
            lines += _level(level, audience)
        return "\n".join(lines)
    unit = explanation.levels[0].shares[0].unit if explanation.levels else None
    for below, level in zip((None, *explanation.levels), explanation.levels, strict=False):
        lines += _level(level, audience)
        if below is not None:
            lines += _kept(below, level)
    if explanation.cost is not None:
        lines += _cost(explanation.cost, explanation.levels)
    return "\n".join([*lines, *_history(explanation, unit)])


def _call(explanation: Explanation, audience: Audience) -> Iterator[str]:
    call = explanation.call
    # How we came to know of the call is nothing that a customer could do anything with.
    told = audience is Audience.OPERATOR or call.state not in {"imported", "unauthorized"}
    yield f"Call {call.session_id}" + (f" ({call.state})" if told else "")
    if audience is Audience.OPERATOR:
        yield f"  switch       {call.switch}, call id {call.call_id}, {call.direction}"
    yield f"  account      {call.account or '(nobody was identified)'}"
    yield f"  dialled      {call.dialled}, called {call.called or '-'} {call.destination}".rstrip()
    yield f"  requested    {moment_text(call.started_us)}"
    if call.denial:
        yield f"  denied       {_denied(call.denial, call.detail, audience)}"
        return
    if call.ringing_us is not None:
        yield f"  rang         {seconds_text(call.ringing_us)} after it was dialled"
    yield f"  answered     {moment_text(call.answered_us)}"
    if call.ended_us is None:
        yield f"  granted      {seconds_text(call.granted_us)} so far"
        return
    yield f"  ended        {moment_text(call.ended_us)}, cause {call.hangup_cause}"
    if audience is Audience.OPERATOR:
        imported = ": read from a file, not seen live" if call.evidence == "import" else ""
        yield f"  evidence     {call.evidence}{imported}"
    yield from _duration(call, free=explanation.is_emergency)
    if audience is Audience.ACCOUNT:
        return
    if call.detail:
        yield f"  note         {call.detail}"
    if call.shadow is not None:
        yield f"  shadow       watched only; {call.shadow or 'enforcement would have let it go on'}"


def _duration(call: CallFacts, *, free: bool) -> Iterator[str]:
    if call.direction == "usage":
        yield f"  used         {call.detail}"
        return
    if call.answered_us is not None:
        charged = "" if free else f", charged {seconds_text(call.billed_us)}"
        yield f"  lasted       {seconds_text(call.duration_us)}{charged}"
    if free:
        yield "  price        none: emergency calls are free"
    elif call.uncharged_us:
        why = "the switch's lateness with the cut, or beyond the longest call"
        yield f"  not charged  {seconds_text(call.uncharged_us)}: {why}"


def _denied(reason: str, detail: str, audience: Audience) -> str:
    words = DENIALS.get(DenialReason(reason), "") if reason in set(DenialReason) else ""
    if audience is Audience.ACCOUNT:
        return words or reason
    return f"{reason}: {detail}" + (f" ({words})" if words else "")


def _level(level: LevelExplanation, audience: Audience) -> Iterator[str]:
    rate, origin, tariff = level.rate, level.origin, level.tariff
    unit = tariff.unit
    yield ""
    if audience is Audience.OPERATOR:
        yield f"Level {level.level}: account {level.account}"
        yield f"  tariff       {tariff.name} version {level.tariff_number}, prices {_tax(level)}"
        yield (
            f"  deck         {origin.deck} version {origin.number}, in force from "
            f"{moment_text(origin.effective_from_us)}, source {origin.source or '-'}"
        )
        yield from _lines(level.marked_up)
        yield f"  rate         {rate.id}: {_prefix(rate)}"
    else:
        yield f"Charge by tariff {tariff.name}, prices {_tax(level)}"
        yield f"  rate         {_prefix(rate)}"
    yield from _lines(rate_lines(rate, tariff))
    yield "  reckoned"
    yield from _lines(level.arithmetic)
    for share in level.shares:
        yield from _share(share, unit, audience)
    for text in level.limits:
        yield f"  counts       {text}"
    for share in level.priced_anew:
        yield from _priced_anew(share, audience)
    for correction in level.corrections:
        yield from _correction(correction, unit, audience)
    if level.repriced is not None:
        now = level.repriced
        yield f"  new price    by tariff {now.tariff.name}, {_prefix(now.rate)}"
        yield from _lines(rate_lines(now.rate, now.tariff))
        yield "  reckoned"
        yield from _lines(now.arithmetic)


def _lines(lines: Iterable[Line]) -> Iterator[str]:
    for line in lines:
        # The moments of a stretch are longer than any word.
        yield f"    {line.label:15}{'  ' if len(line.label) > 14 else ''}{line.value}"


def _prefix(rate: Rate) -> str:
    return f"prefix {rate.prefix or '(default)'} {rate.destination}"


def rate_lines(rate: Rate, tariff: Tariff) -> Iterator[Line]:
    """The prices of a rate; where bands decide, each band's."""
    terms = rate.terms
    bands = () if terms is None or calendar_of(rate, tariff) is None else terms.bands
    for name, price in bands:
        yield Line(f"band {name}", _price(price, tariff))
    if terms is None or not (bands and terms.banded_only):
        yield Line("otherwise" if bands else "price", _price(own_prices(rate), tariff))
    if terms is not None and terms.maximum_charge is not None:
        ends = ", where the call ends" if terms.ends_at_maximum else ""
        yield Line("maximum", f"{price_text(terms.maximum_charge)} {tariff.unit.code} a call{ends}")


def _price(price: BandPrice, tariff: Tariff) -> str:
    code, short = tariff.unit.code, "s" if tariff.measure == "seconds" else tariff.measure
    per = "minute" if tariff.measure == "seconds" and tariff.per == 60 else f"{tariff.per} {tariff.measure}"
    parts = [
        f"{price_text(price.price_per_min)} {code} per {per}",
        f"{price.initial_increment_s}/{price.following_increment_s}",
    ]
    if price.connection_fee:
        parts.append(f"connection fee {price_text(price.connection_fee)} {code}")
    if price.minimum_charge:
        parts.append(f"minimum {price_text(price.minimum_charge)} {code}")
    if price.free_s:
        parts.append(f"the first {price.free_s} {short} free")
    parts += [
        f"from {step.from_s} {short} on {price_text(step.price_per_min)} {code}" for step in price.steps
    ]
    return ", ".join(parts)


def _share(share: WalletShare, tariff_unit: Unit, audience: Audience) -> Iterator[str]:
    unit = share.unit
    by = "" if share.exchange is None else f", at {exchange_text(share.exchange)}"
    if share.exchange is not None and audience is Audience.OPERATOR:
        by += f" (exchange rate {share.exchange.id} of {moment_text(share.exchange.effective_from_us)})"
    if share.total is None:
        yield f"  reserved     {_amount(share.reserved, unit)}{by} for the time granted so far"
        return
    yield f"  taken        {_amount(share.total, unit)}{by}"
    if share.uncollected:
        yield f"  uncollected  {_amount(share.uncollected, tariff_unit)}: the funds had ended"
    if audience is Audience.OPERATOR:
        yield from _entry(share)


def _entry(share: WalletShare) -> Iterator[str]:
    if share.entry_id:
        yield f"  entry        {share.entry_id}"
    for posting in share.postings:
        side = "debit" if posting.amount > 0 else "credit"
        amount = format_amount(abs(posting.amount), share.unit)
        yield f"    {posting.ledger_account:38}{side:7}{amount}"


def _priced_anew(share: WalletShare, audience: Audience) -> Iterator[str]:
    total = share.total or 0
    what = "given back" if total < 0 else "taken"
    yield (
        f"  cycle        {_amount(abs(total), share.unit)} {what}: this call reached another step, and what "
        "was used before it in the cycle costs what that step says"
    )
    if audience is Audience.OPERATOR:
        yield from _entry(share)


def _correction(correction: Correction, tariff_unit: Unit, audience: Audience) -> Iterator[str]:
    unit, delta = correction.unit, correction.new_total - correction.old_total
    moved = "given back" if delta < 0 else "taken"
    yield (
        f"  corrected    {_amount(correction.old_total, unit)} became {_amount(correction.new_total, unit)} "
        f"on {moment_text(correction.at_us)[:10]}: {_amount(abs(delta), unit)} {moved}, of which tax "
        f"{format_amount(abs(correction.tax_delta), unit)}"
    )
    if audience is Audience.ACCOUNT:
        return
    uncollected = correction.uncollected_delta
    if uncollected:
        more = "more" if uncollected > 0 else "less"
        yield f"    {_amount(abs(uncollected), tariff_unit)} {more} is uncollected"
    yield (
        f"    run {correction.run_id}, tariff {correction.tariff}, rate {correction.rate_id}, "
        f"entry {correction.entry_id or '-'}"
    )


def _kept(below: LevelExplanation, above: LevelExplanation) -> Iterator[str]:
    left = left_to(below, above)
    if left is not None:
        unit = below.shares[0].unit
        yield f"  margin       {_amount(left, unit)} without tax is left to {above.account}"


def left_to(below: LevelExplanation, above: LevelExplanation) -> int | None:
    """What is left to the account of a level, without tax, between what it charges and what it is charged;
    None where that is not one amount."""
    if len(below.shares) > 1 or len(above.shares) > 1:
        return None
    (ours,), (theirs,) = below.shares, above.shares
    if ours.unit != theirs.unit or ours.total is None or theirs.total is None:
        return None
    return _net(below) - _net(above)


def _net(level: LevelExplanation) -> int:
    corrected = sum(x.new_total - x.old_total - x.tax_delta for x in level.corrections)
    return (level.total or 0) - level.tax + corrected


def _cost(cost: Cost, levels: tuple[LevelExplanation, ...]) -> Iterator[str]:
    yield ""
    yield f"Carrier {cost.carrier}, by gateway {cost.gateway}"
    if cost.rate_id is None:
        yield f"  cost         unknown: tariff {cost.tariff} has no rate for the number"
        return
    price = f"{price_text(cost.price_per_min)} {cost.unit.code} per minute"
    prefix = f"prefix {cost.prefix or '(default)'}"
    yield f"  rate         {cost.rate_id} of tariff {cost.tariff}: {prefix}, {price}"
    yield f"  cost         {_amount(cost.cost, cost.unit)} for {cost.billable_s} s, without tax"
    if cost.margin is not None and levels:
        unit = levels[-1].shares[0].unit
        share = "" if cost.margin.ppm is None else f", {_percent(cost.margin.ppm)} %"
        revenue = _amount(cost.margin.revenue, unit)
        yield f"  margin       {_amount(cost.margin.amount, unit)}{share} of {revenue}"


def _percent(ppm: int) -> str:
    tenths = round_ratio(abs(ppm), 1000, Rounding.HALF_UP)
    return f"{to_decimal(-tenths if ppm < 0 else tenths, 1):.1f}"


def _amount(amount: int, unit: Unit) -> str:
    return f"{format_amount(amount, unit)} {unit.code}"


def _tax(level: LevelExplanation) -> str:
    return {"none": "without tax", "exclusive": "before tax", "inclusive": "with tax"}[level.tariff.tax_mode]


def _history(explanation: Explanation, unit: Unit | None) -> Iterator[str]:
    if not explanation.history:
        return
    yield ""
    yield "Reservation"
    for step in explanation.history:
        held = f", {format_amount(step.reserved, unit)} {unit.code} reserved" if unit else ""
        yield f"  {moment_text(step.at_us)}  {step.verb:8} {seconds_text(step.granted_us)}{held}"
