"""FreeSWITCH's own record of ended calls: mod_json_cdr's files, or mod_cdr_csv's with the template we ship.

It is what remains of a call that ended while no daemon listened. Files may be half written, broken or not
UTF-8: what makes no sense is counted and put aside, what cannot be read is counted and read the next time.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import structlog

from pbxbill.charging.events import Direction
from pbxbill.charging.reconcile import SwitchRecord
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.esl.causes import cause_number
from pbxbill.esl.events import MAX_MOMENT_US, gateway_name, is_channel_id, ringing_read, session_id

log = structlog.get_logger(__name__)

CSV_COLUMNS = (
    "uuid",
    "direction",
    "pbxbill_session",
    "pbxbill_leg_session",
    "pbxbill_caller",
    "pbxbill_account",
    "accountcode",
    "pbxbill_dialled",
    "pbxbill_did",
    "pbxbill_offline",
    "start_uepoch",
    "answer_uepoch",
    "end_uepoch",
    "originate_disposition",
    "hangup_cause",
    "hangup_cause_q850",
    "sip_gateway_name",
    "progress_uepoch",
    "progress_media_uepoch",
)
"""freeswitch-conf/autoload_configs/cdr_csv.conf.xml writes these. None of them holds what a caller sent:
mod_cdr_csv escapes nothing, so a caller's name could end the line and begin one of its own."""

HEARD = ("start_uepoch", "progress_uepoch", "progress_media_uepoch")
OLD_COLUMNS = 16
KNOWN_COLUMNS = {OLD_COLUMNS, OLD_COLUMNS + 1, len(CSV_COLUMNS)}
"""The template had no gateway once, then no ringing, and a log may hold lines of all."""

MAX_FILE_BYTES = 4 * 1024 * 1024
SETTLED_FILE_US = 10 * SECOND_US
"""A file that was written to so lately may not be complete yet."""
ASIDE = "pbxbill-broken"


@dataclass(frozen=True, slots=True)
class LegRecord:
    """One channel's record."""

    uuid: str
    session_id: str
    paid_by: str
    caller_uuid: str
    account: str
    dialled: str
    did: str
    caller: str
    inbound_channel: bool
    offline: bool
    started_us: int
    answered_us: int | None
    ended_us: int
    cause: int
    gateway: str = ""
    ringing_us: int | None = None
    """How long after it was dialled, or came in, it first rang; None: it did not."""

    @property
    def is_caller(self) -> bool:
        """Whether its session was authorized on it. A call that passed without a daemon names no caller."""
        return bool(self.session_id) and (self.caller_uuid or self._own()) == self.uuid

    def _own(self) -> str:
        return self.uuid if self.inbound_channel else ""


@dataclass(frozen=True, slots=True)
class CdrReading:
    """What the log holds from some moment on."""

    records: tuple[SwitchRecord, ...]
    broken: int


class CdrLog:
    """A folder of CDRs. Its methods read files: call them in a thread."""

    def __init__(self, folder: str, clock: Clock) -> None:
        self._folder = Path(folder) if folder else None
        self._clock = clock

    def read(self, since_us: int) -> CdrReading:
        """The calls that ended since then."""
        legs: list[LegRecord] = []
        broken = 0
        for path in self._files(since_us):
            found, bad = self._read_csv(path) if ".csv" in path.name else self._read_json(path)
            legs += found
            broken += bad
        recent = [leg for leg in legs if leg.ended_us >= since_us]
        return CdrReading(tuple(combine(recent)), broken)

    def leg(self, uuid: str) -> LegRecord | None:
        """The record of one channel, if mod_json_cdr has written it."""
        if self._folder is None or not is_channel_id(uuid):
            return None
        for name in (f"{uuid}.cdr.json", f"a_{uuid}.cdr.json"):
            path = self._folder / name
            if path.is_file():
                found, _ = self._read_json(path)
                return found[0] if found else None
        return None

    def _files(self, since_us: int) -> Iterator[Path]:
        if self._folder is None:
            return
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            log.warning("esl.cdr_log_unreadable", folder=str(self._folder), error=str(error))
            return
        for path in paths:
            try:
                wanted = (path.name.endswith(".json") or ".csv" in path.name) and path.is_file()
                if wanted and path.stat().st_mtime_ns // 1000 >= since_us:
                    yield path
            except OSError:
                continue  # rotated away while we looked

    def _read_json(self, path: Path) -> tuple[list[LegRecord], int]:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise InputRefused("a CDR of this size is none")
            text = path.read_bytes().decode("utf-8", errors="replace")
            data = json.loads(text, object_pairs_hook=_first_wins, strict=False)
            leg = _leg(_variables(data))
        except OSError as error:
            # The record may be good: it stays where it is for the next reading.
            log.warning("esl.cdr_unreadable", file=path.name, error=str(error))
            return [], 1
        except (ValueError, RecursionError, InputRefused) as error:
            return [], self._put_aside(path, str(error))
        return ([leg] if leg is not None else []), 0

    def _read_csv(self, path: Path) -> tuple[list[LegRecord], int]:
        legs: list[LegRecord] = []
        broken = 0
        try:
            with path.open(encoding="utf-8", errors="replace", newline="") as lines:
                for line in lines:
                    try:
                        row = next(csv.reader([line]), [])
                        if len(row) not in KNOWN_COLUMNS:
                            raise InputRefused(f"{len(row)} columns")
                        leg = _leg(dict(zip(CSV_COLUMNS, row, strict=False)))
                    except (csv.Error, InputRefused):
                        broken += 1
                        continue
                    if leg is not None:
                        legs.append(leg)
        except OSError as error:
            log.warning("esl.cdr_unreadable", file=path.name, error=str(error))
            broken += 1
        return legs, broken

    def _put_aside(self, path: Path, why: str) -> int:
        """1 if the file is really broken, 0 if it may still be being written."""
        try:
            age_us = self._clock.now_us() - path.stat().st_mtime_ns // 1000
            if age_us < SETTLED_FILE_US:
                return 0
            log.warning("esl.cdr_broken", file=path.name, why=why[:200])
            aside = path.parent / ASIDE
            aside.mkdir(exist_ok=True)
            path.rename(aside / path.name)
        except OSError as error:
            log.warning("esl.cdr_not_put_aside", file=path.name, error=str(error))
        return 1


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(reversed(pairs))


