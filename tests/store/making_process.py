"""A process that makes a batch of vouchers, and may be killed. Run by tests."""

import sys
from pathlib import Path

from pbxbill.billing.codes import voucher_batches
from pbxbill.billing.codes.voucher_batches import facts_of, make_vouchers
from pbxbill.billing.codes.voucher_file import VoucherFile
from pbxbill.store.engine import open_engine, transaction
from pbxbill.store.payment_models import VoucherBatchRow


def main() -> None:
    url, batch_id, path = sys.argv[1:]
    voucher_batches.CHUNK = 7
    database = open_engine(url)
    with transaction(database) as session:
        facts = facts_of(session, session.get_one(VoucherBatchRow, int(batch_id)))
    file = VoucherFile(Path(path), facts, new=False)
    make_vouchers(database, int(batch_id), file, tell=lambda done, _of: print(done, flush=True))  # noqa: T201


if __name__ == "__main__":
    main()
