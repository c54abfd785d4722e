"""What requests of the API were answered: kept for two days, so that one that comes again is done once."""

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from pbxbill.clock import SECOND_US
from pbxbill.store.access_models import IdempotentRequestRow

KEPT_S = 48 * 3600


def forget_requests(session: Session, now_us: int, most: int = 10_000) -> int:
    """Forget those of more than two days ago; how many. Money that moved has keys of its own, for ever."""
    row = IdempotentRequestRow
    old = (
        select(row.api_key_id, row.key)
        .where(row.at_us < now_us - KEPT_S * SECOND_US)
        .order_by(row.at_us)
        .limit(most)
    )
    gone = session.execute(delete(row).where(tuple_(row.api_key_id, row.key).in_(old)))
    return gone.rowcount  # type: ignore[attr-defined,no-any-return]
