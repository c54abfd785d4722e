"""Turns the columns of a line into a UsageRecord, or says in a sentence why it cannot be charged."""

import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import NamedTuple

from pbxbill.charging.events import Direction
from pbxbill.charging.gateway import gateway_of
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.mediation.mapping import MOMENTS, Mapping, Source
from pbxbill.mediation.moments import MomentRefused, Moments, duration_us, moments_reader
from pbxbill.mediation.record import Identification, Kind, Reason, Unusable, UsageRecord, record_key
from pbxbill.mediation.splitting import Columns
from pbxbill.money import parse_decimal

FUTURE_US = 600 * SECOND_US
"""The clocks of two machines differ; by more than this, one of them is wrong."""
LONGEST_CALL_US = 7 * 86_400 * SECOND_US
AGREEMENT_US = 2 * SECOND_US
"""Times in whole seconds may differ from a duration by so much."""
MOST_PIECES = 9 * 10**12
"""Charged as millionths, which 64 bits must hold."""
_HALF = re.compile("[\ud800-\udfff]")
MEASURES = ("messages", "bytes", "items")

Read = Callable[[Columns], str]
Seen = tuple[Moments, ...]


class Filtered(NamedTuple):
    """The mapping's filter does not want it."""


FILTERED = Filtered()


class _Refused(Exception):
    """Leaves the reading of one record with what is wrong with it."""

    def __init__(self, reason: Reason, detail: str, field: str) -> None:
        super().__init__(detail)
        self.unusable = Unusable(reason, detail[:280], field)


def _gateway(text: str) -> str:
    # Asterisk names the whole channel, others the gateway alone.
    return gateway_of(text) if "/" in text else text


def _text_of(source: Source) -> Read:
    values = source.values
    if source.constant is not None:
        constant = source.constant
        return lambda columns: constant
    if len(source.columns) == 1 and not values:
        (column,) = source.columns
        return lambda columns: columns.get(column, "")

    def read(columns: Columns) -> str:
        for column in source.columns:
            if text := columns.get(column, ""):
                return values.get(text, text)
        return ""

    return read


