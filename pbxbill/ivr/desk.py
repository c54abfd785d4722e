"""What the dialogues ask of the database: cards, guards against guessing, vouchers, what a call cost.

Every method is one transaction and may take a moment: daemons call them in a thread. It also counts the lines
of this process that no card is known for yet.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.app import Application, billing
from pbxbill.billing.codes.calling_cards import (
    caller_number,
    card_endpoint,
    card_of_caller,
    card_of_pin,
    is_usable,
)
from pbxbill.billing.codes.code_hashing import Purpose, hashed_with, salt_of
from pbxbill.billing.codes.guessing import GuessKind, failed, guarded, succeeded
from pbxbill.billing.codes.vouchers import NotRedeemed, redeem
from pbxbill.billing.period import local_date
from pbxbill.billing.subscriptions.subscribed import billing_place
from pbxbill.charging.events import Granted
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, check
from pbxbill.ivr.access_number import AccessTerms, access_number, read_terms
from pbxbill.ivr.turns import (
    Act,
    CallerUnknown,
    Card,
    CardKnown,
    CheckPin,
    Cost,
    Failed,
    FindCaller,
    FindLastCall,
    Found,
    LastCall,
    PinWrong,
    Redeem,
    Refilled,
    VoucherWrong,
)
from pbxbill.money import Unit
from pbxbill.store.driver import rows_within
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.store.engine import reading, transaction
from pbxbill.store.models import AccountRow, TariffVersionRow, UnitRow, WalletRow
from pbxbill.store.payment_models import AccessNumberRow, CallingCardRow

log = structlog.get_logger(__name__)

LONGEST_PIN = 24
LAST_CALL_WITHIN_US = 90 * 86_400 * SECOND_US

_COST = (
    "SELECT w.unit, SUM(x.total) FROM call_charges x JOIN wallets w ON w.id = x.wallet_id "
    "WHERE x.session_id = :session_id AND x.level = 0 GROUP BY w.unit ORDER BY SUM(x.total) DESC"
)
_CLOSED = "SELECT account_id, answered_us FROM cdrs WHERE session_id = :session_id"
_LAST = (
    "SELECT c.session_id FROM cdrs c JOIN reservations r ON r.session_id = c.session_id "
    "JOIN endpoints e ON e.id = r.endpoint_id WHERE c.account_id = :account_id AND c.started_us >= :from_us "
    "AND c.answered_us IS NOT NULL AND e.kind = 'sip' AND e.value = :endpoint "
    "ORDER BY c.started_us DESC LIMIT 1"
)


class Lines:
    """How many lines are up on each access number without a known card. From any thread."""

    def __init__(self) -> None:
        self._up: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, number: str, most: int) -> bool:
        """Take one, if there is one left."""
        with self._lock:
            if self._up[number] >= most:
                return False
            self._up[number] += 1
            return True

    def leave(self, number: str) -> None:
        """Give it back."""
        with self._lock:
            self._up[number] -= 1
            if not self._up[number]:
                del self._up[number]


class CardDesk:
    """Answers for one process. StoreUnavailable: the database is away."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self.lines = Lines()
        self._salt = ""

    def terms(self, number: str) -> AccessTerms | None:
        """What holds at a number; None: it is no access number."""
        with self._reading() as session:
            row = _access(session, number)
            return read_terms(row.definition) if row is not None else None

    def answer(self, act: Act, number: str, caller: str, card: Card | None) -> Found:
        """What the database says to what a dialogue asks on this line."""
        match act:
            case FindCaller():
                return self.find_caller(number, caller)
            case CheckPin(pin):
                return self.check_pin(number, caller, pin)
            case Redeem(code) if card is not None:
                return self.redeem(card, code, caller)
            case FindLastCall() if card is not None:
                return self.last_call(card)
            case _:
                check(False, "a desk cannot answer {}", type(act).__name__)
                return Failed()

    def find_caller(self, number: str, caller: str) -> CardKnown | CallerUnknown:
        """Whose caller ID this is; the terms have allowed to ask."""
        now_us = self._application.clock.now_us()
        with self._reading() as session:
            card = card_of_caller(session, caller)
            if card is None or not _may_enter(session, number, card, now_us):
                return CallerUnknown()
            return CardKnown(_view(session, card))

    def check_pin(self, number: str, caller: str, pin: str) -> CardKnown | PinWrong:
        """Whose PIN this is. Wrong ones are counted against the caller, his card and the access number."""
        now_us = self._application.clock.now_us()
        if not (pin.isascii() and pin.isdigit() and len(pin) <= LONGEST_PIN):
            return PinWrong()
        # It takes long on purpose: meanwhile no transaction holds up calls.
        pin_hash = hashed_with(self._known_salt(), pin, Purpose.PIN)
        with transaction(self._application.database) as session:
            counted = _counted(session, number, caller)
            found = [guarded(session, kind, subject, now_us) for kind, subject in counted]
            if (wait_s := _wait_s([lock.until_us for lock in found if lock], now_us)) > 0:
                return PinWrong(wait_s)
            card = card_of_pin(session, pin_hash)
            if card is None or not _may_enter(session, number, card, now_us):
                locks = [failed(session, kind, subject, now_us) for kind, subject in counted]
                log.info("pin_wrong", access_number=number, caller=caller[:32])
                return PinWrong(_wait_s([lock.until_us for lock in locks if lock], now_us))
            if (lock := guarded(session, GuessKind.PIN_CARD, str(card.id), now_us)) is not None:
                return PinWrong(_wait_s([lock.until_us], now_us))
            for kind, subject in counted:
                succeeded(session, kind, subject)
            card.last_used_us = now_us
            return CardKnown(_view(session, card))

    def card(self, number: str, card_id: int) -> Card | None:
        """A card that was known before, as it stands now; None: it may not be used any more."""
        now_us = self._application.clock.now_us()
        with self._reading() as session:
            card = session.get(CallingCardRow, card_id)
            if card is None or not _may_enter(session, number, card, now_us):
                return None
            return _view(session, card)

    def redeem(self, card: Card, code: str, caller: str) -> Refilled | VoucherWrong:
        """Put a voucher into the account's wallet."""
        now_us = self._application.clock.now_us()
        with billing(self._application) as (session, books):
            account = session.get_one(AccountRow, card.account_id)
            outcome = redeem(
                session,
                books,
                account,
                code,
                channel="telephone",
                caller=caller_number(caller),
                by=card.endpoint,
                now_us=now_us,
            )
            if isinstance(outcome, NotRedeemed):
                log.info("voucher_refused", card=card.card_id, why=outcome.why.value)
                return VoucherWrong(_wait_s([outcome.until_us] if outcome.until_us else [], now_us))
            unit = _unit(session, outcome.unit)
            session.flush()
            return Refilled(
                outcome.amount, unit, _view(session, session.get_one(CallingCardRow, card.card_id))
            )

    def cost(self, card: Card, session_id: str) -> Cost | None:
        """What a call of the card came to; None while it is not settled, or where it was never answered."""
        with self._reading() as session:
            return _cost(session, card, session_id)

    def is_closed(self, session_id: str) -> bool:
        """Whether a call is settled or voided."""
        with self._reading() as session:
            return bool(rows_within(session, _CLOSED, {"session_id": session_id}))

    def last_call(self, card: Card) -> LastCall:
        """What the card's last answered call came to."""
        from_us = self._application.clock.now_us() - LAST_CALL_WITHIN_US
        values = {"account_id": card.account_id, "from_us": from_us, "endpoint": card.endpoint}
        with self._reading() as session:
            rows = rows_within(session, _LAST, values)
            return LastCall(_cost(session, card, rows[0][0]) if rows else None)

    def _known_salt(self) -> str:
        if not self._salt:
            with self._reading() as session:
                self._salt = salt_of(session)
        return self._salt

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with transaction(reading(self._application.database)) as session:
            yield session


