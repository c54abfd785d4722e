"""Two records with one key: the same one once more, or two that their fingerprint does not tell apart."""

from pbxbill.charging.cdr import RatedCdr
from pbxbill.charging.events import SettleOffline
from pbxbill.clock import SECOND_US
from pbxbill.mediation.items import Item
from pbxbill.mediation.record import Kind, Unusable, UsageRecord

SAME_US = 2 * SECOND_US
"""Another file may tell the same moments in whole seconds."""


def is_again(first: Item, item: Item) -> bool:
    """Whether a batch's item is the one that came before under the same key."""
    before, record = first.record, item.record
    if isinstance(before, Unusable) or isinstance(record, Unusable):
        return first.columns == item.columns
    return (
        (before.account, before.called, before.quantity if before.kind is not Kind.CALL else 0)
        == (record.account, record.called, record.quantity if record.kind is not Kind.CALL else 0)
    ) and _same_moments(record, before.started_us, before.answered_us, before.ended_us)


def charged_otherwise(
    record: UsageRecord, command: SettleOffline, cdr: RatedCdr, account_id: int | None
) -> str:
    """In what a record differs from what was charged under its key; empty: in nothing.

    account_id None: nobody knows whose it was then; 0: it is nobody's.
    """
    if not _same_moments(record, cdr.started_us, cdr.answered_us, cdr.ended_us):
        return "other times"
    if cdr.dialled != command.request.dialled:
        return "another number"
    if record.kind is not Kind.CALL and cdr.billed_us != record.quantity * SECOND_US:
        return "another quantity"
    if account_id is not None and cdr.account_id != account_id:
        return "another account"
    return ""


def _same_moments(record: UsageRecord, started_us: int, answered_us: int | None, ended_us: int) -> bool:
    if (record.answered_us is None) != (answered_us is None):
        return False
    answers_apart_us = 0 if record.answered_us is None else record.answered_us - (answered_us or 0)
    apart_us = (record.started_us - started_us, answers_apart_us, record.ended_us - ended_us)
    return max(map(abs, apart_us)) <= SAME_US
