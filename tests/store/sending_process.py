"""A process that empties the outbox, mails and webhooks, and may be killed at any moment. Run by tests."""

import sys

from pbxbill.clock import SystemClock
from pbxbill.notify.posting import post_waiting
from pbxbill.notify.sending import send_waiting
from pbxbill.notify.smtp import MailSettings
from pbxbill.store.engine import open_engine


def main() -> None:
    url, port = sys.argv[1:]
    database = open_engine(url)
    settings = MailSettings(
        host="127.0.0.1", port=int(port), security="none", sender="billing@operator.example"
    )
    print("ready", flush=True)  # noqa: T201 what the parent reads
    sys.stdin.readline()  # all begin together
    send_waiting(database, SystemClock(), settings)
    post_waiting(database, SystemClock(), private=True)
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
