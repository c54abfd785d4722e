"""The key's own account at a glance: how it stands, what is to be paid, what stopped."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle.suspending import all_in_force
from pbxbill.billing.payments.auto_top_ups import stopped_units
from pbxbill.listing.dues import due_of
from pbxbill.store.dunning_models import LifeCycleRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.fields import Moment, Money, moment, moment_or_none, money
from pbxbill.web.api.own_records import OWN
from pbxbill.web.front import needs


class ToPay(BaseModel):
    """What is to be paid in one currency; what is disputed is left out."""

    open: Money
    invoices: int
    due: Moment | None = Field(description="When the first of them is, or was, due.")


class BarredOwn(BaseModel):
    """That the account may not do all."""

    status: str = Field(description="no_outgoing, suspended, inactive or terminated.")
    since: Moment


class OwnAccount(BaseModel):
    """An account, as it stands."""

    account: str
    name: str
    kind: str
    mode: str
    status: str
    opened: Moment
    valid_to: Moment | None = Field(description="Until when the balance may be used; null: for ever.")
    barred_by: list[BarredOwn] = Field(description="The worst first. Emergency calls always pass.")
    to_pay: list[ToPay]
    stopped_top_ups: list[str] = Field(
        description="Wallets that filled themselves until their card was declined too often."
    )


def own_account(api: Api) -> None:
    """The account itself."""
    front = api.front

    @api.get("/own", OwnAccount, OWN)
    @needs(Permission.OWN_READ)
    def get_own_account() -> OwnAccount:
        """How the key's own account stands. `/balance` has what it can spend."""
        with front.reading() as session:
            account = front.account(session, front.scope.account_id)
            life = session.get(LifeCycleRow, account.id)
            units = units_by_code(session)
            return OwnAccount(
                account=account.code,
                name=account.name,
                kind=account.kind,
                mode=account.mode,
                status=account.status,
                opened=moment(account.created_us),
                valid_to=None if life is None else moment_or_none(life.valid_to_us),
                barred_by=[
                    BarredOwn(status=x.status, since=moment(x.from_us))
                    for x in all_in_force(session, account.id)
                ],
                to_pay=[
                    ToPay(
                        open=money(x.open, units[x.unit]),
                        invoices=x.invoices,
                        due=moment_or_none(x.first_us),
                    )
                    for x in due_of(session, account.id)
                ],
                stopped_top_ups=stopped_units(session, account.id),
            )
