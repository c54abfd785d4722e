"""Who may call while the database cannot be reached: accounts with failure policy open, from memory.

What passes is charged afterwards from the switch's own CDR log. Until the database is back an account
gets at most its offline allowance, over all its calls.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import structlog

from pbxbill.charging.authorizing import denial_announcement
from pbxbill.charging.batch import chain_of, charged_account
from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.charging.chain import FREE, endpoint_keys
from pbxbill.charging.events import (
    Announcement,
    Authorize,
    DenialReason,
    Denied,
    Direction,
    FailurePolicy,
    Granted,
)
from pbxbill.charging.state import ChargedAccount
from pbxbill.charging.status import AccountStatus
from pbxbill.clock import SECOND_US
from pbxbill.errors import StoreUnavailable
from pbxbill.rating.destination import DiallingRule, is_emergency, to_e164
from pbxbill.rating.mark_up import marked_up
from pbxbill.rating.rater import affordable, charge
from pbxbill.rating.tariff import Rate, Tariff
from pbxbill.store.driver import Driver

REFRESH_S = 10
LONGEST_CALL_S = 1800
"""So that one call does not take the whole allowance for as long as it might last."""

_log = structlog.get_logger()

OPEN_ENDPOINTS = (
    "SELECT e.kind, e.value, e.tech_prefix, a.id, a.code, a.status, a.path, a.parent_id, a.tariff_id, "
    "COALESCE(e.tariff_id, a.inbound_tariff_id), a.language, a.failure_policy, a.offline_allowance, "
    "a.announce_balance, a.announce_minutes, a.announce_warning, a.announce_denial, a.dialling_rule_id, "
    "a.wallet_order, a.shadow, a.minimum_balance FROM endpoints e JOIN accounts a ON a.id = e.account_id "
    "WHERE a.failure_policy = 'open' AND a.status IN ('active', 'no_outgoing')"
)
RESELLERS = (
    "SELECT id, failure_policy = 'open' AND status = 'active', tariff_id, dialling_rule_id FROM accounts "
    "WHERE kind = 'reseller'"
)


class _Above(NamedTuple):
    """What is needed of a reseller to rate and dial for those below it."""

    tariff_id: int | None
    dialling_rule_id: int | None


class OfflineDirectory:
    """A copy of the endpoints that may pass unauthorized, as of the last time the database answered."""

    def __init__(self, catalogue: LoadedCatalogue, connect: Callable[[], Driver]) -> None:
        self._catalogue = catalogue
        self._connect = connect
        self._lock = threading.Lock()
        self._endpoints: dict[tuple[str, str], list[tuple[str, ChargedAccount]]] = {}
        self._above: dict[int, _Above] = {}
        self._spent: dict[int, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="offline-directory", daemon=True)

    def start(self, driver: Driver) -> None:
        """Copy now, and again and again in the background."""
        self.refresh(driver)
        self._thread.start()

    def stop(self) -> None:
        """End the copying."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def refresh(self, driver: Driver) -> None:
        """Copy anew what may have changed."""
        resellers = driver.select(RESELLERS)
        closed = {row[0] for row in resellers if not row[1]}
        self._above = {row[0]: _Above(*row[2:]) for row in resellers}
        endpoints: dict[tuple[str, str], list[tuple[str, ChargedAccount]]] = {}
        for kind, value, tech_prefix, account_id, *columns in driver.select(OPEN_ENDPOINTS):
            if closed.isdisjoint(chain_of(columns[2])):
                account = charged_account(account_id, tuple(columns))
                endpoints.setdefault((kind, value), []).append((tech_prefix, account))
        for matches in endpoints.values():
            matches.sort(key=lambda match: -len(match[0]))
        self._endpoints = endpoints

    def database_answers(self) -> None:
        """The outage is over: what passed in it is charged from the switch's log, a later one starts anew."""
        with self._lock:
            self._spent.clear()

    def _run(self) -> None:
        while not self._stopped.wait(REFRESH_S):
            try:
                driver = self._connect()
                try:
                    self.refresh(driver)
                finally:
                    driver.close()
            except StoreUnavailable as error:  # the last copy is what an outage needs
                _log.info("offline_directory_kept", error=str(error))

    def authorize(self, request: Authorize) -> Granted | Denied:
        """A call within the account's offline allowance, or a denial."""
        found = self._find(request)
        if found is None:
            return _denied(request, Announcement(), "no endpoint with failure policy open matches")
        account, dialled = found
        inbound = request.direction is Direction.INBOUND
        rule = self._dialling_rule(account)
        called = to_e164(request.did if inbound else dialled, rule)
        if not inbound and is_emergency(dialled, rule):
            return _granted(request, account, called or dialled, FREE, FREE.max_call_s * SECOND_US)
        tariff_id = account.inbound_tariff_id if inbound else account.tariff_id
        tariff = self._catalogue.current_tariff(tariff_id) if tariff_id is not None else None
        announcement = denial_announcement(account, tariff)
        if not inbound and account.status != AccountStatus.ACTIVE:
            return _denied(request, announcement, f"account {account.code} may not call out")
        if called is None or (tariff is None and not inbound):
            return _denied(request, announcement, "no number or no tariff")
        longest_us = FREE.max_call_s * SECOND_US
        if tariff is not None:
            try:
                rate = self._rate(account, tariff, called, request.at_us)
            except StoreUnavailable:
                return _denied(request, announcement, "the deck in force then is not in memory")
            if rate is None:
                return _denied(request, announcement, f"no rate for {called}")
            longest_us = self._take(account, tariff, rate, request.at_us)
            if longest_us <= 0:
                return _denied(request, announcement, "the offline allowance is used up")
        return _granted(request, account, called, tariff or FREE, longest_us)

    def _dialling_rule(self, account: ChargedAccount) -> DiallingRule | None:
        rule_id = account.dialling_rule_id
        for reseller_id in account.chain[1:]:
            if rule_id is None and reseller_id in self._above:
                rule_id = self._above[reseller_id].dialling_rule_id
        return None if rule_id is None else self._catalogue.offers.dialling_rules.get(rule_id)

    def _rate(self, account: ChargedAccount, tariff: Tariff, called: str, at_us: int) -> Rate | None:
        """The rate of an account, made from those above it where its tariff is a mark-up."""
        marking: list[Tariff] = []
        above = iter(account.chain[1:])
        while tariff.mark_up is not None:
            marking.append(tariff)
            reseller = self._above.get(next(above, 0))
            if reseller is None or reseller.tariff_id is None:
                return None
            found = self._catalogue.current_tariff(reseller.tariff_id)
            if found is None:
                return None
            tariff = found
        rate = self._catalogue.find_rate(tariff.deck_id, called, at_us)
        for own in reversed(marking):
            if rate is not None and own.mark_up is not None:
                rate = marked_up(rate, own.mark_up, tariff)
            tariff = own
        return rate

    def _take(self, account: ChargedAccount, tariff: Tariff, rate: Rate, at_us: int) -> int:
        # How long what is left of the allowance lasts; all of that is taken.
        with self._lock:
            spent = self._spent.get(account.id, 0)
            left = max(0, account.offline_allowance - spent)
            longest_us = affordable(rate, tariff, left, min(tariff.max_call_s, LONGEST_CALL_S), at_us)
            self._spent[account.id] = spent + charge(rate, tariff, longest_us, at_us).total
        return longest_us

    def _find(self, request: Authorize) -> tuple[ChargedAccount, str] | None:
        for key in endpoint_keys(request):
            for tech_prefix, account in self._endpoints.get(key, ()):
                if request.dialled.startswith(tech_prefix):
                    return account, request.dialled.removeprefix(tech_prefix)
        return None


def _granted(
    request: Authorize, account: ChargedAccount, called: str, terms: Tariff, longest_us: int
) -> Granted:
    return Granted(
        session_id=request.session_id,
        account_id=account.id,
        account_code=account.code,
        destination="",
        called=called,
        unit=terms.unit,
        available=0,
        affordable_us=longest_us,
        granted_us=longest_us,
        final=True,
        slice_us=terms.slice_s * SECOND_US,
        renew_before_us=terms.renew_before_s * SECOND_US,
        max_call_us=longest_us,
        announcement=Announcement(language=account.language),
        failure_policy=FailurePolicy.OPEN,
        wallet_ids=(),
        offline=True,
    )


def _denied(request: Authorize, announcement: Announcement, detail: str) -> Denied:
    reason = DenialReason.SERVICE_UNAVAILABLE
    return Denied(request.session_id, reason, announcement, None, f"offline: {detail}")
