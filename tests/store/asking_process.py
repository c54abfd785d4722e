"""A process with an engine: says of each account code and number that it reads whether the call may go on."""

import sys

from pbxbill.charging.engine import ChargingEngine
from pbxbill.charging.events import Authorize, Denied, Direction, Void
from pbxbill.clock import SystemClock
from pbxbill.ids import new_id
from pbxbill.store.driver import connect

CLOCK = SystemClock()


def answer(engine: ChargingEngine, code: str, number: str) -> str:
    session_id, now_us = new_id(), CLOCK.now_us()
    request = Authorize(session_id, "s1", session_id, Direction.OUTBOUND, number, "", now_us, code)
    outcome = engine.execute(request)
    if isinstance(outcome, Denied):
        return f"{outcome.reason}: {outcome.detail}"
    engine.execute(Void(session_id, CLOCK.now_us(), 16))
    return "granted"


def main() -> None:
    url = sys.argv[1]
    engine = ChargingEngine(lambda: connect(url), CLOCK)
    engine.start()
    print("ready", flush=True)  # noqa: T201 what the parent reads
    for asked in sys.stdin:
        code, number = asked.split()
        print(answer(engine, code, number), flush=True)  # noqa: T201
    engine.stop()


if __name__ == "__main__":
    main()
