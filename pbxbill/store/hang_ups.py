"""Hanging up a live call on request: a row asks, the daemon of the call's switch does it and answers.

    ask_hang_up() ─► row "asked" ─► HangUpDesk of the daemon ─► LiveCall.hang_up() ─► switch
                     done | gone | failed | expired ◄───────────── session settled, or not in time

The daemon finds requests by polling four times a second, and sooner when news arrive. A request lives for a
minute: nobody's call ends long after he was told that it did not. Asking twice is asking once.
"""

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import structlog
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US, Clock
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.store.driver import Driver
from pbxbill.store.live_models import HangUpRow
from pbxbill.store.models import ReservationLevelRow, ReservationRow

REQUEST_US = 60 * SECOND_US
POLL_MS = 250
AGAIN_US = SECOND_US
"""How often a call is asked for that the daemon does not know yet: it may still be comparing."""

WAITING = (
    "SELECT h.id, h.session_id, h.reason, h.ends_us, r.state FROM hang_ups h "
    "LEFT JOIN reservations r ON r.session_id = h.session_id "
    "WHERE h.state = 'asked' AND h.switch {any_text} ORDER BY h.id"
)
_ANSWER = ("state", "answered_us", "detail")

_log = structlog.get_logger()


class HangUpState(StrEnum):
    """What became of a request."""

    ASKED = "asked"
    DONE = "done"
    """The call was hung up, and is settled."""
    GONE = "gone"
    """It had ended before."""
    FAILED = "failed"
    """The daemon could not do it; detail says why."""
    EXPIRED = "expired"
    """No daemon took it up within its minute."""


class HangUpReason(StrEnum):
    """For whom a call was hung up: what its record says."""

    OPERATOR = "operator"
    RESELLER = "reseller"
    ACCOUNT = "account"


RECORD_DETAILS = {
    HangUpReason.OPERATOR: "hung up by the operator",
    HangUpReason.RESELLER: "hung up by the reseller",
    HangUpReason.ACCOUNT: "hung up by the account",
}
"""What stands in the record of a call that was hung up on request."""


def ask_hang_up(
    session: Session, session_id: str, *, by: str, reason: HangUpReason, note: str = "", now_us: int
) -> HangUpRow | None:
    """Ask for a call's end; None if it is not live. A request that waits already is returned as it is."""
    call = session.get(ReservationRow, session_id)
    if call is None or call.state not in OPEN_STATES:
        return None
    waiting = _waiting(session, session_id)
    if waiting is not None and waiting.ends_us > now_us:
        return waiting
    if waiting is not None:
        waiting.state, waiting.answered_us = HangUpState.EXPIRED, now_us
        session.flush()
    row = HangUpRow(
        session_id=session_id,
        switch=call.switch,
        account_id=call.account_id,
        by=by[:200],
        reason=reason,
        note=note[:200],
        asked_us=now_us,
        ends_us=now_us + REQUEST_US,
        state=HangUpState.ASKED,
        detail="",
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # somebody else asked in this moment
        return _waiting(session, session_id)
    return row


def wallets_of_call(session: Session, session_id: str) -> frozenset[int]:
    """The wallets by whose news the call's daemon hears of a request."""
    query = select(ReservationLevelRow.wallet_id).where(ReservationLevelRow.session_id == session_id)
    return frozenset(session.scalars(query))


def state_of(row: HangUpRow, now_us: int) -> HangUpState:
    """What became of a request, also where no daemon lives that could say so."""
    if row.state == HangUpState.ASKED and row.ends_us + 2 * SECOND_US <= now_us:
        return HangUpState.EXPIRED
    return HangUpState(row.state)


def _waiting(session: Session, session_id: str) -> HangUpRow | None:
    query = select(HangUpRow).where(
        HangUpRow.session_id == session_id, HangUpRow.state == HangUpState.ASKED.value
    )
    return session.scalars(query).first()


class News(Protocol):
    """What wakes the desk before its next poll."""

    def subscribe(self, callback: Callable[[frozenset[int]], None]) -> object:
        """Call back with wallets that changed."""
        ...


class HangUpDesk:
    """One daemon's ear for requests about calls of its switch, and its answers. A thread of its own."""

    def __init__(
        self, connect: Callable[[], Driver], clock: Clock, switch: str, news: News | None = None
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._switch = switch
        self._handed: dict[int, int] = {}
        """When each was last handed to the daemon, by request."""
        self._refused: dict[str, str] = {}
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._hang_up: Callable[[str, str], None] = lambda session_id, detail: None
        self._give_up: Callable[[str], None] = lambda session_id: None
        self._thread = threading.Thread(target=self._run, name="hang-ups", daemon=True)
        if news is not None:
            news.subscribe(lambda wallet_ids: self._wake.set())

    def serve(self, hang_up: Callable[[str, str], None], give_up: Callable[[str], None]) -> None:
        """Begin. From the desk's thread: hang_up is called with a session and what its record shall say,
        again each second until the call is closed, give_up with a session that is to live on."""
        self._hang_up, self._give_up = hang_up, give_up
        self._thread.start()

    def refuse(self, session_id: str, why: str) -> None:
        """The daemon cannot do it. From any thread."""
        self._refused[session_id] = why
        self._wake.set()

    def stop(self) -> None:
        """End; what waits is for the next daemon."""
        self._stopped.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    def _run(self) -> None:
        driver: Driver | None = None
        while not self._stopped.is_set():
            try:
                driver = driver or self._connect()
                self._poll(driver)
            except Exception as error:  # noqa: BLE001 the database may be away; listening never ends by itself
                _log.warning("hang_ups_unavailable", error=str(error))
                if driver is not None:
                    driver.close()
                driver = None
            self._wake.wait(POLL_MS / 1000)
            self._wake.clear()
        if driver is not None:
            driver.close()

    def _poll(self, driver: Driver) -> None:
        rows = driver.select(WAITING, [self._switch])
        now_us = self._clock.now_us()
        ids, sessions = {row[0] for row in rows}, {row[1] for row in rows}
        self._handed = {id: at_us for id, at_us in self._handed.items() if id in ids}
        for session_id in self._refused.keys() - sessions:
            self._refused.pop(session_id, None)
        answers = []
        for id, session_id, reason, ends_us, state in rows:
            was_handed = id in self._handed
            if state not in OPEN_STATES:
                answers.append((HangUpState.DONE if was_handed else HangUpState.GONE, "", id))
            elif session_id in self._refused:
                answers.append((HangUpState.FAILED, self._refused[session_id], id))
            elif ends_us <= now_us:
                self._give_up(session_id)
                why = "the switch did not end the call within a minute"
                answers.append((HangUpState.FAILED, why, id) if was_handed else (HangUpState.EXPIRED, "", id))
            elif now_us - self._handed.get(id, 0) >= AGAIN_US or now_us < self._handed.get(id, 0):
                self._handed[id] = now_us
                self._hang_up(session_id, RECORD_DETAILS[HangUpReason(reason)])
        if answers:
            self._answer(driver, [(str(state), now_us, why[:200], id) for state, why, id in answers])

    def _answer(self, driver: Driver, rows: list[tuple[str, int, str, int]]) -> None:
        driver.begin()
        try:
            driver.update(HangUpRow.__table__, ("id",), _ANSWER, rows)  # type: ignore[arg-type]
            driver.commit()
        except BaseException:
            driver.rollback()
            raise
        for state, _, why, id in rows:
            _log.info("hang_up_answered", request=id, state=state, why=why)
