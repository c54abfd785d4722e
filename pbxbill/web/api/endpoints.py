"""What tells the switch whose call it is: endpoints of an account, added, suspended, removed."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import identify, identify_no_more
from pbxbill.billing.subscriptions.did_inventory import check_not_in_inventory
from pbxbill.listing.endpoints import ENDPOINTS
from pbxbill.store.limits import ACTIVE, SUSPENDED, list_endpoints, set_endpoint_status
from pbxbill.store.models import EndpointRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Id, Line, Sent
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs

TAG = "Accounts"


class EndpointPath(AccountPath):
    """An endpoint of an account."""

    endpoint_id: Id


class NewIdentification(Sent):
    """What is to identify the account."""

    kind: Literal["sip", "ip", "caller_id", "did"]
    value: Annotated[Line, StringConstraints(min_length=1, max_length=64)]
    tech_prefix: Annotated[str, StringConstraints(pattern="^[0-9*#]{0,16}$")] = Field(
        default="", description="Of an ip: digits before the number that tell it from others."
    )


class IdentificationChange(Sent):
    """Whether calls of it pass."""

    status: Literal["active", "suspended"]


class AccountEndpoint(BaseModel):
    """What identifies an account."""

    id: int
    kind: str
    value: str
    tech_prefix: str
    status: str


class AccountEndpoints(BaseModel):
    """All of an account."""

    items: list[AccountEndpoint]


def endpoints(api: Api) -> None:
    """Endpoints."""
    front = api.front

    def of_account(session: Session, path: EndpointPath) -> EndpointRow:
        front.account(session, path.account_id)
        row = session.get(EndpointRow, path.endpoint_id)
        if row is None or row.account_id != path.account_id:
            raise Refused(404)
        return row

    declare_list(api, "/endpoints", ENDPOINTS, TAG)
    declare_file(api, "/endpoints.csv", ENDPOINTS, TAG)

    @api.get("/accounts/<int:account_id>/endpoints", AccountEndpoints, TAG)
    @needs(Permission.ACCOUNTS_READ)
    def list_account_endpoints(path: AccountPath) -> AccountEndpoints:
        """What identifies an account."""
        with front.reading() as session:
            account = front.account(session, path.account_id)
            return AccountEndpoints(items=[_shown(row) for row, _ in list_endpoints(session, account)])

    @api.post("/accounts/<int:account_id>/endpoints", AccountEndpoint, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def add_account_endpoint(path: AccountPath, body: NewIdentification) -> Answer:
        """Let something identify an account, from its next call on."""
        with front.reading() as session:
            code = front.account(session, path.account_id).code
        with api.writing("endpoint.add", code, account_id=path.account_id) as change:
            account = front.account(change.session, path.account_id)
            with field("value"):
                row = identify(change.session, account, body.kind, body.value, body.tech_prefix)
            return change.done(_shown(row), 201)

    @api.patch(
        "/accounts/<int:account_id>/endpoints/<int:endpoint_id>",
        AccountEndpoint,
        TAG,
        of="/accounts/<int:account_id>/endpoints",
    )
    @needs(Permission.ACCOUNTS_WRITE)
    def change_account_endpoint(path: EndpointPath, body: IdentificationChange) -> Answer:
        """Suspend an endpoint, or let its calls pass again."""
        with front.reading() as session:
            of_account(session, path)
            code = front.account(session, path.account_id).code
        with api.writing("endpoint.change", code, account_id=path.account_id) as change:
            row = of_account(change.session, path)
            with conflicts():
                check_not_in_inventory(change.session, row.kind, row.value)
                set_endpoint_status(change.session, row, SUSPENDED if body.status == "suspended" else ACTIVE)
            return change.done(_shown(row))

    @api.delete(
        "/accounts/<int:account_id>/endpoints/<int:endpoint_id>",
        TAG,
        of="/accounts/<int:account_id>/endpoints",
    )
    @needs(Permission.ACCOUNTS_WRITE)
    def remove_account_endpoint(path: EndpointPath) -> Answer:
        """Let it identify the account no more. Numbers of the inventory are released instead (409)."""
        with front.reading() as session:
            of_account(session, path)
            code = front.account(session, path.account_id).code
        with api.writing("endpoint.remove", code, account_id=path.account_id) as change:
            account = front.account(change.session, path.account_id)
            row = of_account(change.session, path)
            with conflicts():
                identify_no_more(change.session, account, row.kind, row.value, row.tech_prefix)
            return change.done(None)


def _shown(row: EndpointRow) -> AccountEndpoint:
    return AccountEndpoint(
        id=row.id, kind=row.kind, value=row.value, tech_prefix=row.tech_prefix, status=row.status
    )
