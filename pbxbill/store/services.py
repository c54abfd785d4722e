"""Which tariff rates what an account uses beside its calls: messages, bytes, items."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.deck_lookup import deck_by_name
from pbxbill.store.models import AccountRow, TariffRow
from pbxbill.store.tariffs import newest_terms

MEASURES = ("messages", "bytes", "items")
"""A service is named by what it is measured in, unless its records name it otherwise."""


def set_service(session: Session, account: AccountRow, service: str, tariff: TariffRow) -> None:
    """Let a tariff rate a service of an account; the accounts above need one of their own to be charged."""
    if not 1 <= len(service) <= 32 or not service.isprintable():
        raise InputRefused("the name of a service has 1 to 32 characters")
    deck = newest_terms(session, tariff).deck
    measure = deck_by_name(session, deck, tariff.issuer_id).measure if deck else None
    if measure == "seconds" or (service in MEASURES and measure not in {None, service}):
        raise InputRefused(f"tariff {tariff.name} has prices for {measure}, not for {service}")
    row = session.get(ServiceTariffRow, (account.id, service))
    if row is None:
        session.add(ServiceTariffRow(account_id=account.id, service=service, tariff_id=tariff.id))
    else:
        row.tariff_id = tariff.id
    bump_catalogue(session)


def remove_service(session: Session, account: AccountRow, service: str) -> None:
    """Take a service away; what was used is charged, what comes goes to quarantine."""
    row = session.get(ServiceTariffRow, (account.id, service))
    if row is None:
        raise InputRefused(f"account {account.code} has no tariff for {service}")
    session.delete(row)
    bump_catalogue(session)


def list_services(session: Session) -> list[tuple[str, str, str]]:
    """(account code, service, tariff name) of all accounts."""
    rows = session.execute(
        select(AccountRow.code, ServiceTariffRow.service, TariffRow.name)
        .join(ServiceTariffRow, ServiceTariffRow.account_id == AccountRow.id)
        .join(TariffRow, TariffRow.id == ServiceTariffRow.tariff_id)
        .order_by(AccountRow.code, ServiceTariffRow.service)
    )
    return [(code, service, tariff) for code, service, tariff in rows]
