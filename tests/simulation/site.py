"""A switch, a daemon and a database that fail in every way they can, driven by one seed.

The switch and its CDR log tell the truth. Between them and the pure core everything may go wrong: events
are dropped, repeated and overtake each other, commands fail before or after they are done, the database
goes away, the daemon is killed and comes back, clocks step, and money comes and goes.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from pbxbill.charging.control import Action, HangUp, LiveCall, SetDeadline, Submit
from pbxbill.charging.events import (
    Adjust,
    Answer,
    Answered,
    Authorize,
    Command,
    Evidence,
    Expire,
    Extend,
    Extended,
    FailurePolicy,
    Granted,
    Outcome,
    Refused,
    SetCreditLimit,
    Settle,
    TopUp,
    Void,
)
from pbxbill.charging.state import ChargedAccount
from pbxbill.clock import SECOND_US
from pbxbill.ledger.reservation import OPEN_STATES
from pbxbill.rating.tariff import TaxMode
from tests.simulation.offered import Offered, a_moment
from tests.small_operator import RETAIL, WHOLESALE, SmallOperator, eur

NUMBERS = ("4930", "3361", "1212", "441", "800", "7700", "999")
MIXED_NUMBERS = ("4930", "4930", "4930", "3361", "1212", "800", "7700", "999", "112")
LENGTH_US = 400 * SECOND_US
"""How long calls are placed."""


@dataclass(slots=True)
class SwitchCall:
    """A call as the switch knows it. Moments are on the switch's clock, which is the simulation's."""

    request: Authorize
    timer_us: int
    """Armed at the answer by the switch itself, then moved by the daemon."""
    watched: bool = False
    """Nobody ends it but those who talk."""
    answered_us: int | None = None
    ended_us: int | None = None
    timer: int = 0
    """Counts how often the timer was moved: only the last one fires."""


class Site:
    """One run. Whatever happens follows from the seed."""

    def __init__(self, seed: int, *, mixed: bool = False) -> None:
        self.chance = Random(seed)
        self.operator = SmallOperator(a_moment(self.chance) if mixed else None)
        self.offered = Offered(self.operator, self.chance) if mixed else None
        self.now_us = 0
        self.epoch_us = self.operator.now_us
        self.wall_step_us = 0
        self.calls: dict[str, SwitchCall] = {}
        self.log: set[str] = set()
        """Sessions that the switch's CDR log holds."""
        self.live: dict[str, LiveCall] = {}
        self.daemon = 1
        """Number of the daemon's life; 0: it is dead."""
        self.lives = 1
        self.away_until_us = 0
        self.withdrawn = False
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._last_command_us: dict[str, int] = {}
        self.trouble = self.chance.choice((0.0, 0.03, 0.15))
        self.accounts = self._open_accounts() if self.offered is None else self.offered.accounts()

    def _open_accounts(self) -> list[ChargedAccount]:
        operator, chance = self.operator, self.chance
        retail = operator.tariff(
            RETAIL, chance.choice(list(TaxMode)), 190_000, slice_s=chance.choice((30, 60))
        )
        wholesale = operator.tariff(WHOLESALE, max_call_s=chance.choice((200, 14_400)))
        poor = str(chance.choice(("0.30", "0.777777", "2", "5")))
        reseller = operator.account("reseller", tariff=wholesale, funds=poor, limit="1")
        return [
            operator.account("prepaid", tariff=retail, funds=poor),
            operator.account("customer", tariff=retail, funds="2", below=reseller),
            operator.account("hybrid", tariff=retail, funds="0.50", limit="1"),
            operator.account("open", tariff=retail, limit="1", policy=FailurePolicy.OPEN, allowance="0.70"),
            reseller,
        ]

    # --- time -------------------------------------------------------------------------------------

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (self.now_us + max(0, delay_us), self._serial, action))

    def while_it_lives(self, delay_us: int, action: Callable[[], None]) -> None:
        """After a while, unless the daemon of now is killed before."""
        life = self.daemon

        def if_alive() -> None:
            if life == self.daemon:
                action()

        self.after(delay_us, if_alive)

    def goes_wrong(self) -> bool:
        return self.chance.random() < self.trouble

    def stamp(self, at_us: int) -> int:
        """A moment as the switch writes it."""
        return self.epoch_us + at_us

    def run(self) -> None:
        chance = self.chance
        for _ in range(chance.randrange(3, 25)):
            self.after(chance.randrange(LENGTH_US), self.place_call)
        for _ in range(chance.randrange(12)):
            self.after(chance.randrange(LENGTH_US), self.move_money)
        for _ in range(chance.randrange(8) if self.offered is not None else 0):
            self.after(chance.randrange(LENGTH_US), self.change_offers)
        if self.trouble:
            for fault in (self.kill_daemon, self.lose_database, self.step_clock):
                for _ in range(chance.randrange(3)):
                    self.after(chance.randrange(LENGTH_US), fault)
        for at_us in range(0, 2 * LENGTH_US, 120 * SECOND_US):
            self.after(at_us, self.reconcile)
        self._drain()
        # Everything works again, and one last look puts right whatever is left.
        self.trouble = 0.0
        self.away_until_us = 0
        self.now_us += 10 * SECOND_US
        if not self.daemon:
            self.start_daemon()
        for _ in range(3):
            self.reconcile()
            self._drain()
            self.now_us += 10 * SECOND_US

    def _drain(self) -> None:
        steps = 0
        while self._events:
            self.now_us, _, action = heapq.heappop(self._events)
            action()
            steps += 1
            if steps > 50_000:
                raise AssertionError("the simulation does not come to an end")

    # --- the database -----------------------------------------------------------------------------

    def submit(self, command: Command, done: Callable[[Outcome | None], None]) -> None:
        """Carry out a command a little later; None: it failed, whether or not it had been done."""
        life = self.daemon

        def answer(outcome: Outcome | None) -> None:
            if life == self.daemon:
                self.while_it_lives(self.chance.randrange(50_000), lambda: done(outcome))

        def carry_out() -> None:
            if self.now_us < self.away_until_us:
                if isinstance(command, Extend | Authorize) or self.chance.random() < 0.5:
                    answer(None)
                else:
                    self.after(SECOND_US, carry_out)
                return
            if self.goes_wrong():
                if self.chance.random() < 0.5:
                    answer(None)
                    return
                self._do(command)  # done, and done again
            outcome = self._do(command)
            answer(None if self.goes_wrong() else outcome)

        self.after(self.chance.randrange(40_000), carry_out)

    def _do(self, command: Command) -> Outcome:
        self.operator.state.told.clear()
        outcome = self.operator.do(command)
        told = frozenset(self.operator.state.told)
        if told:
            self.while_it_lives(self.chance.randrange(SECOND_US), lambda: self.hear(told))
        return outcome

    def lose_database(self) -> None:
        self.away_until_us = self.now_us + self.chance.randrange(120 * SECOND_US)

    def step_clock(self) -> None:
        self.wall_step_us += self.chance.randrange(-3600, 3600) * SECOND_US

    def move_money(self) -> None:
        chance = self.chance
        account = chance.choice(self.accounts)
        wall_us = self.stamp(self.now_us) + self.wall_step_us
        key = f"money-{self.now_us}"
        command: Command
        match chance.randrange(4):
            case 0 | 1:
                unit = chance.choice(self._units(account))
                command = TopUp(key, account.id, unit, chance.randrange(1, eur("2")), wall_us)
            case 2:
                self.withdrawn = True
                unit = chance.choice(self._units(account))
                wallet = self.operator.state.wallets[self.operator.state.wallet_ids[account.id, unit]]
                taken = max(0, wallet.available) + chance.randrange(1, wallet.reserved + 2)
                command = Adjust(key, account.id, unit, -taken, wall_us)
            case _:
                self.withdrawn = True
                command = SetCreditLimit(account.id, "EUR", chance.randrange(eur("2")), wall_us)
        if self.now_us >= self.away_until_us:
            outcome = self._do(command)
            if isinstance(outcome, Refused) and outcome.most and isinstance(command, Adjust):
                self._do(replace(command, amount=-outcome.most))  # then all that can be taken

    def change_offers(self) -> None:
        """Bundles and limits come and go while calls are up."""
        self.operator.clock.step(self.stamp(self.now_us) - self.operator.now_us)
        if self.offered is not None:
            self.offered.change(self.chance.choice(self.accounts))

    def _units(self, account: ChargedAccount) -> list[str]:
        return [unit for account_id, unit in self.operator.state.wallet_ids if account_id == account.id]

    # --- the switch -------------------------------------------------------------------------------

    def place_call(self) -> None:
        if not self.daemon:
            return
        numbers = NUMBERS if self.offered is None else MIXED_NUMBERS
        account, number = self.chance.choice(self.accounts), self.chance.choice(numbers)
        self.operator.clock.step(self.stamp(self.now_us) - self.operator.now_us)
        request = self.operator.request(account, number)

        def granted(outcome: Outcome | None) -> None:
            if isinstance(outcome, Granted):
                self.bridge(request, outcome)

        self.submit(request, granted)

    def bridge(self, request: Authorize, granted: Granted) -> None:
        session_id = request.session_id
        self.calls[session_id] = SwitchCall(request, granted.granted_us, granted.shadow)
        self.live[session_id] = LiveCall(granted)
        ringing_us = self.chance.randrange(20 * SECOND_US)
        if self.chance.random() < 0.2:
            self.after(ringing_us, lambda: self.end(session_id))
        else:
            self.after(ringing_us, lambda: self.answer(session_id))

    def answer(self, session_id: str) -> None:
        call = self.calls[session_id]
        if call.ended_us is not None:
            return
        call.answered_us = self.now_us
        if not call.watched:
            self.arm(session_id, call.timer_us)
        lasts_us = int(self.chance.expovariate(1 / 150) * SECOND_US)
        self.after(lasts_us, lambda: self.end(session_id))
        self.notify(lambda: self.saw_answer(session_id))

    def arm(self, session_id: str, remaining_us: int) -> None:
        call = self.calls[session_id]
        call.timer_us = remaining_us
        call.timer += 1
        timer = call.timer
        if call.answered_us is not None:
            late_us = self.chance.randrange(500_000)
            self.after(remaining_us + late_us, lambda: self.end(session_id) if call.timer == timer else None)

    def end(self, session_id: str) -> None:
        call = self.calls[session_id]
        if call.ended_us is not None:
            return
        call.ended_us = self.now_us
        if not (self.goes_wrong() and self.goes_wrong()):
            self.log.add(session_id)
        self.notify(lambda: self.saw_end(session_id))

    def notify(self, event: Callable[[], None]) -> None:
        """Tell the daemon: perhaps late, perhaps twice, perhaps never."""
        if self.goes_wrong():
            return
        for _ in range(2 if self.goes_wrong() else 1):
            slow_us = 3 * SECOND_US if self.goes_wrong() else 20_000
            self.while_it_lives(self.chance.randrange(slow_us), event)

    # --- the daemon -------------------------------------------------------------------------------

    def saw_answer(self, session_id: str) -> None:
        live, call = self.live.get(session_id), self.calls[session_id]
        if live is None or call.answered_us is None:
            return
        elapsed_us = self.now_us - call.answered_us
        stamp_us = self.stamp(call.answered_us)
        self.act(
            live,
            live.answered(answered_us=stamp_us, paid_leg="leg", elapsed_us=elapsed_us, now_us=self.now_us),
        )

    def saw_end(self, session_id: str, evidence: Evidence = Evidence.EVENT) -> None:
        live, call = self.live.get(session_id), self.calls[session_id]
        if live is None or call.ended_us is None:
            return
        answered_us = None if call.answered_us is None else self.stamp(call.answered_us)
        self.act(
            live,
            live.ended(
                answered_us=answered_us,
                ended_us=self.stamp(call.ended_us),
                hangup_cause=16,
                evidence=evidence,
            ),
        )

    def hear(self, wallet_ids: frozenset[int]) -> None:
        for live in list(self.live.values()):
            if wallet_ids.intersection(live.granted.wallet_ids):
                self.act(live, live.wallet_changed(self.now_us))

    def act(self, live: LiveCall, actions: list[Action]) -> None:
        session_id = live.session_id
        for action in actions:
            match action:
                case SetDeadline(remaining_us):
                    self.command(session_id, partial(self.arm, session_id, remaining_us))
                case HangUp():
                    if self.calls[session_id].ended_us is not None:  # the switch says: no such call
                        self.after(1, lambda: self.saw_end(session_id, Evidence.CDR_LOG))
                    self.command(session_id, lambda: self.end(session_id))
                case Submit(command):
                    self.submit(command, partial(self.told, live, command))
                case _:
                    pass
        if live.due_us is not None:
            life, due_us = self.daemon, live.due_us

            def tick() -> None:
                if life == self.daemon and live.due_us == due_us and not live.closed:
                    self.act(live, live.tick(self.now_us))

            self.after(max(1, due_us - self.now_us), tick)

    def command(self, session_id: str, effect: Callable[[], None]) -> None:
        """A command to the switch: in order, a little later, sometimes lost."""
        if self.goes_wrong():
            return
        at_us = max(self._last_command_us.get(session_id, 0), self.now_us + self.chance.randrange(150_000))
        self._last_command_us[session_id] = at_us
        call = self.calls[session_id]
        self.after(at_us - self.now_us, lambda: effect() if call.ended_us is None else None)

    def told(self, live: LiveCall, command: Answer | Extend | Settle | Void, outcome: Outcome | None) -> None:
        if outcome is None:
            actions = live.failed(command, self.now_us)
        elif isinstance(outcome, Answered | Extended):
            actions = live.granted_now(outcome, self.now_us)
        else:
            actions = live.session_closed(self.now_us)
        self.act(live, actions)
        if live.closed:
            self.live.pop(live.session_id, None)

    def kill_daemon(self) -> None:
        if self.daemon:
            self.daemon = 0
            self.live.clear()
            self.after(self.chance.randrange(1, 90) * SECOND_US, self.start_daemon)

    def start_daemon(self) -> None:
        if not self.daemon:
            self.lives += 1
            self.daemon = self.lives
            self.reconcile()

    def reconcile(self) -> None:
        """Open reservations against the switch's calls and its log, as a daemon does when it connects."""
        if not self.daemon or self.now_us < self.away_until_us:
            return
        for reservation in list(self.operator.state.reservations.values()):
            session_id = reservation.session_id
            if reservation.state not in OPEN_STATES:
                continue
            call = self.calls.get(session_id)
            if call is None:
                if self.stamp(self.now_us) - reservation.requested_us > 5 * SECOND_US:
                    self._do(Expire(session_id, self.stamp(self.now_us), self.stamp(self.now_us)))
            elif call.ended_us is None:
                self.take_up(session_id, call)
            elif session_id in self.live:
                self.saw_end(session_id, Evidence.CDR_LOG)
            elif session_id in self.log:
                answered_us = None if call.answered_us is None else self.stamp(call.answered_us)
                self._do(Settle(session_id, answered_us, self.stamp(call.ended_us), 16, Evidence.CDR_LOG))
            else:
                self._do(Expire(session_id, self.stamp(self.now_us), self.stamp(self.now_us)))

    def take_up(self, session_id: str, call: SwitchCall) -> None:
        if session_id not in self.live:
            granted = self._do(call.request)
            if not isinstance(granted, Granted):
                return
            self.live[session_id] = LiveCall(granted)
        self.saw_answer(session_id)

    # --- judgement --------------------------------------------------------------------------------

    def broken_promises(self) -> list[str]:
        broken = self.operator.broken_promises()
        for reservation in self.operator.state.reservations.values():
            if reservation.state in OPEN_STATES:
                broken.append(f"{reservation.session_id} is still open")
        for session_id, call in self.calls.items():
            record = self.operator.state.cdrs.get(session_id)
            if record is None:
                broken.append(f"{session_id} has no record")
                continue
            if record.denial is not None and call.watched:
                continue  # it passed, and nobody could be charged
            exact = record.evidence is not Evidence.ESTIMATE
            if exact and (call.answered_us is None) != (record.answered_us is None):
                broken.append(f"{session_id}: the answer of record and switch differ")
            closed = self.operator.state.reservations[session_id].failure_policy == FailurePolicy.CLOSED
            if closed and not self.withdrawn and any(x.uncollected for x in record.charges):
                broken.append(f"{session_id} outlasted its money")
        return broken
