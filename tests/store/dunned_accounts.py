"""carol's invoice of January, a policy that duns her, and a clock that tests move day by day."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_catalogue import Policy, import_penalty, import_policy, make_standard
from pbxbill.billing.dunning.dunning_runs import Dunning, run
from pbxbill.billing.payments.payments import Allocated, NewPayment, record_payment, reverse
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Answer, Authorize, Denied, Direction, Granted, Settle
from pbxbill.ids import new_id
from pbxbill.store.driver import connect
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.billed_accounts import GERMANY
from tests.store.invoiced_accounts import DAY_US, FEBRUARY_US, JANUARY, Invoicing, operator_id

HOUR_US = 3_600_000_000
FEE = 'unit = "EUR"\nfixed = "5"\n'
POLICY = """\
hour = 8
brake_accounts = 5

[[level]]
days = 3
notice = "overdue"

[[level]]
days = 10
action = "fee"
penalty = "reminder"
words = { en = "Dear {name}, {open} of {number} is open.", de = "Bitte zahlen Sie {open}." }

[[level]]
days = 20
action = "bar_outgoing"

[[level]]
days = 10
after = "level"
action = "suspend"

[[level]]
days = 10
after = "level"
action = "terminate"

[[level]]
days = 5
after = "level"
action = "collection"
"""


class Dunned(Invoicing):
    """Shortcuts of tests of dunning; invoices of January are due at the end of 15 February."""

    invoice_id = 0
    policy: Policy

    def open(self, policy: str = POLICY) -> None:
        with self.transaction() as session:
            operator = session.get_one(AccountRow, operator_id(session))
            import_penalty(session, operator, "reminder", FEE, 0)
            self.policy = import_policy(session, operator, "standard", policy, 0)
            make_standard(session, self.policy.id, 0)
            set_profile(session, self.accounts.ids["carol"], ProfileTerms(emails=("carol@example.net",)))
        self.call("carol", 6000, 3)
        self.invoice_id = self.invoice("carol", JANUARY).invoice_id
        assert self.row(self.invoice_id)["open"] == eur("12")

    def day(self, day: int, hour: int = 9) -> None:
        """Stand at an hour of a day, counted from the due day: 15 February is 0."""
        at_us = FEBRUARY_US + (14 + day) * DAY_US + hour * HOUR_US
        self.clock.step(at_us - self.clock.now_us())

    def run(self) -> Dunning:
        return run(self.database, self.books, self.clock)

    def until(self, day: int) -> None:
        """Run once on each day up to one."""
        now = (self.clock.now_us() - FEBRUARY_US) // DAY_US - 14
        for number in range(max(0, now), day + 1):
            self.day(number)
            self.run()

    def steps(self) -> list[tuple[int, str]]:
        return self.accounts.select("SELECT level, action FROM dunning_steps ORDER BY id")

    def status(self, code: str = "carol") -> str:
        ((status,),) = self.accounts.select(f"SELECT status FROM accounts WHERE code = '{code}'")
        return str(status)

    def mail(self) -> list[tuple[str, str]]:
        return self.accounts.select(
            "SELECT kind, text FROM outbox WHERE kind IN ('overdue', 'dunning', 'promise_broken') ORDER BY id"
        )

    def pay(self, amount: str, *, key: str = "", code: str = "carol") -> Allocated:
        with self.transaction() as session:
            account = session.get_one(AccountRow, self.accounts.ids[code])
            new = NewPayment(eur(amount), "EUR", "bank", key or new_id())
            return record_payment(session, self.books, account, new, self.clock.now_us())

    def take_back(self, entry_id: str) -> None:
        with self.transaction() as session:
            reverse(session, self.books, entry_id, reason="bounced", now_us=self.clock.now_us())

    def may_call(self, number: str = GERMANY, *, code: str = "carol", emergency: bool = False) -> bool:
        """Whether the engine grants a call now."""
        engine = ChargingEngine(lambda: connect(self.accounts.url), self.clock)
        engine.start()
        session_id = new_id()
        now_us = self.clock.now_us()
        request = Authorize(session_id, "s1", session_id, Direction.OUTBOUND, number, "2001", now_us, code)
        try:
            outcome = engine.execute(request)
            if isinstance(outcome, Granted):
                engine.execute(Answer(session_id, now_us, "leg"))
                engine.execute(Settle(session_id, now_us, now_us, 16))
        finally:
            engine.stop()
        assert isinstance(outcome, Granted | Denied), outcome
        return isinstance(outcome, Granted)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with transaction(self.database) as session:
            yield session
        self.books.announce()