def _variables(data: Any) -> dict[str, str]:
    variables = data.get("variables") if isinstance(data, dict) else None
    if not isinstance(variables, dict):
        raise InputRefused("no variables")
    # Percent-encoded where json_cdr's encode-values is on; the values used here never hold a percent sign.
    plain = {str(name): unquote(value) for name, value in variables.items() if isinstance(value, str)}
    plain.setdefault("caller_id_number", _caller_number(data))
    return plain


def _caller_number(data: dict[str, Any]) -> str:
    try:
        return unquote(str(data["callflow"][0]["caller_profile"]["caller_id_number"]))
    except (KeyError, IndexError, TypeError):
        return ""


def _leg(variables: dict[str, str]) -> LegRecord | None:
    """One leg; None if it belongs to no charged call. InputRefused if it makes no sense."""
    get = variables.get
    session = session_id(get("pbxbill_session", ""))
    paid_by = session_id(get("pbxbill_leg_session", ""))
    if not session and not paid_by:
        return None
    uuid = get("uuid", "")
    ended_us = _moment(get("end_uepoch", ""))
    if not is_channel_id(uuid) or not ended_us:
        raise InputRefused("no uuid or no end")
    disposition = get("originate_disposition", "")
    failed = bool(disposition) and disposition not in ("SUCCESS", "failure")
    cause = disposition if failed else get("hangup_cause", "")
    dialled_out = get("direction", "") == "outbound"
    started_us, answered_us = (_moment(get(name, "")) for name in ("start_uepoch", "answer_uepoch"))
    return LegRecord(
        uuid=uuid,
        session_id=session,
        paid_by=paid_by,
        caller_uuid=get("pbxbill_caller", ""),
        account=get("pbxbill_account", "") or get("accountcode", ""),
        dialled=get("pbxbill_dialled", ""),
        did=get("pbxbill_did", ""),
        caller=get("caller_id_number", "")[:64],
        inbound_channel=get("direction", "") == "inbound",
        offline=get("pbxbill_offline", "") == "true",
        started_us=started_us,
        answered_us=answered_us or None,
        ended_us=ended_us,
        cause=cause_number(cause, get("hangup_cause_q850", "")),
        gateway=gateway_name(get("sip_gateway_name", ""), get("channel_name", "")) if dialled_out else "",
        ringing_us=ringing_read(lambda name: _moment(get(name, "")), HEARD, answered_us),
    )


def _moment(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > MAX_MOMENT_US:
        raise InputRefused(f"{text[:40]!r} is no moment")
    return int(text)


def combine(legs: Iterable[LegRecord]) -> list[SwitchRecord]:
    """One record per session: its first answered paid leg, or the caller's leg if nobody answered."""
    paid: dict[str, LegRecord] = {}
    callers: dict[str, LegRecord] = {}
    rang: dict[str, int] = {}
    for leg in sorted(legs, key=lambda leg: (leg.answered_us or leg.ended_us, leg.uuid)):
        if leg.is_caller:
            callers.setdefault(leg.session_id, leg)
        paid_session = leg.paid_by or ("" if leg.is_caller else leg.session_id)
        if paid_session and (leg.answered_us is not None or leg.paid_by):
            paid.setdefault(paid_session, leg)
        elif paid_session and leg.ringing_us is not None:
            rang.setdefault(paid_session, leg.ringing_us)
    found = [_record(session, paid.get(session), callers.get(session)) for session in {**paid, **callers}]
    return [
        replace(record, ringing_us=rang.get(record.session_id)) if not record.paid_leg else record
        for record in found
    ]


def _record(session: str, paid: LegRecord | None, caller: LegRecord | None) -> SwitchRecord:
    leg = paid or caller
    if leg is None:
        raise InputRefused("a session without a leg")
    about = caller or leg
    inbound = paid is not None and paid.paid_by == session and paid.inbound_channel
    return SwitchRecord(
        session_id=session,
        call_id=leg.uuid if inbound else about.caller_uuid or about.uuid,
        account_code=about.account or leg.account,
        direction=Direction.INBOUND if inbound else Direction.OUTBOUND,
        caller=about.caller,
        dialled=leg.did if inbound else about.dialled or leg.dialled,
        started_us=about.started_us,
        answered_us=paid.answered_us if paid is not None else None,
        ended_us=leg.ended_us,
        hangup_cause=leg.cause,
        paid_leg=paid.uuid if paid is not None else "",
        offline=leg.offline,
        gateway=paid.gateway if paid is not None else "",
        ringing_us=paid.ringing_us if paid is not None else None,
    )