class RecordParser:
    """Reads the records of one mapping."""

    def __init__(self, mapping: Mapping, clock: Clock) -> None:
        self.mapping = mapping
        self._clock = clock
        self._fields = mapping.fields.sources()
        self._read = {name: _text_of(source) for name, source in self._fields.items()}
        self._account = {name: _text_of(source) for name, source in mapping.account.sources().items()}
        self._filter = mapping.filter
        self._fingerprint = mapping.fingerprint
        zone = mapping.zone
        self._moments = {
            name: (
                source,
                form := source.form or mapping.time.form,
                moments_reader(form, zone),
            )
            for name, source in self._fields.items()
            if name in MOMENTS
        }

    def wants(self, columns: Columns) -> bool:
        """Whether the filter lets a record pass."""
        return all(condition.met_by(columns.get(condition.column, "")) for condition in self._filter)

    def has_key(self, columns: Columns) -> bool:
        """Whether any column of its fingerprint holds something."""
        return any(columns.get(name, "").strip() for name in self._fingerprint)

    def key(self, columns: Columns) -> str:
        """The record's key; the same line in another file has the same one."""
        return record_key(self.mapping.name, [columns.get(name, "") for name in self._fingerprint])

    def __call__(self, columns: Columns, key: str = "") -> UsageRecord | Unusable | Filtered:
        """The record of a line; key: under which it is charged, if that is known already."""
        if not self.wants(columns):
            return FILTERED
        try:
            self._refuse_garbled(columns)
            if not self.has_key(columns):
                names = ", ".join(self._fingerprint)
                detail = f"fingerprint: {names} are empty, which tell it from other records; fill them in"
                raise _Refused(Reason.FINGERPRINT_MISSING, detail, "fingerprint")
            key = key or self.key(columns)
            match self.mapping.kind:
                case Kind.CALL:
                    return self._call(columns, key)
                case Kind.EVENT | Kind.READING:
                    return self._event(columns, key)
        except _Refused as refused:
            return refused.unusable

    # --- calls --------------------------------------------------------------------------------

    def _call(self, columns: Columns, key: str) -> UsageRecord:
        called = self._text("called", columns)
        if not called:
            raise self._missing("called", "which number was called")
        started_us, answered_us, ended_us = self._times(columns)
        return UsageRecord(
            key,
            Kind.CALL,
            self._identification(columns),
            self._direction(columns),
            self._text("caller", columns),
            called,
            started_us,
            answered_us,
            ended_us,
            0 if answered_us is None else ended_us - answered_us,
            "us",
            "",
            self._call_ids(columns),
            self._text("session_id", columns),
            _gateway(self._text("gateway", columns)),
            self._cause(columns),
            self._ringing_us(columns, started_us, ended_us),
        )

    def _ringing_us(self, columns: Columns, started_us: int, ended_us: int) -> int | None:
        """Post-dial delay; one that lies outside the call is no reason to leave it uncharged."""
        told = [at_us - started_us for at_us in self._seen("ringing", columns)]
        if (delay_us := self._duration("post_dial_delay", columns)) is not None:
            told = [delay_us]
        return min((x for x in told if 0 <= x <= ended_us - started_us), default=None)

    def _times(self, columns: Columns) -> tuple[int, int | None, int]:
        talked_us = self._duration("duration", columns)
        whole_us = self._duration("whole_duration", columns)
        is_answered = all(x.met_by(columns.get(x.column, "")) for x in self.mapping.answered_if)
        if talked_us == 0 and "answered" not in self._fields:
            is_answered = False
        starts, answers, ends = (self._seen(name, columns) for name in ("started", "answered", "ended"))
        if "answered" in self._fields and not answers:
            is_answered = False
        if not starts and not answers:
            raise self._missing("started", "when the call began")
        if not ends:
            span_us = talked_us if is_answered else (whole_us or 0)
            if span_us is None:
                raise self._missing("ended", "when the call ended")
            ends = tuple(
                at_us + span_us for at_us in (answers if is_answered and answers else starts or answers)
            )
        if is_answered and not answers:
            talked = talked_us
            answers = starts if talked is None else tuple(at_us - talked for at_us in ends)
        started_us, answered_us, ended_us = self._chosen(
            (starts or answers, answers or starts, ends),
            talked_us if is_answered else None,
            whole_us,
            columns,
        )
        self._check_order(started_us, answered_us if is_answered else None, ended_us, talked_us)
        return started_us, answered_us if is_answered else None, ended_us

    def _chosen(
        self, seen: Seen, talked_us: int | None, whole_us: int | None, columns: Columns
    ) -> tuple[int, int, int]:
        """The moments that are meant, where local times came twice."""
        starts, answers, ends = seen
        if len(starts) == len(answers) == len(ends) == 1:
            return starts[0], answers[0], ends[0]
        possible = [
            (start, answer, end)
            for start, answer, end in product(starts, answers, ends)
            if start <= answer <= end
            and (talked_us is None or abs(end - answer - talked_us) <= AGREEMENT_US)
            and (whole_us is None or abs(end - start - whole_us) <= AGREEMENT_US)
        ]
        if len(possible) == 1:
            return possible[0]
        rule = self.mapping.time.ambiguous
        if rule == "refuse" or not possible:
            field = "started" if len(starts) > 1 else "answered" if len(answers) > 1 else "ended"
            text = self._text(field, columns)[:40]
            raise _Refused(
                Reason.TIME_AMBIGUOUS,
                f"{field}: {text!r} came twice in {self.mapping.time.zone}, when clocks were put back; "
                "retry with --ambiguous earlier or later",
                field,
            )
        return min(possible) if rule == "earlier" else max(possible)

    def _check_order(
        self, started_us: int, answered_us: int | None, ended_us: int, talked_us: int | None
    ) -> None:
        if ended_us > self._clock.now_us() + FUTURE_US:
            detail = "ended: lies in the future; correct the time or its zone, or retry it when it is past"
            raise _Refused(Reason.FUTURE, detail, "ended")
        if answered_us is not None and answered_us < started_us:
            detail = "answered: lies before the start; are the columns swapped? Correct the times"
            raise _Refused(Reason.TIMES_DISORDERED, detail, "answered")
        if ended_us < (started_us if answered_us is None else answered_us):
            what = "start" if answered_us is None else "answer"
            detail = f"ended: lies before the {what}; are the columns swapped? Correct the times"
            raise _Refused(Reason.TIMES_DISORDERED, detail, "ended")
        if ended_us - started_us > LONGEST_CALL_US:
            days = (ended_us - started_us) // (86_400 * SECOND_US)
            detail = f"ended: {days} days after the start; no call lasts that long. Correct the times"
            raise _Refused(Reason.TIME_ABSURD, detail, "ended")
        if answered_us is None or talked_us is None:
            return
        apart_us = ended_us - answered_us
        if abs(apart_us - talked_us) > AGREEMENT_US:
            detail = (
                f"duration: says {talked_us // SECOND_US} s, answer and end lie "
                f"{apart_us // SECOND_US} s apart; correct what is wrong"
            )
            raise _Refused(Reason.TIMES_DISORDERED, detail, "duration")

    # --- events and readings ------------------------------------------------------------------

    def _event(self, columns: Columns, key: str) -> UsageRecord:
        (at_us, *also) = self._seen("at", columns) or (0,)
        if not at_us:
            raise self._missing("at", "when it happened")
        if also:
            rule = self.mapping.time.ambiguous
            if rule == "refuse":
                text = self._text("at", columns)[:40]
                detail = f"at: {text!r} came twice in {self.mapping.time.zone}; retry with --ambiguous"
                raise _Refused(Reason.TIME_AMBIGUOUS, detail, "at")
            at_us = at_us if rule == "earlier" else also[0]
        if at_us > self._clock.now_us() + FUTURE_US:
            raise _Refused(Reason.FUTURE, "at: lies in the future; correct the time or its zone", "at")
        reading = self.mapping.kind is Kind.READING
        measure = "" if reading else self._measure(columns)
        return UsageRecord(
            key,
            self.mapping.kind,
            self._identification(columns),
            self._direction(columns),
            self._text("caller", columns),
            self._text("meter" if reading else "called", columns),
            at_us,
            at_us,
            at_us,
            self._quantity(columns, millionths=reading),
            measure,
            self._text("service", columns)[:32] or measure,
            self._call_ids(columns),
            self._text("session_id", columns),
            _gateway(self._text("gateway", columns)),
            0,
        )

    def _quantity(self, columns: Columns, *, millionths: bool) -> int:
        text = self._text("quantity", columns).strip()
        if not text:
            raise self._missing("quantity", "how much it was")
        try:
            value = parse_decimal(text)
        except InputRefused as refused:
            raise _Refused(Reason.FIELD_MALFORMED, f"quantity: {refused}", "quantity") from None
        if not 0 <= value <= MOST_PIECES:
            detail = f"quantity: {text[:40]} is negative or more than {MOST_PIECES}; correct it or its unit"
            raise _Refused(Reason.QUANTITY_ABSURD, detail, "quantity")
        scaled = value.scaleb(6) if millionths else value
        if scaled != int(scaled):
            digits = "more than six digits after the point" if millionths else "is no whole number"
            raise _Refused(Reason.FIELD_MALFORMED, f"quantity: {text[:40]} {digits}", "quantity")
        return int(scaled)

    def _measure(self, columns: Columns) -> str:
        measure = self._text("measure", columns)
        if measure not in MEASURES:
            detail = f"measure: {measure[:40]!r} is none of {', '.join(MEASURES)}; map its values"
            raise _Refused(Reason.FIELD_MALFORMED, detail, "measure")
        return measure

    # --- fields -------------------------------------------------------------------------------

    def _text(self, name: str, columns: Columns) -> str:
        read = self._read.get(name)
        return "" if read is None else read(columns)

    def _call_ids(self, columns: Columns) -> tuple[str, ...]:
        source = self._fields.get("call_id")
        names = () if source is None else source.columns
        return tuple(dict.fromkeys(text for name in names if (text := columns.get(name, ""))))

    def _missing(self, name: str, what: str) -> _Refused:
        source = self._fields.get(name)
        column = f" (column {' or '.join(source.columns)})" if source is not None and source.columns else ""
        return _Refused(Reason.FIELD_MISSING, f"{name}{column}: is empty; fill in {what}", name)

    def _seen(self, name: str, columns: Columns) -> Moments:
        """What a moment's field may mean; empty where there is none."""
        known = self._moments.get(name)
        if known is None:
            return ()
        source, form, read = known
        texts = self._latest_texts(source, columns) if source.latest else [self._text(name, columns)]
        found: list[Moments] = []
        for text in texts:
            if not text or (form.startswith("epoch_") and not text.strip("0")):
                return ()
            try:
                found.append(read(text.strip()))
            except MomentRefused as refused:
                raise _Refused(
                    refused.reason, f"{name}: {refused}; correct it or the mapping", name
                ) from None
        return max(found)

    @staticmethod
    def _latest_texts(source: Source, columns: Columns) -> list[str]:
        return [columns.get(column, "") for column in source.columns]

    def _duration(self, name: str, columns: Columns) -> int | None:
        text = self._text(name, columns).strip()
        if not text:
            return None
        try:
            found_us = duration_us(text, self._fields[name].unit)
        except InputRefused as refused:
            raise _Refused(Reason.FIELD_MALFORMED, f"{name}: {refused}; correct it", name) from None
        if found_us < 0:
            detail = f"{name}: {text[:40]} is negative; are the columns swapped? Correct it"
            raise _Refused(Reason.TIMES_DISORDERED, detail, name)
        if found_us > LONGEST_CALL_US:
            detail = f"{name}: {text[:40]} is longer than any call; is its unit right? Correct it"
            raise _Refused(Reason.TIME_ABSURD, detail, name)
        return found_us

    def _identification(self, columns: Columns) -> Identification:
        read = {name: get(columns).strip() for name, get in self._account.items()}
        found = Identification(
            read.get("did", ""), read.get("sip", ""), read.get("ip", ""), read.get("caller_id", "")
        )
        if not any(found) and self.mapping.kind is not Kind.READING:
            names = ", ".join(_columns_of(self.mapping.account.sources().values()))
            detail = f"account: {names} are empty; fill in whose record it is"
            raise _Refused(Reason.FIELD_MISSING, detail, "account")
        return found

    def _direction(self, columns: Columns) -> Direction:
        text = self._text("direction", columns)
        if text in {"", "outbound"}:
            return Direction.OUTBOUND
        if text == "inbound":
            return Direction.INBOUND
        detail = f"direction: {text[:40]!r} is neither inbound nor outbound; map its values"
        raise _Refused(Reason.FIELD_MALFORMED, detail, "direction")

    def _cause(self, columns: Columns) -> int:
        text = self._text("hangup_cause", columns)
        # What a switch of another kind says is no reason to leave a call uncharged.
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0

    def _refuse_garbled(self, columns: Columns) -> None:
        for name, text in columns.items():
            if "\0" in text or "\ufffd" in text:
                what = "a NUL" if "\0" in text else f"bytes that are no {self.mapping.file.encoding}"
                detail = f"{name}: holds {what}; correct it, or name the file's encoding in the mapping"
                raise _Refused(Reason.NOT_TEXT, detail, name)
            if not text.isascii() and _HALF.search(text):
                detail = f"{name}: holds half a character (a lone surrogate); correct it"
                raise _Refused(Reason.NOT_TEXT, detail, name)


def _columns_of(sources: Iterable[Source]) -> list[str]:
    return [column for source in sources for column in source.columns]
