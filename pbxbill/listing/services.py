"""The list of what accounts use beside calls, and of the tariffs that rate it."""

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from pbxbill.access.actor import Scope
from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_, Column, ColumnKind, Filter, Listing, Order, Rows, contains, equals
from pbxbill.listing.one_account import of_one_account
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.models import AccountRow, TariffRow

_PLACE = cast(ServiceTariffRow.account_id, String) + ":" + ServiceTariffRow.service


def _rows(_session: Session, scope: Scope) -> Rows:
    return (
        select(
            _PLACE.label("id"),
            AccountRow.code.label("account"),
            AccountRow.name.label("name"),
            ServiceTariffRow.service.label("service"),
            TariffRow.name.label("tariff"),
        )
        .join(AccountRow, AccountRow.id == ServiceTariffRow.account_id)
        .join(TariffRow, TariffRow.id == ServiceTariffRow.tariff_id)
        .where(scope.among(ServiceTariffRow.account_id))
    )


SERVICES = Listing(
    name="services",
    title=N_("Services"),
    permission=Permission.ACCOUNTS_READ,
    columns=(
        Column("service", N_("Service"), ColumnKind.CODE),
        Column("tariff", N_("Tariff")),
        Column("account", N_("Account"), ColumnKind.CODE),
        Column("name", N_("Name"), wide=True),
    ),
    rows=_rows,
    orders=(Order("service", N_("Service"), ServiceTariffRow.service, _PLACE),),
    filters=(
        Filter("q", N_("Service or tariff"), contains(ServiceTariffRow.service, TariffRow.name)),
        Filter("account", N_("Account's code"), equals(AccountRow.code)),
    ),
)
ACCOUNT_SERVICES = of_one_account(SERVICES, ServiceTariffRow.account_id)
