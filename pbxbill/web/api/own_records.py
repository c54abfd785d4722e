"""What an account sees of itself beside calls and invoices: numbers, payments, messages, and what it used."""

from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import wallets_of
from pbxbill.listing.own import OWN_DISPUTES, OWN_MESSAGES, OWN_NUMBERS, OWN_PAYMENTS
from pbxbill.listing.own_ledger import OWN_LEDGER
from pbxbill.reports.own_usage import OWN_USAGE
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.calls import TAG as CALLS
from pbxbill.web.api.calls import Call, CallPath, explained, seen_call, shown_call
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.reports import TAG as REPORTS
from pbxbill.web.api.reports import ReportShown, ReportTable, WantedTable, described, table_of
from pbxbill.web.api.wallets import Wallets, shown_wallet
from pbxbill.web.front import needs

OWN = "The key's own account"


class OwnExplained(BaseModel):
    """How a charge came about."""

    id: str
    text: str = Field(description="As the account is told it.")


def own_records(api: Api) -> None:
    """Lists, calls one by one, wallets, the report of what was used."""
    front = api.front
    for rule, listing, name in (
        ("/own/numbers", OWN_NUMBERS, "list_own_numbers"),
        ("/own/payments", OWN_PAYMENTS, "list_own_payments"),
        ("/own/messages", OWN_MESSAGES, "list_own_messages"),
        ("/own/disputes", OWN_DISPUTES, "list_own_disputes"),
    ):
        declare_list(api, rule, listing, OWN, name=name)

    declare_list(api, "/own/ledger", OWN_LEDGER, OWN, name="list_own_ledger", id_type=str)
    declare_file(api, "/own/ledger.csv", OWN_LEDGER, OWN)

    @api.get("/own/calls/<session_id>", Call, CALLS)
    @needs(Permission.OWN_READ)
    def get_own_call(path: CallPath) -> Call:
        """One call of the key's own account, with what each wallet gave."""
        with front.reading() as session:
            return shown_call(session, seen_call(session, front.scope, path.session_id))

    @api.get("/own/calls/<session_id>/explanation", OwnExplained, CALLS)
    @needs(Permission.OWN_READ)
    def explain_own_call(path: CallPath) -> OwnExplained:
        """Why a call of the key's own account cost what it cost."""
        with front.reading() as session:
            seen_call(session, front.scope, path.session_id)
        found = explained(front, path.session_id)
        return OwnExplained(id=found.id, text=found.text)

    @api.get("/own/wallets", Wallets, OWN)
    @needs(Permission.OWN_READ)
    def list_own_wallets() -> Wallets:
        """The wallets of the key's own account."""
        with front.reading() as session:
            units = units_by_code(session)
            rows = wallets_of(session, front.scope.account_id)
            return Wallets(items=[shown_wallet(x, units) for x in rows])

    @api.get("/own/reports/usage", ReportShown, REPORTS)
    @needs(Permission.OWN_READ)
    def describe_own_usage() -> ReportShown:
        """What the report of what the key's own account used can be asked for by."""
        return described(OWN_USAGE)

    @api.post("/own/reports/usage/table", ReportTable, REPORTS, 200)
    @needs(Permission.OWN_READ)
    def read_own_usage(body: WantedTable) -> ReportTable:
        """What the key's own account used and was charged for calls, by month, day or destination."""
        return table_of(front, OWN_USAGE, body)
