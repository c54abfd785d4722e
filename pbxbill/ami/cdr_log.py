"""Reads the CDR log that dialplan/cdr_custom_pbxbill.conf makes Asterisk write, a piece at a time.

A session can have several rows (a transfer starts a new one): those of one reading are merged, and the paid
leg's end is the last of its rows. A row can speak of several sessions: a leg that is paid for by one may
itself have called on, paid for by another, and a call to a DID may have been forwarded.
Lines that cannot be used are kept aside beside the log and counted; of one that is longer than any record
only the beginning is kept.
"""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from pbxbill.ami.wire import timestamp_us
from pbxbill.charging.events import Direction
from pbxbill.charging.gateway import gateway_of
from pbxbill.charging.hangup import HangupCause
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused
from pbxbill.ids import is_id

log = structlog.get_logger(__name__)

COLUMNS = 16
CHUNK_BYTES = 4 * 1024 * 1024
MAX_REMEMBERED = 50_000
FUTURE_US = 60 * SECOND_US
"""How much later than now a call may have ended: the clocks of two machines differ."""

_ROW = re.compile(r'"(?:[^"]|"")*"(?:,"(?:[^"]|"")*")*')
_UNIQUEID = re.compile(r"(?:(?P<system>[^\s/]+)-)?(?P<epoch>[0-9]{1,12})\.[0-9]{1,10}")

CAUSE_OF_DISPOSITION = {
    "ANSWERED": HangupCause.NORMAL_CLEARING,
    "BUSY": HangupCause.USER_BUSY,
    "NO ANSWER": HangupCause.NO_ANSWER,
    "CONGESTION": HangupCause.NO_CIRCUIT,
    "FAILED": HangupCause.TEMPORARY_FAILURE,
}


@dataclass(frozen=True, slots=True)
class _Paid:
    """SESSION/LEG/ANSWER/CHANNEL as the dialplan writes it when a paid leg answers."""

    session_id: str
    leg: str
    answered_us: int
    gateway: str


def _parse_paid(text: str) -> _Paid | None:
    if not text:
        return None
    session_id, leg, moment, channel = [*text.split("/", 3), "", "", ""][:4]
    answered_us = timestamp_us(moment)
    if not (leg and answered_us):
        raise InputRefused(f"{text[:80]!r} names no paid leg")
    return _Paid(_session(session_id), leg, answered_us, gateway_of(channel))


def _session(text: str) -> str:
    if text and not is_id(text):
        raise InputRefused(f"{text[:40]!r} is no session")
    return text


def _check_ids(ids: Iterable[str], ended_us: int) -> None:
    """All ids of a row are this switch's: SYSTEMNAME-EPOCH.N or EPOCH.N, made before the call ended."""
    systems = set()
    for text in ids:
        match = _UNIQUEID.fullmatch(text)
        if match is None or int(match["epoch"]) * SECOND_US > ended_us:
            raise InputRefused(f"{text[:80]!r} is no channel of this call")
        systems.add(match["system"])
    if len(systems) != 1:
        raise InputRefused("channels of several switches in one row")


def _check_times(started_us: int, answered_us: int, ended_us: int, latest_us: int | None) -> None:
    if ended_us < max(started_us, answered_us):
        raise InputRefused("a record that ends before it starts")
    if latest_us is not None and ended_us > latest_us:
        raise InputRefused("a record of the future")


