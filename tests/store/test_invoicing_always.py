"""Whatever happens in whatever order: each entry is on one invoice, and invoices, wallets and books agree."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pbxbill.billing.invoices.draft_editing import Correction, NewLine, add_line, correct_line, remove_line
from pbxbill.billing.invoices.drafting import Drafted, discard, draft_period, recalculate
from pbxbill.billing.invoices.gathering import unclaimed_gross
from pbxbill.billing.invoices.issuing import issue
from pbxbill.billing.period import Period
from pbxbill.charging.events import Authorize, Direction
from pbxbill.errors import InputRefused
from pbxbill.ids import new_id
from pbxbill.ledger.accounts import LedgerCode
from tests.books_in_order import problems_of
from tests.store.billed_accounts import FRANCE, GERMANY, BilledAccounts
from tests.store.invoiced_accounts import DAY_US, JANUARY_US, Invoicing

CODES = ("alice", "bob", "carol", "reseller")
STEPS = 60
_CHARGEABLE = (
    "SELECT COUNT(*) FROM journal_entries e JOIN postings p ON p.entry_id = e.id "
    "JOIN ledger_accounts l ON l.id = p.ledger_account_id AND l.code = 'wallet' "
    "LEFT JOIN invoice_entries i ON i.entry_id = e.id WHERE i.entry_id IS NULL "
    "AND (e.kind IN ('usage', 'charge') OR (e.kind = 'adjustment' AND p.amount > 0)) AND l.holder_id = {}"
)


@pytest.fixture
def invoicing(accounts: BilledAccounts) -> Iterator[Invoicing]:
    found = Invoicing(accounts)
    yield found
    found.database.dispose()


@dataclass
class Story:
    """What happens to some accounts, by chance."""

    invoicing: Invoicing
    chance: random.Random
    day: int = 1
    billed_to: dict[str, int] = field(default_factory=dict)
    drafts: list[int] = field(default_factory=list)

    def step(self) -> None:
        actions = [
            *[self.use] * 6,
            *[self.money] * 3,
            *[self.charge] * 3,
            self.time,
            self.time,
            *[self.draft] * 3,
            *[self.issue] * 2,
            self.discard,
            self.recalculate,
            *[self.edit] * 3,
        ]
        self.chance.choice(actions)()

    @property
    def code(self) -> str:
        return self.chance.choice(CODES)

    @property
    def at_us(self) -> int:
        """Now, or a while ago: late."""
        return JANUARY_US + self.chance.randint(max(0, self.day - 20), self.day) * DAY_US

    def use(self) -> None:
        session_id, code = new_id(), self.chance.choice(("alice", "bob", "carol"))
        dialled = self.chance.choice((GERMANY, FRANCE))
        request = Authorize(
            session_id, "s1", session_id, Direction.OUTBOUND, dialled, "2001", self.at_us, code
        )
        self.invoicing.used(request, self.chance.randint(0, 400))

    def money(self) -> None:
        kind, other = self.chance.choice([("top-up", LedgerCode.CASH), ("adjustment", LedgerCode.ADJUSTMENT)])
        cents = self.chance.randint(1, 300)
        sign = -1 if kind == "adjustment" and self.chance.random() < 0.6 else 1
        self.invoicing.post(self.code, f"{sign * cents / 100:.2f}", kind, self.day, other)

    def charge(self) -> None:
        start_us = self.at_us
        service = Period(start_us, start_us + 30 * DAY_US) if self.chance.random() < 0.5 else None
        wallet = self.chance.random() < 0.5
        net = self.chance.randint(-400_000, 2_000_000) or 1
        self.invoicing.charge(
            self.code,
            f"{net / 1_000_000:.6f}",
            day=1 + (start_us - JANUARY_US) // DAY_US,
            collection="wallet" if wallet else "invoice",
            kind="credit" if net < 0 else "recurring",
            service=service,
            tax=f"{net * 19 // 100 / 1_000_000:.6f}" if wallet and self.chance.random() < 0.5 else "0",
        )

    def time(self) -> None:
        self.day += self.chance.randint(1, 12)

    def draft(self) -> None:
        code = self.code
        from_us = self.billed_to.get(code, JANUARY_US)
        period = Period(from_us, JANUARY_US + (self.day + 1) * DAY_US)
        if period.to_us <= from_us:
            return
        now_us = period.to_us
        with self.invoicing.transaction() as session:
            drafted = draft_period(session, self.invoicing.accounts.ids[code], "EUR", period, now_us)
        self.billed_to[code] = period.to_us
        if isinstance(drafted, Drafted):
            self.drafts.append(drafted.invoice_id)

    def issue(self) -> None:
        self.tried(
            lambda session: issue(session, self.invoicing.books, self.chance.choice(self.drafts), self.now_us)
        )

    def discard(self) -> None:
        self.tried(lambda session: discard(session, self.chance.choice(self.drafts), "wrong", self.now_us))

    def recalculate(self) -> None:
        self.tried(lambda session: recalculate(session, self.chance.choice(self.drafts), self.now_us))

    def edit(self) -> None:
        lines = [
            (id, net)
            for id, net in self.invoicing.accounts.select(
                "SELECT l.id, l.net_exact FROM invoice_lines l JOIN invoices i ON i.id = l.invoice_id "
                "WHERE i.state = 'draft' AND l.origin <> 'removed'"
            )
        ]
        which = self.chance.random()
        if which < 0.3:
            new = NewLine("Something", self.chance.randint(-50, 200) * 10_000 or 1)
            self.tried(
                lambda session: add_line(session, self.chance.choice(self.drafts), new, "more", self.now_us)
            )
        elif lines and which < 0.6:
            id, _ = self.chance.choice(lines)
            self.tried(lambda session: remove_line(session, id, "less", self.now_us))
        elif lines:
            id, net = self.chance.choice(lines)
            correction = Correction(net * self.chance.randint(0, 100) // 100)
            self.tried(lambda session: correct_line(session, id, correction, "other", self.now_us))

    def tried(self, change: object) -> None:
        """Done, or refused with everything as it was."""
        if not self.drafts:
            return
        try:
            with self.invoicing.transaction() as session:
                change(session)  # type: ignore[operator]
        except InputRefused:
            pass  # issued, discarded, or below zero: refusals have tests of their own

    @property
    def now_us(self) -> int:
        return JANUARY_US + (self.day + 1) * DAY_US

    def finish(self) -> None:
        """Every account is billed for all that there is."""
        self.day += 40
        for draft in self.drafts:
            try:
                with self.invoicing.transaction() as session:
                    issue(session, self.invoicing.books, draft, self.now_us)
            except InputRefused:
                pass  # discarded
        for code in CODES:
            self.invoicing.charge(code, "50", day=self.day)  # so that nothing waits below zero
            period = Period(self.billed_to.get(code, JANUARY_US), self.now_us)
            with self.invoicing.transaction() as session:
                drafted = draft_period(session, self.invoicing.accounts.ids[code], "EUR", period, self.now_us)
                assert isinstance(drafted, Drafted)
                issue(session, self.invoicing.books, drafted.invoice_id, self.now_us)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_any_story_ends_with_each_entry_on_one_invoice(invoicing: Invoicing, seed: int) -> None:
    invoicing.tax(19)
    story = Story(invoicing, random.Random(seed))
    for number in range(STEPS):
        story.step()
        if number % 20 == 19:
            assert problems_of(invoicing.accounts.url) == []
    story.finish()
    assert problems_of(invoicing.accounts.url) == []
    for code in CODES:
        id = invoicing.accounts.ids[code]
        left = invoicing.accounts.select(_CHARGEABLE.format(id))
        # What drafts held that nobody could issue, for all of their lines were removed, they hold still.
        assert left == [(0,)]
        with invoicing.transaction() as session:
            ((book,),) = invoicing.accounts.select(
                f"SELECT ledger_account_id FROM wallets WHERE account_id = {id}"
            )
            assert unclaimed_gross(session, id, "EUR", book) == 0
    assert invoicing.accounts.select(
        "SELECT COUNT(*) FROM charges WHERE collection = 'invoice' AND invoice_id IS NULL"
    ) == [(0,)]
