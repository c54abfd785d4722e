"""How far a new installation is, from nothing to its first charged call."""

from dataclasses import dataclass, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.billing.parties import party_of
from pbxbill.store.billing_models import IssuerRow, TaxRateRow
from pbxbill.store.models import (
    AccountRow,
    CallChargeRow,
    CdrRow,
    DeckVersionRow,
    EndpointRow,
    RateDeckRow,
    TariffRow,
)


@dataclass(frozen=True, slots=True)
class Steps:
    """What is there already."""

    company: bool
    """The operator has an address, without which no invoice is right."""
    tax: bool
    """His time zone and taxes are said."""
    switch: bool
    rates: bool
    tariff: bool
    account: bool
    """Somebody can call: he has a tariff, and the switch can say that it is him."""
    call: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what is not there."""
        return tuple(x.name for x in fields(self) if not getattr(self, x.name))


def steps_of(session: Session, operator_id: int, *, has_switch: bool) -> Steps:
    """How far it is."""

    def there(*conditions: object) -> bool:
        return session.scalar(select(*conditions).limit(1)) is not None  # type: ignore[call-overload]  # columns

    can_call = (
        select(EndpointRow.id)
        .join(AccountRow, AccountRow.id == EndpointRow.account_id)
        .where(AccountRow.tariff_id.is_not(None), EndpointRow.kind != "did")
        .limit(1)
    )
    taxed = select(TaxRateRow.id).where(TaxRateRow.issuer_id == operator_id).limit(1)
    versions = select(DeckVersionRow.id).join(RateDeckRow, RateDeckRow.id == DeckVersionRow.deck_id).limit(1)
    return Steps(
        company=not party_of(session, operator_id).missing,
        tax=session.get(IssuerRow, operator_id) is not None or session.scalar(taxed) is not None,
        switch=has_switch or there(CdrRow.session_id),
        rates=session.scalar(versions) is not None,
        tariff=there(TariffRow.id),
        account=session.scalar(can_call) is not None,
        call=there(CallChargeRow.session_id),
    )


def is_begun(session: Session) -> bool:
    """Whether there is anybody but the operator."""
    return session.scalar(select(AccountRow.id).where(AccountRow.kind != "operator").limit(1)) is not None


def has_charged(session: Session) -> bool:
    """Whether a call was ever charged."""
    return session.scalar(select(CallChargeRow.session_id).limit(1)) is not None
