"""Decides the records of one transaction: which are new, which are known, and what the new ones cost."""

from collections.abc import Sequence

import structlog

from pbxbill.charging.cdr import RatedCdr, record_of
from pbxbill.charging.chain import identify
from pbxbill.charging.events import DenialReason, Denied, Evidence, SettleOffline
from pbxbill.charging.levels import dialling_rule
from pbxbill.charging.reconcile import UNNAMED_SWITCH
from pbxbill.charging.session import decide
from pbxbill.charging.state import CdrWritten, ChargingState, Effect
from pbxbill.errors import InputRefused, InvariantBroken, check
from pbxbill.mediation.catalogue_then import CatalogueThen
from pbxbill.mediation.contradiction import charged_otherwise, is_again
from pbxbill.mediation.items import (
    Charged,
    Fate,
    Item,
    Posted,
    Quarantined,
    RunMark,
    contradicting,
    known_in_quarantine,
)
from pbxbill.mediation.record import Kind, Reason, Unusable, UsageRecord
from pbxbill.money import MAX_AMOUNT
from pbxbill.rating.destination import to_e164
from pbxbill.store.driver import Driver

_log = structlog.get_logger()

CHARGED = "SELECT session_id, created_us FROM cdrs WHERE session_id {any_text}"
RESERVED = "SELECT session_id FROM reservations WHERE session_id {any_text}"
OPEN_CALLS = (
    "SELECT call_id, switch FROM reservations WHERE state IN ('reserved', 'answered') AND call_id {any_text}"
)
OWN_CALLS = "SELECT call_id, switch FROM cdrs WHERE evidence <> 'import' AND call_id {any_text}"


class Batch:
    """The decisions of one transaction."""

    def __init__(
        self,
        driver: Driver,
        state: ChargingState,
        items: Sequence[Item],
        switch: str,
        catalogue: CatalogueThen,
        mark: RunMark,
    ) -> None:
        self._driver = driver
        self._state = state
        self._items = items
        self._catalogue = catalogue
        self._mark = mark
        records = [item.record for item in items if isinstance(item.record, UsageRecord)]
        keys = [item.key for item in items]
        self._charged: dict[str, int] = dict(driver.select(CHARGED, keys))
        self._own = self._own_sessions(driver, [x.session_id for x in records if x.session_id])
        self._own_calls = self._calls_of_daemons(
            driver, [call_id for x in records for call_id in x.call_ids], switch
        )
        self._known = known_in_quarantine(driver, keys)
        self._done: dict[str, Item] = {}

    @staticmethod
    def _own_sessions(driver: Driver, session_ids: list[str]) -> set[str]:
        if not session_ids:
            return set()
        reserved = {row[0] for row in driver.select(RESERVED, session_ids)}
        return reserved | {row[0] for row in driver.select(CHARGED, session_ids)}

    @staticmethod
    def _calls_of_daemons(driver: Driver, call_ids: list[str], switch: str) -> set[str]:
        if not call_ids:
            return set()
        # Open ones first: a call that is settled between the two statements is found by one of them.
        rows = [*driver.select(OPEN_CALLS, call_ids), *driver.select(OWN_CALLS, call_ids)]
        # Where nobody said which switch wrote the file, rather no charge than two for one call.
        return {call_id for call_id, its_switch in rows if switch in (UNNAMED_SWITCH, its_switch)}

    def run(self, commands: Sequence[SettleOffline | None]) -> Posted:
        """Decide every item in order; commands are theirs."""
        posted = Posted([], [], {}, [], self._known)
        for position, (item, command) in enumerate(zip(self._items, commands, strict=True)):
            kept, fate = self._decided(item, command)
            posted.items.append(kept)
            if isinstance(fate, Unusable):
                posted.unusable[position] = fate
                # It is in quarantine already, and still cannot be rated: nothing new.
                fate = Fate.DUPLICATE if kept.key in self._known else Fate.QUARANTINED
            posted.fates.append(fate)
        wallets = self._state.wallets
        posted.charges.extend(
            Charged(charge.account_id, wallets[charge.wallet_id].unit, charge.total, charge.uncollected)
            for record in self._state.new_cdrs
            for charge in record.charges
        )
        return posted

    def _decided(self, item: Item, command: SettleOffline | None) -> tuple[Item, Fate | Unusable]:
        other = self._other_of_its_key(item, command)
        if other:
            kept, why = contradicting(item, other)
            if kept.key in self._done:
                return kept, Fate.DUPLICATE
            self._done[kept.key] = kept
            self._known.update(known_in_quarantine(self._driver, [kept.key]))
            return kept, why
        if item.key in self._done or self._is_known(item):
            return item, Fate.DUPLICATE
        self._done[item.key] = item
        if isinstance(item.record, Unusable):
            return item, item.record
        if command is None:
            raise InvariantBroken("a record without a command")
        return item, self._post(item.record, command, item)

    def _other_of_its_key(self, item: Item, command: SettleOffline | None) -> str:
        """Which other record has an item's key, in words; empty: there is only this one."""
        first = self._done.get(item.key)
        if first is not None:
            where = f"{first.source[-120:]} line {first.line}"
            return "" if is_again(first, item) else f"{where} has the same one and is another record"
        held = self._known.get(item.key)
        if held is not None and (held.state == "dropped" or held.is_of(item)):
            # What was dropped is not taken from elsewhere; what contradicted it stays where it is.
            is_other = item.quarantine_id not in (0, held.id)
            return f"record {held.id} of the quarantine has the same one" if is_other else ""
        record = item.record
        if isinstance(record, UsageRecord) and command is not None and item.key in self._charged:
            return self._charged_otherwise(record, command)
        if held is not None and held.state == "open" and self._is_of_this_run(held, item):
            return f"line {held.line} has the same one, is another record and in quarantine too"
        return ""

    def _charged_otherwise(self, record: UsageRecord, command: SettleOffline) -> str:
        cdr = self._state.cdrs.get(record.key)
        if cdr is None or cdr.evidence is not Evidence.IMPORT:
            return ""
        account_id = None
        # An endpoint may have changed hands since an earlier run: then nobody knows whose it was.
        if self._charged[record.key] >= self._mark.started_us:
            identified = identify(command.request, self._state)
            account_id = 0 if identified is None else identified[0].id
        what = charged_otherwise(record, command, cdr, account_id)
        return what and f"one with {what} is charged under it already ({cdr.detail})"

    def _is_of_this_run(self, held: Quarantined, item: Item) -> bool:
        if held.run_id != self._mark.run_id or held.source != item.source[-1000:] or held.line == item.line:
            return False
        return not held.is_of(item)

    def _is_known(self, item: Item) -> bool:
        if item.key in self._charged:
            return True
        held = self._known.get(item.key)
        if held is not None and held.state != "open":
            return True
        record = item.record
        if not isinstance(record, UsageRecord):
            return False
        return record.session_id in self._own or not self._own_calls.isdisjoint(record.call_ids)

    def _post(self, record: UsageRecord, command: SettleOffline, item: Item) -> Fate | Unusable:
        self._catalogue.at_us = record.started_us
        where = f"imported from {item.source[-120:]} line {item.line}"
        if record.answered_us is None:
            self._state.apply([CdrWritten(self._unanswered(record, command, where))])
            return Fate.UNANSWERED
        try:
            outcome, effects = decide(command, self._state)
        except InputRefused as refused:
            return Unusable(Reason.NOT_CHARGEABLE, f"{refused}"[:280])
        except Exception as error:  # noqa: BLE001 a record that breaks a rule must not stop the others
            _log.error("mediation_record_failed", source=item.source, line=item.line, exc_info=error)
            return faulty(error)
        if isinstance(outcome, Denied):
            return _not_rated(outcome, record)
        if any(map(_is_beyond_measure, effects)):
            return Unusable(
                Reason.NOT_CHARGEABLE, "it costs more than any amount can be; correct it or its rate"
            )
        self._state.apply([_with_detail(effect, where) for effect in effects])
        return Fate.RATED

    def _unanswered(self, record: UsageRecord, command: SettleOffline, where: str) -> RatedCdr:
        request = command.request
        identified = identify(request, self._state)
        account_id, called = None, to_e164(request.dialled)
        if identified is not None:
            account_id = identified[0].id
            called = to_e164(identified[1], dialling_rule(identified[0], self._state))
        return record_of(request, account_id, called or "")._replace(
            ended_us=record.ended_us,
            hangup_cause=record.hangup_cause,
            evidence=Evidence.IMPORT,
            detail=where,
            ringing_us=record.ringing_us,
        )


