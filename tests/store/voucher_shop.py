"""Batches of vouchers and accounts that redeem them, on a real database."""

from dataclasses import dataclass, field
from pathlib import Path

from pbxbill.billing.codes.voucher_batches import (
    Made,
    NewBatch,
    facts_of,
    make_vouchers,
    open_batch,
)
from pbxbill.billing.codes.voucher_file import VoucherFile, read_file
from pbxbill.billing.codes.vouchers import NotRedeemed, Redeemed, redeem
from pbxbill.store.models import AccountRow
from tests.small_operator import eur
from tests.store.invoiced_accounts import JANUARY_US, Invoicing, operator_id


@dataclass
class VoucherShop(Invoicing):
    """bob, hot and carol are customers of the operator; alice is the reseller's."""

    folder: Path = field(default_factory=Path)

    def batch(self, name: str = "spring", count: int = 5, issuer: str = "", **terms: object) -> int:
        """A batch that is not made yet."""
        with self.transaction() as session:
            issuer_id = self.accounts.ids[issuer] if issuer else operator_id(session)
            values: dict[str, object] = {
                "name": name,
                "unit": "EUR",
                "value": eur("10"),
                "count": count,
                "from_us": JANUARY_US,
            }
            new = NewBatch(**(values | terms))  # type: ignore[arg-type]
            return open_batch(session, session.get_one(AccountRow, issuer_id), new, JANUARY_US).id

    def file(self, batch_id: int, *, new: bool = True) -> VoucherFile:
        from pbxbill.store.payment_models import VoucherBatchRow

        with self.transaction() as session:
            facts = facts_of(session, session.get_one(VoucherBatchRow, batch_id))
        return VoucherFile(self.path(batch_id), facts, new=new)

    def path(self, batch_id: int) -> Path:
        return self.folder / f"batch-{batch_id}.csv"

    def fill(self, batch_id: int, *, new: bool = True, chunks: int | None = None) -> Made:
        """Make its vouchers; chunks: it is stopped after so many."""
        done = 0

        def count(_done: int, _of: int) -> None:
            nonlocal done
            done += 1

        file = self.file(batch_id, new=new)
        try:
            return make_vouchers(
                self.database, batch_id, file, stop=lambda: chunks is not None and done >= chunks, tell=count
            )
        finally:
            file.close()

    def codes(self, batch_id: int) -> list[str]:
        """As they were printed."""
        return [voucher.code for voucher in read_file(self.path(batch_id))[1]]

    def made(self, name: str = "spring", count: int = 5, issuer: str = "", **terms: object) -> list[str]:
        """The codes of a new batch."""
        batch_id = self.batch(name, count, issuer, **terms)
        assert self.fill(batch_id) == Made(count, count, True)
        return self.codes(batch_id)

    def redeem(self, code: str, account: str = "bob", caller: str = "") -> Redeemed | NotRedeemed:
        with self.transaction() as session:
            row = session.get_one(AccountRow, self.accounts.ids[account])
            return redeem(
                session,
                self.books,
                row,
                code,
                channel="telephone" if caller else "cli",
                caller=caller,
                now_us=self.clock.now_us(),
            )

    def why(self, code: str, account: str = "bob", caller: str = "") -> str:
        """Why a code brought nothing."""
        outcome = self.redeem(code, account, caller)
        assert isinstance(outcome, NotRedeemed), outcome
        return outcome.why.value
