"""What corrections of re-rating changed of calls, by the rates of tax under which it was charged."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pbxbill.billing.taxes.tax import PPM
from pbxbill.money import half_up
from pbxbill.store.driver import Driver

_CORRECTIONS = (
    "SELECT x.entry_id, o.tax_mode, o.tax_ppm, n.tax_mode, n.tax_ppm, COUNT(*), "
    "CAST(SUM(x.old_total) AS BIGINT), CAST(SUM(x.new_total) AS BIGINT), CAST(SUM(x.tax_delta) AS BIGINT), "
    "MAX(CASE WHEN x.invoiced THEN 1 ELSE 0 END) FROM {each_of}call_corrections x "
    "JOIN tariff_versions n ON n.id = x.tariff_version_id "
    "JOIN call_charges c ON c.session_id = x.session_id AND c.level = x.level AND c.line = x.line "
    "JOIN tariff_versions o ON o.id = COALESCE((SELECT y.tariff_version_id FROM call_corrections y "
    "WHERE y.session_id = x.session_id AND y.level = x.level AND y.line = x.line AND y.run_id < x.run_id "
    "ORDER BY y.run_id DESC LIMIT 1), c.tariff_version_id) WHERE x.entry_id {is_each_text} "
    "GROUP BY x.entry_id, o.tax_mode, o.tax_ppm, n.tax_mode, n.tax_ppm"
)
"""What calls had cost, and under which tax, and what they cost now."""


class CorrectedPart(NamedTuple):
    """What an entry changed under one rate."""

    ppm: int | None
    """Of the tax that was taken with the calls; None: none was."""
    calls: int
    gross: int
    tax: int


def corrections_of(
    driver: Driver, entry_ids: Sequence[str]
) -> tuple[dict[str, list[CorrectedPart]], set[str]]:
    """The parts of entries, and which entries are of invoiced calls: these are for notes."""
    parts: dict[str, list[CorrectedPart]] = {}
    of_notes: set[str] = set()
    rows = driver.select(_CORRECTIONS, entry_ids)
    for entry_id, old_mode, old_ppm, new_mode, new_ppm, calls, old, new, tax, invoiced in rows:
        if invoiced:
            of_notes.add(entry_id)
        was_ppm, ppm = taken_ppm(old_mode, old_ppm), taken_ppm(new_mode, new_ppm)
        parts.setdefault(entry_id, []).extend(_corrected(was_ppm, ppm, calls, old, new, tax))
    return parts, of_notes


def _corrected(
    was_ppm: int | None, ppm: int | None, calls: int, old: int, new: int, tax: int
) -> Iterator[CorrectedPart]:
    """Under another rate of tax all comes back, and is charged anew."""
    if was_ppm == ppm:
        yield CorrectedPart(ppm, calls, new - old, tax)
        return
    # What was inside the old total, but for what charges were rounded by: the sum is exact either way.
    old_tax = -tax if ppm is None else half_up(old * (was_ppm or 0), PPM + (was_ppm or 0))
    yield CorrectedPart(was_ppm, calls, -old, -old_tax)
    yield CorrectedPart(ppm, calls, new, tax + old_tax)


def taken_ppm(tax_mode: str, tax_ppm: int) -> int | None:
    """The rate of the tax that a tariff takes with its charges; None: none."""
    return None if tax_mode == "none" or not tax_ppm else tax_ppm
