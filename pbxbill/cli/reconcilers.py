"""Gives the Asterisk adapter reconciliation in the form it asks for; it comes down to Reconciler.run()."""

from collections.abc import Callable, Sequence

from pbxbill.ami.engine_port import Resumed
from pbxbill.charging.events import Direction
from pbxbill.charging.reconcile import LiveChannel, Reconciler, SwitchRecord
from pbxbill.store.driver import Driver

CALLS = "SELECT session_id, call_id, direction FROM reservations WHERE session_id {any_text}"


class AsteriskReconciler:
    """pbxbill.ami.engine_port.Reconciler."""

    def __init__(self, reconciler: Reconciler, connect: Callable[[], Driver]) -> None:
        self._reconciler = reconciler
        self._connect = connect

    def reconcile(
        self, switch: str, channels: Sequence[LiveChannel], records: Sequence[SwitchRecord], _now_us: int
    ) -> Sequence[Resumed]:
        """Settle what ended, void what never was, and name the calls that live on."""
        found = self._reconciler.run(switch, channels, lambda since_us: records)
        granted = {rearm.granted.session_id: rearm.granted for rearm in found.rearm}
        if not granted:
            return []
        driver = self._connect()
        try:
            rows = driver.select(CALLS, sorted(granted))
        finally:
            driver.close()
        return [Resumed(granted[row[0]], row[1], Direction(row[2])) for row in rows]

    def settle_offline(self, switch: str, records: Sequence[SwitchRecord]) -> None:
        """Charge calls that passed while nobody could authorize them."""
        self._reconciler.settle_offline(switch, records)