def parse_rows(line: str, latest_us: int | None = None) -> list[SwitchRecord]:
    """The records of one line: none if it is not our business.

    Only lines that our mapping can have written count: every field quoted, the moments in order and none
    after latest_us, channels of one switch.
    """
    if _ROW.fullmatch(line) is None:
        raise InputRefused("not every field is quoted: install the cdr_custom mapping that pbxbill ships")
    fields = next(csv.reader([line], strict=True))
    if len(fields) != COLUMNS:
        raise InputRefused(f"{len(fields)} columns instead of {COLUMNS}")
    (session_id, inbound, mode, number, direction, call_id, linked_id, account, caller) = fields[:9]
    started_us, answered_us, ended_us = (timestamp_us(text) for text in fields[9:12])
    if not started_us or not ended_us:
        raise InputRefused("a record without start or end")
    _check_times(started_us, answered_us or 0, ended_us, latest_us)
    row = SwitchRecord(
        session_id=_session(session_id),
        call_id=linked_id or call_id,
        account_code=fields[15] or account,
        direction=Direction.OUTBOUND,
        caller=caller,
        dialled=number,
        started_us=started_us,
        answered_us=None,
        ended_us=ended_us,
        hangup_cause=int(CAUSE_OF_DISPOSITION.get(fields[12], HangupCause.NORMAL_CLEARING)),
        paid_leg="",
        offline=mode in {"offline", "unasked"},
    )
    inbound_session, _, did = inbound.partition("/")
    trunk = replace(
        row,
        session_id=_session(inbound_session),
        direction=Direction.INBOUND,
        dialled=did or number,
        answered_us=answered_us or None,
        paid_leg=call_id,
    )
    records = [trunk] if inbound else []
    paid = [entry for entry in map(_parse_paid, fields[13:15]) if entry is not None]
    _check_ids([call_id, linked_id or call_id, *(entry.leg for entry in paid)], ended_us)
    if any(entry.answered_us > ended_us for entry in paid):
        raise InputRefused("a leg that answered after its end")
    records += [
        replace(
            row,
            session_id=entry.session_id,
            paid_leg=entry.leg,
            answered_us=entry.answered_us,
            gateway=entry.gateway,
        )
        for entry in paid
        if entry.session_id or mode == "unasked"
    ]
    if session_id and session_id not in {entry.session_id for entry in paid}:
        records.append(row)
    if mode == "unasked" and direction == "inbound" and not inbound:
        records.append(trunk)
    return records


def merge(records: Iterable[SwitchRecord]) -> list[SwitchRecord]:
    """One record per session: of the paid leg the first answer and the last end, else the whole call."""
    merged: dict[str, SwitchRecord] = {}
    for record in records:
        key = record.session_id or f"unasked {record.call_id} {record.paid_leg}"
        known = merged.get(key)
        merged[key] = record if known is None else _merge_two(known, record)
    return list(merged.values())


def _merge_two(one: SwitchRecord, two: SwitchRecord) -> SwitchRecord:
    answered = [record for record in (one, two) if record.answered_us is not None]
    if len(answered) == 1:
        # The row without the paid leg is the caller's own: a denied second attempt, a menu after the call.
        other = two if answered[0] is one else one
        return replace(answered[0], started_us=min(answered[0].started_us, other.started_us))
    first = one if one.started_us <= two.started_us else two
    last = two if first is one else one
    moments = [record.answered_us for record in answered if record.answered_us is not None]
    return replace(
        first,
        answered_us=min(moments) if moments else None,
        ended_us=max(one.ended_us, two.ended_us),
        hangup_cause=last.hangup_cause,
    )