def spoken_in(granted: Granted, language: str) -> Granted:
    """A call that was asked for in a language is warned in it."""
    return granted._replace(announcement=replace(granted.announcement, language=language))


def _access(session: Session, number: str) -> AccessNumberRow | None:
    try:
        return session.get(AccessNumberRow, access_number(number))
    except InputRefused:
        return None


def _may_enter(session: Session, number: str, card: CallingCardRow, now_us: int) -> bool:
    """Whether a card may be used, and here: it belongs to a customer of the number's seller, or below."""
    access = _access(session, number)
    if access is None or not is_usable(card, now_us):
        return False
    issuer = session.get_one(AccountRow, access.issuer_id)
    account = session.get_one(AccountRow, card.account_id)
    return account.id != issuer.id and account.path.startswith(issuer.path)


def _counted(session: Session, number: str, caller: str) -> list[tuple[GuessKind, str]]:
    # Callers that show no number are one caller of this access number: they stand in one queue.
    shown = caller_number(caller)
    counted = [
        (GuessKind.PIN_ACCESS_NUMBER, number),
        (GuessKind.PIN_CALLER, shown or f"anonymous:{number}"),
    ]
    own = card_of_caller(session, shown)
    return [*counted, (GuessKind.PIN_CARD, str(own.id))] if own is not None else counted


