"""Names that reports can be asked for: what is offered while somebody types or chooses."""

from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.clock import SECOND_US
from pbxbill.reports.report import ParameterKind, Report
from pbxbill.store.catalogue_models import CarrierRow
from pbxbill.store.models import AccountRow, RateDeckRow, TariffRow
from pbxbill.store.report_models import RollupRow

MAX_OFFERED = 20
MAX_NAMES = 500
RECENT_S = 45 * 86_400
"""Days are looked through so far back; before that months tell of them."""


def has_resellers(session: Session, scope: Scope) -> bool:
    """Whether resellers are below somebody."""
    query = select(AccountRow.id).where(AccountRow.kind == "reseller", scope.among(AccountRow.id))
    return session.scalar(query.limit(1)) is not None


def known_names(session: Session, scope: Scope, report: Report) -> dict[str, Sequence[str]]:
    """Names that parameters of a report may have, by their kinds, for the operator."""
    if not scope.is_everything:
        return {}
    queries: dict[str, Select[str]] = {
        ParameterKind.CARRIER: select(CarrierRow.name).order_by(CarrierRow.name),
        ParameterKind.TARIFF: _own(TariffRow, scope),
        ParameterKind.DECK: _own(RateDeckRow, scope),
    }
    kinds = {x.kind for x in report.parameters} & queries.keys()
    return {kind: session.scalars(queries[kind].limit(MAX_NAMES)).all() for kind in kinds}


def _own(model: type[TariffRow] | type[RateDeckRow], scope: Scope) -> Select[str]:
    return select(model.name).where(scope.issued(model.issuer_id)).order_by(model.name)


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
