"""shadow report: what enforcement would have done, and whether the switch's log tells of the same calls."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.charging.reconcile import SwitchRecord, by_session
from pbxbill.charging.shadow import WouldCut, WouldDeny, read_words
from pbxbill.charging.shadow_report import Comparison, RecordedCall, compare
from pbxbill.cli.context import Context, pass_context
from pbxbill.cli.output import json_option, moment, parse_moment, print_json, print_table, seconds
from pbxbill.clock import SECOND_US, Clock
from pbxbill.errors import InputRefused
from pbxbill.money import Unit, format_amount
from pbxbill.sections import AsteriskSection, SwitchSection
from pbxbill.settings import Settings
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, CallChargeRow, CdrRow, UnitRow, WalletRow

DAY_US = 86_400 * SECOND_US
LOOK_BACK_US = DAY_US
"""A call that began in the period may have ended long after; one that ended in it may have begun before."""
PER_STATEMENT = 500
BACKLOG_BYTES = 1 << 40
"""The whole log is read: nobody waits for a call here."""


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """One switch over a period."""

    switch: str
    calls: tuple[RecordedCall, ...]
    comparison: Comparison
    uncollected: dict[str, str]
    """By session, with its unit."""
    money: tuple[tuple[str, str, int, str, str], ...]
    """Account, unit, calls, charged, uncollected."""

    @property
    def in_shadow(self) -> list[RecordedCall]:
        """Those that nobody steered."""
        return [call for call in self.calls if call.shadow is not None]

    @property
    def denials(self) -> Counter[str]:
        """How many calls would have been denied, by reason."""
        told = (read_words(call.shadow or "") for call in self.calls)
        return Counter(words.reason for words in told if isinstance(words, WouldDeny))

    @property
    def cuts(self) -> list[tuple[RecordedCall, int]]:
        """Calls that would have been ended, and how long after their answer."""
        told = ((call, read_words(call.shadow or "")) for call in self.calls)
        return [(call, words.after_us) for call, words in told if isinstance(words, WouldCut)]


@click.group()
def shadow() -> None:
    """Shadow mode: pbxbill beside calls that it does not touch."""


@shadow.command()
@click.option("--switch", "name", help="One switch; else every switch that has a CDR log.")
@click.option("--from", "since", help="Calls that began at or after this moment, UTC; else the last day's.")
@click.option("--to", "until", help="Calls that began before this moment, UTC.")
@click.option("--limit", "most", default=50, show_default=True, type=click.IntRange(1, 1_000_000))
@json_option
@pass_context
def report(
    context: Context, /, *, name: str | None, since: str | None, until: str | None, most: int, as_json: bool
) -> None:
    """Say what enforcement would have done, and compare with the CDR log; exit 1 where calls differ."""
    now_us = context.clock.now_us()
    until_us = now_us if until is None else parse_moment(until)
    since_us = until_us - DAY_US if since is None else parse_moment(since)
    if since_us >= until_us:
        raise InputRefused("--from must be earlier than --to")
    sections = _sections(context.settings, name)
    with context.application() as application, transaction(reading(application.database)) as session:
        reports = [_report(session, x, since_us, until_us, context.clock) for x in sections]
    if as_json:
        print_json([_as_json(one) for one in reports])
    else:
        for one in reports:
            _print(one, most)
    if any(one.comparison.differs for one in reports):
        sys.exit(1)


def _sections(settings: Settings, name: str | None) -> list[SwitchSection]:
    if name is None:
        sections = [section for section in settings.switch if _has_log(section)]
        if not sections:
            raise InputRefused("no switch has a CDR log: set cdr_dir (FreeSWITCH) or cdr_file (Asterisk)")
        return sections
    section = next((section for section in settings.switch if section.name == name), None)
    if section is None:
        known = ", ".join(section.name for section in settings.switch) or "none"
        raise InputRefused(f"there is no switch {name[:64]!r}; there are: {known}")
    if not _has_log(section):
        raise InputRefused(f"switch {name} has no CDR log: set cdr_dir (FreeSWITCH) or cdr_file (Asterisk)")
    return [section]


def _has_log(section: SwitchSection) -> bool:
    return bool(section.cdr_file if isinstance(section, AsteriskSection) else section.cdr_dir)


def _records(section: SwitchSection, since_us: int, clock: Clock) -> list[SwitchRecord]:
    if isinstance(section, AsteriskSection):
        from pbxbill.ami.cdr_log import CdrLog as AsteriskLog

        if section.cdr_file is None:
            return []
        return AsteriskLog(section.cdr_file, backlog_bytes=BACKLOG_BYTES).since(since_us)
    from pbxbill.esl.cdr_log import CdrLog

    return list(CdrLog(section.cdr_dir, clock).read(since_us).records)


def _report(
    session: Session, section: SwitchSection, since_us: int, until_us: int, clock: Clock
) -> SwitchReport:
    calls = tuple(_calls(session, section.name, since_us, until_us))
    log = by_session(section.name, _records(section, since_us - LOOK_BACK_US, clock), clock.now_us())
    here = {call.session_id for call in calls}
    # What began in the period, and whatever of it is recorded.
    log = {
        session_id: record
        for session_id, record in log.items()
        if session_id in here or since_us <= record.started_us < until_us
    }
    known = here | _known(session, [session_id for session_id in log if session_id not in here])
    comparison = compare(calls, log, known, causes=not isinstance(section, AsteriskSection))
    uncollected, money = _money(session, section.name, since_us, until_us)
    return SwitchReport(section.name, calls, comparison, uncollected, money)


def _calls(session: Session, switch: str, since_us: int, until_us: int) -> Iterator[RecordedCall]:
    query = (
        select(CdrRow, AccountRow.code)
        .outerjoin(AccountRow, AccountRow.id == CdrRow.account_id)
        .where(CdrRow.switch == switch, CdrRow.started_us >= since_us, CdrRow.started_us < until_us)
        .order_by(CdrRow.started_us)
    )
    for row, account in session.execute(query):
        yield RecordedCall(
            row.session_id,
            account or "",
            row.dialled,
            row.started_us,
            row.answered_us,
            row.ended_us,
            row.hangup_cause,
            row.denial is not None,
            row.shadow,
        )


def _known(session: Session, session_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(session_ids), PER_STATEMENT):
        some = session_ids[start : start + PER_STATEMENT]
        found.update(session.scalars(select(CdrRow.session_id).where(CdrRow.session_id.in_(some))))
    return found


def _money(
    session: Session, switch: str, since_us: int, until_us: int
) -> tuple[dict[str, str], tuple[tuple[str, str, int, str, str], ...]]:
    """What calls in shadow could not collect, by session, and what each account was charged in all."""
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    in_period = (CdrRow.switch == switch, CdrRow.started_us >= since_us, CdrRow.started_us < until_us)
    joined = (
        select()
        .join_from(CallChargeRow, CdrRow, CdrRow.session_id == CallChargeRow.session_id)
        .join(WalletRow, WalletRow.id == CallChargeRow.wallet_id)
        .join(AccountRow, AccountRow.id == CallChargeRow.account_id)
    )
    owing = (
        joined.add_columns(CallChargeRow.session_id, WalletRow.unit, CallChargeRow.uncollected)
        .where(*in_period, CallChargeRow.level == 0, CallChargeRow.uncollected > 0)
        .where(CdrRow.shadow.is_not(None))
    )
    uncollected = {
        session_id: f"{format_amount(amount, units[unit])} {unit}"
        for session_id, unit, amount in session.execute(owing)
    }
    sums = (
        joined.add_columns(
            AccountRow.code,
            WalletRow.unit,
            func.count(CallChargeRow.session_id.distinct()),
            func.sum(CallChargeRow.total),
            func.sum(CallChargeRow.uncollected),
        )
        .where(*in_period)
        .group_by(AccountRow.code, WalletRow.unit)
        .order_by(AccountRow.code, WalletRow.unit)
    )
    money = tuple(
        (code, unit, count, format_amount(int(total), units[unit]), format_amount(int(owed), units[unit]))
        for code, unit, count, total, owed in session.execute(sums)
    )
    return uncollected, money


def _as_json(one: SwitchReport) -> dict[str, Any]:
    found = one.comparison
    return {
        "switch": one.switch,
        "calls": len(one.calls),
        "in_shadow": len(one.in_shadow),
        "alike": found.alike,
        "different": [
            {
                "session_id": x.call.session_id,
                "account": x.call.account,
                "dialled": x.call.dialled,
                "seconds": seconds(x.call.talked_us, 3),
                "more_in_log_us": x.apart_us,
                "answered_here": x.call.answered_us is not None,
                "answered_in_log": x.record.answered_us is not None,
                "cause": x.call.hangup_cause,
                "cause_in_log": x.record.hangup_cause,
            }
            for x in found.different
        ],
        "only_here": [
            {"session_id": x.session_id, "started": moment(x.started_us), "dialled": x.dialled}
            for x in found.only_here
        ],
        "only_there": [
            {"session_id": x.session_id, "started": moment(x.started_us), "dialled": x.dialled}
            for x in found.only_there
        ],
        "would_deny": dict(one.denials),
        "would_cut": [
            {
                "session_id": call.session_id,
                "account": call.account,
                "dialled": call.dialled,
                "after_s": seconds(after_us, 3),
                "talked_s": seconds(call.talked_us, 3),
                "beyond_s": seconds(max(0, call.talked_us - after_us), 3),
                "uncollected": one.uncollected.get(call.session_id),
            }
            for call, after_us in one.cuts
        ],
        "money": [
            dict(zip(("account", "unit", "calls", "charged", "uncollected"), row, strict=True))
            for row in one.money
        ],
    }


def _print(one: SwitchReport, most: int) -> None:
    found = one.comparison
    titles = (">Calls", ">In shadow", ">As in its log", ">Different", ">Only here", ">Only there")
    counts = (found.alike, len(found.different), len(found.only_here), len(found.only_there))
    print_table(f"Switch {one.switch}", titles, [(len(one.calls), len(one.in_shadow), *counts)])
    if found.differs:
        print_table("Calls that differ", ("Call", "Dialled", "What"), list(_differences(found))[:most])
    if one.denials:
        print_table("Would have been denied", ("Reason", ">Calls"), one.denials.most_common())
    if one.cuts:
        rows = [
            (
                call.session_id,
                call.account,
                call.dialled,
                seconds(after_us, 3),
                seconds(call.talked_us, 3),
                seconds(max(0, call.talked_us - after_us), 3),
                one.uncollected.get(call.session_id, ""),
            )
            for call, after_us in one.cuts[:most]
        ]
        heads = ("Call", "Account", "Dialled", ">After (s)", ">Talked (s)", ">Beyond (s)", ">Uncollected")
        print_table("Would have been cut", heads, rows)
    if one.money:
        print_table("Charged", ("Account", "Unit", ">Calls", ">Charged", ">Uncollected"), one.money)


def _differences(found: Comparison) -> Iterator[tuple[str, str, str]]:
    for x in found.different:
        sign = "-" if x.apart_us < 0 else "+"
        what = f"log: {sign}{seconds(abs(x.apart_us), 3)} s, cause {x.record.hangup_cause}"
        if (x.call.answered_us is None) != (x.record.answered_us is None):
            what += ", answered there alone" if x.call.answered_us is None else ", answered here alone"
        yield x.call.session_id, x.call.dialled, f"{what}; here: cause {x.call.hangup_cause}"
    for call in found.only_here:
        yield call.session_id, call.dialled, "not in the switch's log"
    for record in found.only_there:
        yield record.session_id or record.call_id, record.dialled, "in the switch's log alone"


COMMANDS = (shadow,)
