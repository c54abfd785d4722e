"""Names that reports can be asked for: what is offered while somebody types or chooses."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import SECOND_US
from pbxbill.store.catalogue_models import CarrierRow
from pbxbill.store.models import AccountRow
from pbxbill.store.report_models import RollupRow

MAX_OFFERED = 20
RECENT_S = 45 * 86_400
"""Days are looked through so far back; before that months tell of them."""


def has_resellers(session: Session, scope: Scope) -> bool:
    """Whether resellers are below somebody."""
    query = select(AccountRow.id).where(AccountRow.kind == "reseller", scope.among(AccountRow.id))
    return session.scalar(query.limit(1)) is not None


def carriers_of(session: Session, scope: Scope) -> Sequence[str]:
    """Carriers, for the operator."""
    if not scope.is_everything:
        return ()
    return session.scalars(select(CarrierRow.name).order_by(CarrierRow.name)).all()


def destinations_like(session: Session, scope: Scope, text: str, now_us: int) -> Sequence[str]:
    """Where calls of a seller's customers went, by a part of the name."""
    wanted = text.strip()[:100]
    if not wanted or "\x00" in wanted:
        return ()
    recent = (RollupRow.grain == "day") & (RollupRow.start_us > now_us - RECENT_S * SECOND_US)
    query = (
        select(RollupRow.member)
        .distinct()
        .where(
            RollupRow.seller_id == scope.account_id,
            RollupRow.dimension == "destination",
            recent | (RollupRow.grain == "month"),
            RollupRow.member.icontains(wanted, autoescape=True),
        )
        .order_by(RollupRow.member)
        .limit(MAX_OFFERED)
    )
    return session.scalars(query).all()
