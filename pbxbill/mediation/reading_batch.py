"""Takes a batch of meter readings, each by itself, in the order of the file: those of one meter follow."""

from collections.abc import Sequence

from pbxbill.charging.catalogue import LoadedCatalogue
from pbxbill.errors import InputRefused
from pbxbill.mediation.items import (
    Charged,
    Fate,
    Item,
    Posted,
    contradicting,
    known_in_quarantine,
)
from pbxbill.mediation.meters import PeriodPosted, Reading, ReadingKnown, UnknownMeter, take_reading
from pbxbill.mediation.record import Reason, Unusable, UsageRecord
from pbxbill.store.driver import Driver


def post_readings(driver: Driver, catalogue: LoadedCatalogue, items: Sequence[Item], now_us: int) -> Posted:
    """Within the driver's transaction."""
    posted = Posted([], [], {}, [], known_in_quarantine(driver, [item.key for item in items]))
    refused: dict[str, Item] = {}
    for position, given in enumerate(items):
        item = given
        held = posted.known.get(item.key)
        fate: Fate | Unusable
        if held is not None and held.state != "open":
            fate = Fate.DUPLICATE
        elif isinstance(item.record, UsageRecord):
            fate = _taken(driver, catalogue, item.record, now_us, posted.charges)
        else:
            fate = item.record
        if isinstance(fate, Unusable):
            first = refused.get(item.key)
            if first is not None and first.columns != item.columns:
                item, _ = contradicting(item, f"line {first.line} has the same one and was refused too")
                posted.known.update(known_in_quarantine(driver, [item.key]))
            posted.unusable[position] = fate
            is_known = item.key in posted.known or item.key in refused
            refused.setdefault(item.key, item)
            fate = Fate.DUPLICATE if is_known else Fate.QUARANTINED
        posted.items.append(item)
        posted.fates.append(fate)
    return posted


def _taken(
    driver: Driver, catalogue: LoadedCatalogue, record: UsageRecord, now_us: int, charges: list[Charged]
) -> Fate | Unusable:
    reading = Reading(record.called, record.quantity, record.started_us)
    try:
        taken = take_reading(driver, catalogue, reading, now_us)
    except UnknownMeter as refused:
        return Unusable(Reason.METER_UNKNOWN, f"{refused}; add it, then retry"[:280], "meter")
    except InputRefused as refused:
        return Unusable(Reason.READING_REFUSED, str(refused)[:280], "quantity")
    if isinstance(taken, PeriodPosted) and taken.entry_id is not None:
        charges.append(Charged(taken.account_id, taken.unit, taken.total, 0))
    return Fate.DUPLICATE if isinstance(taken, ReadingKnown) else Fate.RATED