def _wait_s(moments_us: list[int], now_us: int) -> int:
    return max((-(-(moment_us - now_us) // SECOND_US) for moment_us in moments_us), default=0)


def _cost(session: Session, card: Card, session_id: str) -> Cost | None:
    rows = rows_within(session, _CLOSED, {"session_id": session_id})
    if not rows or rows[0][0] != card.account_id or rows[0][1] is None:
        return None
    charged = rows_within(session, _COST, {"session_id": session_id})
    if not charged:
        return Cost(0, card.unit)
    unit, total = charged[0]
    return Cost(int(total), _unit(session, str(unit)))


def _view(session: Session, card: CallingCardRow) -> Card:
    account = session.get_one(AccountRow, card.account_id)
    endpoint, valid_until = card_endpoint(card.id), _valid_until(session, account, card)
    wallet = _paying_wallet(session, account)
    if wallet is None:
        unit = Unit("NONE", scale=0, digits=0)
        return Card(card.id, account.id, endpoint, 0, unit, valid_until)
    session.refresh(wallet)
    available = wallet.posted - wallet.reserved + wallet.credit_limit
    return Card(card.id, account.id, endpoint, available, _unit(session, wallet.unit), valid_until)


def _paying_wallet(session: Session, account: AccountRow) -> WalletRow | None:
    """The first that calls are taken from."""
    wallets = {
        wallet.unit: wallet
        for wallet in session.scalars(
            select(WalletRow).where(WalletRow.account_id == account.id).order_by(WalletRow.id)
        )
    }
    units = account.wallet_order.split(",") if account.wallet_order else []
    if account.tariff_id is not None:
        newest = select(TariffVersionRow.unit).where(TariffVersionRow.tariff_id == account.tariff_id)
        units.append(session.scalar(newest.order_by(TariffVersionRow.number.desc()).limit(1)) or "")
    return next((wallets[unit] for unit in (*units, *wallets) if unit in wallets), None)


def _valid_until(session: Session, account: AccountRow, card: CallingCardRow) -> date | None:
    stage = session.get(LifeCycleRow, account.id)
    ends = [card.expires_us, stage.valid_to_us if stage is not None else None]
    moments = [end for end in ends if end is not None]
    if not moments:
        return None
    zone = billing_place(session, account).zone
    # The last day is that of the last moment before the end.
    return local_date(min(moments) - 1, zone)


def _unit(session: Session, code: str) -> Unit:
    row = session.get_one(UnitRow, code)
    return Unit(row.code, row.scale, row.digits)
