"""A process with an engine of its own: tells a story, or spends all that a wallet has. Run by tests."""

import json
import sys
from concurrent.futures import Future

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Extend, Extended, Granted, Outcome, Settle, Settled
from pbxbill.clock import SystemClock
from pbxbill.store.driver import connect
from tests.store.billed_accounts import BilledAccounts
from tests.store.story import story

WINDOW = 100


def tell(engine: ChargingEngine, ids: dict[str, int], seed: int, calls: int) -> None:
    """Send the story, a window at a time, and say after each how far it is."""
    told = story(seed, calls, ids)
    for start in range(0, len(told), WINDOW):
        futures: list[Future[Outcome]] = [engine.submit(x) for x in told[start : start + WINDOW]]
        for future in futures:
            future.result(60)
        print(start + len(futures), flush=True)  # noqa: T201 what the parent reads


def spend(engine: ChargingEngine, accounts: BilledAccounts, calls: int) -> None:
    """Place simultaneous calls, let each grow as far as it can, and settle them to their last second."""
    asked = [engine.submit(accounts.request("hot")) for _ in range(calls)]
    granted = {x.session_id: x.granted_us for x in (f.result(60) for f in asked) if isinstance(x, Granted)}
    growing = set(granted)
    while growing:
        grown = [engine.submit(Extend(x, granted[x] + 60_000_000, 1)) for x in sorted(growing)]
        for outcome in (future.result(60) for future in grown):
            if isinstance(outcome, Extended):
                if outcome.final or outcome.granted_us == granted[outcome.session_id]:
                    growing.discard(outcome.session_id)
                granted[outcome.session_id] = outcome.granted_us
    ended = [engine.submit(Settle(x, 1, 1 + lasted_us, 16)) for x, lasted_us in granted.items()]
    settled = [x for x in (future.result(60) for future in ended) if isinstance(x, Settled)]
    spent = {"calls": len(granted), "spent": sum(x.total for x in settled)}
    print(json.dumps(spent | {"uncollected": sum(x.uncollected for x in settled)}), flush=True)  # noqa: T201


def main() -> None:
    url, ids_text, task, seed, calls = sys.argv[1:]
    ids = json.loads(ids_text)
    engine = ChargingEngine(lambda: connect(url), SystemClock())
    engine.start()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()  # all processes begin together
    if task == "tell":
        tell(engine, ids, int(seed), int(calls))
    else:
        spend(engine, BilledAccounts(url, ids), int(calls))
    engine.stop()


if __name__ == "__main__":
    main()