class CdrLog:
    """The log file, read onwards from where the last reading stopped."""

    def __init__(
        self,
        path: Path,
        *,
        backlog_bytes: int,
        on_bad_line: Callable[[], None] = lambda: None,
        now_us: Callable[[], int] | None = None,
    ) -> None:
        """now_us: the switch's clock, from any thread; None: a row's end is not compared with it."""
        self._path = path
        self._backlog_bytes = backlog_bytes
        self._on_bad_line = on_bad_line
        self._now_us = now_us
        self._inode: int | None = None
        self._offset = 0
        self._recent: dict[str, SwitchRecord] = {}

    def read(self) -> list[SwitchRecord]:
        """The records written since the last reading, merged; none if the file is not there."""
        records: list[SwitchRecord] = []
        try:
            with self._path.open("rb") as file:
                for line in self._new_lines(file.fileno()):
                    records += self._parse(line)
        except FileNotFoundError:
            return []
        except OSError as failure:
            # It is read on from here the next time; until then calls are settled without it.
            log.warning("cdr_log_unreadable", file=str(self._path), reason=str(failure))
        fresh = merge(records)
        for record in fresh:
            self._remember(record)
        return fresh

    def since(self, since_us: int) -> list[SwitchRecord]:
        """The records of calls that ended after a moment, merged; also from the file rotated last."""
        records: list[SwitchRecord] = []
        for path in (self._path.with_name(self._path.name + ".1"), self._path):
            try:
                with path.open("rb") as file:
                    start = max(0, os.fstat(file.fileno()).st_size - self._backlog_bytes)
                    start = (_next_line(file.fileno(), start) or start) if start else 0
                    for line, _ in _lines(file.fileno(), start):
                        records += [r for r in self._parse(line, first=False) if r.ended_us >= since_us]
            except FileNotFoundError:
                continue
            except OSError as failure:
                log.warning("cdr_log_unreadable", file=str(path), reason=str(failure))
        return merge(records)

    def of_session(self, session_id: str) -> SwitchRecord | None:
        """What the log says of a session, as far as it was read."""
        return self._recent.get(session_id)

    def _remember(self, record: SwitchRecord) -> None:
        if not record.session_id:
            return
        known = self._recent.pop(record.session_id, None)
        self._recent[record.session_id] = record if known is None else _merge_two(known, record)
        while len(self._recent) > MAX_REMEMBERED:
            self._recent.pop(next(iter(self._recent)))

    def _new_lines(self, descriptor: int) -> Iterable[bytes]:
        status = os.fstat(descriptor)
        if status.st_ino != self._inode or status.st_size < self._offset:
            # Another file than last time: it was rotated, or this is the first reading.
            first = self._inode is None
            self._inode = status.st_ino
            self._offset = max(0, status.st_size - self._backlog_bytes) if first else 0
            if self._offset:
                self._offset = _next_line(descriptor, self._offset) or self._offset
        for line, offset in _lines(descriptor, self._offset):
            self._offset = offset
            yield line

    def _parse(self, line: bytes, *, first: bool = True) -> list[SwitchRecord]:
        try:
            if len(line) >= CHUNK_BYTES:
                raise InputRefused(f"a line of {CHUNK_BYTES} bytes or more")
            latest_us = self._now_us() + FUTURE_US if self._now_us is not None else None
            return parse_rows(line.decode("utf-8", "replace"), latest_us) if line.strip() else []
        except (InputRefused, csv.Error) as refused:
            if not first:
                return []  # it was counted and kept when the log was followed
            self._on_bad_line()
            log.warning("cdr_line_kept_aside", reason=str(refused))
            self._keep_aside(line)
            return []

    def _keep_aside(self, line: bytes) -> None:
        aside = self._path.with_name(self._path.name + ".refused")
        try:
            with aside.open("ab") as file:
                file.write(line + b"\n")
        except OSError as failure:
            log.warning("cdr_line_lost", reason=str(failure), line=line[:500].decode("utf-8", "replace"))


def _lines(descriptor: int, offset: int) -> Iterator[tuple[bytes, int]]:
    """The whole lines from an offset on, each with the offset behind it; of one too long a chunk."""
    while data := os.pread(descriptor, CHUNK_BYTES, offset):
        if end := data.rfind(b"\n") + 1:
            for line in data[:end].split(b"\n")[:-1]:
                offset += len(line) + 1
                yield line, offset
        elif len(data) == CHUNK_BYTES and (behind := _next_line(descriptor, offset)) is not None:
            offset = behind
            yield data, offset
        else:
            return  # a line that is still being written


def _next_line(descriptor: int, offset: int) -> int | None:
    """The offset behind the line at an offset, however long it is; None: its end is not written yet."""
    while data := os.pread(descriptor, CHUNK_BYTES, offset):
        if end := data.find(b"\n") + 1:
            return offset + end
        offset += len(data)
    return None