def _with_detail(effect: Effect, where: str) -> Effect:
    return CdrWritten(effect.cdr._replace(detail=where)) if isinstance(effect, CdrWritten) else effect


def _not_rated(denied: Denied, record: UsageRecord) -> Unusable:
    detail = denied.detail.removeprefix("passed unauthorized: ")
    match denied.reason:
        case DenialReason.USER_UNKNOWN:
            return Unusable(
                Reason.ACCOUNT_UNKNOWN,
                f"no account has {record.account}; add that endpoint to its account, then retry",
                "account",
            )
        case DenialReason.END_USER_SERVICE_DENIED:
            lacks = f"{detail}; give it what it lacks, then retry"
            if record.kind is not Kind.CALL and detail.endswith("has no tariff"):
                lacks = (
                    f"{detail} for service {record.service}; "
                    f"`pbxbill services set ACCOUNT {record.service} TARIFF`, then retry"
                )
            return Unusable(Reason.ACCOUNT_INCOMPLETE, lacks, "account")
        case DenialReason.RATING_FAILED if detail.startswith("no rate"):
            return Unusable(
                Reason.RATE_MISSING, f"{detail}; import a deck that has one, then retry", "called"
            )
        case DenialReason.RATING_FAILED:
            shown = record.called[:40]
            return Unusable(
                Reason.NUMBER_UNUSABLE, f"called: {shown!r} is no number; correct it, then retry", "called"
            )
        case _:
            check(bool(denied.reason), "a denial without a reason")
            return Unusable(Reason.NOT_CHARGEABLE, f"{denied.reason}: {detail}"[:280])


def _is_beyond_measure(effect: Effect) -> bool:
    if not isinstance(effect, CdrWritten):
        return False
    return any(charge.total + charge.uncollected >= MAX_AMOUNT for charge in effect.cdr.charges)


def faulty(error: Exception) -> Unusable:
    """A record that nothing but a fault can be said of."""
    return Unusable(Reason.FAULT, f"{type(error).__name__}: {error}"[:280])
