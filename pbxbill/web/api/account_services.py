"""What an account uses beside calls, and the tariffs for it; and its wallets corrected by hand."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import select
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.payments.adjustments import NewAdjustment, adjust_wallet
from pbxbill.store.accounts import tariff_of_issuer
from pbxbill.store.catalogue_models import ServiceTariffRow
from pbxbill.store.models import TariffRow
from pbxbill.store.services import remove_service, set_service
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Sent, SentMoney
from pbxbill.web.api.objects import billed_account, conflicts, field, wrong
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Accounts"
Name = Annotated[Line, StringConstraints(min_length=1, max_length=32)]


class SentService(Sent):
    """A service, and its tariff."""

    service: Name = Field(description="messages, bytes or items; or what its records call it.")
    tariff: Annotated[Line, StringConstraints(min_length=1, max_length=64)]


class NamedService(Sent):
    """A service."""

    service: Name


class AccountService(BaseModel):
    """A service, and the tariff that rates it."""

    service: str
    tariff: str


class AccountServices(BaseModel):
    """All of an account."""

    items: list[AccountService]


class SentAdjustment(Sent):
    """What a wallet gets or loses without money having come or gone."""

    way: Literal["in", "out"] = Field(description="Put into the wallet, or taken out of it.")
    money: SentMoney
    reason: Annotated[Line, StringConstraints(min_length=1, max_length=200)]


class Adjusted(BaseModel):
    """What was booked."""

    entry: str


def account_services(api: Api) -> None:
    """Services and corrections."""
    front = api.front
    rule = "/accounts/<int:account_id>/services"

    @api.get(rule, AccountServices, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def list_account_services(path: AccountPath) -> AccountServices:
        """What an account uses beside calls."""
        with front.reading() as session:
            front.account(session, path.account_id)
            return _services(session, path.account_id)

    @api.post(rule, AccountServices, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def set_account_service(path: AccountPath, body: SentService) -> Answer:
        """Let a tariff rate a service of an account, instead of the one that did."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("service.set", code, account_id=path.account_id) as change:
            account = billed_account(front, change.session, path.account_id)
            with field("tariff"):
                tariff = tariff_of_issuer(change.session, account.parent_id, body.tariff)
            if tariff.issuer_id not in (account.parent_id, front.scope.account_id):
                raise wrong("tariff", f"no tariff '{body.tariff}'")
            with field("service"):
                set_service(change.session, account, body.service, tariff)
            change.session.flush()
            return change.done(_services(change.session, account.id), 201)

    @api.post(f"{rule}/removal", AccountServices, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_account_service(path: AccountPath, body: NamedService) -> Answer:
        """Take a service away: what comes of it goes to quarantine. 409: it has no tariff."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("service.remove", code, account_id=path.account_id) as change:
            account = billed_account(front, change.session, path.account_id)
            with conflicts():
                remove_service(change.session, account, body.service)
            change.session.flush()
            return change.done(_services(change.session, account.id), 201)

    @api.post("/accounts/<int:account_id>/adjustments", Adjusted, TAG)
    @needs(Permission.PAYMENTS_CORRECT)
    def adjust_a_wallet(path: AccountPath, body: SentAdjustment) -> Answer:
        """Correct a wallet. Live calls are shortened for what is taken out. 409: so much is not there."""
        with front.reading() as session:
            code = billed_account(front, session, path.account_id).code
        with api.writing("wallet.adjust", code, account_id=path.account_id) as change:
            account = billed_account(front, change.session, path.account_id)
            with field("money"):
                amount, unit = body.money.of(change.session)
            if amount <= 0:
                raise wrong("money.amount", "must be more than zero")
            new = NewAdjustment(
                amount if body.way == "in" else -amount,
                unit.code,
                f"adjust:{change.key}",
                body.reason,
                front.actor.name,
            )
            with conflicts():
                entry = adjust_wallet(change.session, change.books, account, new, change.now_us)
            return change.done(Adjusted(entry=entry), 201)


def _services(session: Session, account_id: int) -> AccountServices:
    query = (
        select(ServiceTariffRow.service, TariffRow.name)
        .join(TariffRow, TariffRow.id == ServiceTariffRow.tariff_id)
        .where(ServiceTariffRow.account_id == account_id)
        .order_by(ServiceTariffRow.service)
    )
    found = session.execute(query)
    return AccountServices(items=[AccountService(service=x, tariff=y) for x, y in found])
