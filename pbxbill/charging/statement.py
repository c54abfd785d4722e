"""Writes an explanation as text that a caller's question can be answered with."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pbxbill.charging.explain import Explanation, LevelExplanation, price_text, seconds_text
from pbxbill.money import Unit, format_amount

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_text(at_us: int | None) -> str:
    """A moment in UTC to the microsecond."""
    if at_us is None:
        return "-"
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(sep=" ", timespec="microseconds")[:26] + " UTC"


def statement(explanation: Explanation) -> str:
    """The whole explanation, a line for each fact."""
    unit = explanation.levels[0].tariff.unit if explanation.levels else None
    return "\n".join(
        [
            *_call(explanation),
            *(line for level in explanation.levels for line in _level(level)),
            *_history(explanation, unit),
        ]
    )


def _call(explanation: Explanation) -> Iterator[str]:
    call = explanation.call
    yield f"Call {call.session_id} ({call.state})"
    yield f"  switch       {call.switch}, call id {call.call_id}, {call.direction}"
    yield f"  account      {call.account or '(nobody was identified)'}"
    yield f"  dialled      {call.dialled}, called {call.called or '-'} {call.destination}".rstrip()
    yield f"  requested    {moment_text(call.started_us)}"
    if call.denial:
        yield f"  denied       {call.denial}: {call.detail}"
        return
    yield f"  answered     {moment_text(call.answered_us)}"
    if call.ended_us is None:
        yield f"  granted      {seconds_text(call.granted_us)} so far"
        return
    yield f"  ended        {moment_text(call.ended_us)}, cause {call.hangup_cause}"
    yield f"  evidence     {call.evidence}"
    if call.answered_us is not None:
        yield f"  lasted       {seconds_text(call.duration_us)}, charged {seconds_text(call.billed_us)}"
    if call.uncharged_us:
        why = "the switch's lateness with the cut, or beyond the longest call"
        yield f"  not charged  {seconds_text(call.uncharged_us)}: {why}"
    if call.detail:
        yield f"  note         {call.detail}"


def _level(level: LevelExplanation) -> Iterator[str]:
    rate, origin, tariff = level.rate, level.origin, level.tariff
    unit = tariff.unit
    yield ""
    yield f"Level {level.level}: account {level.account}"
    yield f"  tariff       {tariff.name} version {level.tariff_number}, prices {_tax(level)}"
    yield (
        f"  deck         {origin.deck} version {origin.number}, in force from "
        f"{moment_text(origin.effective_from_us)}, source {origin.source or '-'}"
    )
    yield (
        f"  rate         {rate.id}: prefix {rate.prefix or '(default)'} {rate.destination}, "
        f"{price_text(rate.price_per_min)} {unit.code} per minute, "
        f"{rate.initial_increment_s}/{rate.following_increment_s}"
    )
    for line in level.arithmetic:
        yield f"    {line.label:15}{line.value}"
    if level.total is None:
        yield f"  reserved     {format_amount(level.reserved, unit)} {unit.code} for the time granted so far"
        return
    yield f"  taken        {format_amount(level.total, unit)} {unit.code}"
    if level.uncollected:
        yield f"  uncollected  {format_amount(level.uncollected, unit)} {unit.code}: the funds had ended"
    if level.entry_id:
        yield f"  entry        {level.entry_id}"
    for posting in level.postings:
        side = "debit" if posting.amount > 0 else "credit"
        amount = format_amount(abs(posting.amount), unit)
        yield f"    {posting.ledger_account:38}{side:7}{amount}"


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
