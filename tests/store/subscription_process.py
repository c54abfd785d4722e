"""A process that bills: charges accounts, or assigns a DID, when it is told to begin. Run by tests."""

import json
import sys

from sqlalchemy import select

from pbxbill.billing.subscriptions.collecting import charge_subscriptions
from pbxbill.billing.subscriptions.dids import Assignment, assign_did
from pbxbill.billing.subscriptions.plan_catalogue import issuer_by_code, offered_version
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.clock import ManualClock
from pbxbill.errors import InputRefused
from pbxbill.store.accounts import account_by_code
from pbxbill.store.billing_models import SubscriptionRow
from pbxbill.store.driver import connect
from pbxbill.store.engine import open_engine, transaction


def main() -> None:
    url, task, code, now_text = sys.argv[1:]
    now_us = int(now_text)
    database = open_engine(url)
    books = Bookkeeper(lambda: connect(url), ManualClock(now_us))
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all processes begin together
    if task == "charge":
        with transaction(database) as session:
            query = select(SubscriptionRow.account_id).distinct().order_by(SubscriptionRow.account_id)
            account_ids = session.scalars(query).all()
        made = 0
        for account_id in account_ids:
            with transaction(database) as session:
                made += len(charge_subscriptions(session, books, account_id, now_us, now_us).charge_ids)
            print(made, flush=True)  # noqa: T201
        print(json.dumps({"made": made}), flush=True)  # noqa: T201
        return
    try:
        with transaction(database) as session:
            version = offered_version(session, issuer_by_code(session, None), "number")
            account = account_by_code(session, code)
            assign_did(session, books, "4930555001", account, Assignment(version), now_us)
        print(json.dumps({"got": code}), flush=True)  # noqa: T201
    except InputRefused as refused:
        print(json.dumps({"refused": str(refused)}), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
