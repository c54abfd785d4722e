"""Of which class a called number is, and what a rate counts: read in bulk, kept as long as a run lasts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pbxbill.store.driver import Driver

_LONGEST = "SELECT COALESCE(MAX(LENGTH(prefix)), 0) FROM destination_prefixes"
_PREFIXES = (
    "SELECT p.prefix, d.kind FROM {each_of}destination_prefixes p "
    "JOIN destinations d ON d.id = p.destination_id WHERE p.prefix {is_each_text}"
)
_MEASURES = (
    "SELECT r.id, d.measure FROM rates r JOIN deck_versions v ON v.id = r.deck_version_id "
    "JOIN rate_decks d ON d.id = v.deck_id WHERE r.id {any_int}"
)
MOST_KEPT = 200_000


@dataclass(slots=True)
class Known:
    """What one draft has read and the next one need not read again."""

    longest_prefix: int | None = None
    prefixes: dict[str, str] = field(default_factory=dict)
    """Class by prefix; empty: it is no destination's."""
    measures: dict[int, str] = field(default_factory=dict)


def classes_of(driver: Driver, numbers: Iterable[str], known: Known) -> dict[str, str]:
    """The class of the longest prefix of each number that a destination has."""
    if known.longest_prefix is None:
        ((known.longest_prefix,),) = driver.select(_LONGEST)
    if not known.longest_prefix:
        return {}
    longest = known.longest_prefix
    beginnings = {number: [number[:n] for n in range(min(longest, len(number)), 0, -1)] for number in numbers}
    if len(known.prefixes) > MOST_KEPT:
        known.prefixes.clear()
    missing = {prefix for prefixes in beginnings.values() for prefix in prefixes} - known.prefixes.keys()
    if missing:
        known.prefixes.update(dict.fromkeys(missing, ""))
        known.prefixes.update({row[0]: row[1] for row in driver.select(_PREFIXES, sorted(missing))})
    return {
        number: next((found for prefix in prefixes if (found := known.prefixes[prefix])), "")
        for number, prefixes in beginnings.items()
    }


def measures_of(driver: Driver, rate_ids: Iterable[int], known: Known) -> dict[int, str]:
    """What the decks of rates count: seconds, messages, bytes or items."""
    wanted = set(rate_ids)
    missing = wanted - known.measures.keys()
    if missing:
        known.measures.update({row[0]: row[1] for row in driver.select(_MEASURES, sorted(missing))})
    return {rate_id: known.measures.get(rate_id, "items") for rate_id in wanted}
