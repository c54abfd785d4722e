"""What an account sees of itself: lists and files of them, messages, bundles, wallets, and what it used."""

from dataclasses import replace
from typing import Literal

from flask import Response
from pydantic import BaseModel, Field

from pbxbill.access.permissions import Permission
from pbxbill.access.users import LANGUAGES
from pbxbill.billing.account_terms import wallets_of
from pbxbill.listing.own import (
    OWN_CALLS,
    OWN_DISPUTES,
    OWN_MESSAGES,
    OWN_NUMBERS,
    OWN_PAYMENTS,
    own_invoices,
)
from pbxbill.listing.own_ledger import OWN_LEDGER, OWN_POINTS
from pbxbill.notify.outbox import ONE_TIME_LINK
from pbxbill.reports.making import TooLarge
from pbxbill.reports.own_usage import OWN_USAGE
from pbxbill.reports.rendering import FORMATS
from pbxbill.store.bundles import bundles_serving
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.units import units_by_code
from pbxbill.web.api.api import Api
from pbxbill.web.api.bundles import BundleLeft, facts_of_bundle
from pbxbill.web.api.calls import TAG as CALLS
from pbxbill.web.api.calls import Call, CallPath, explained, seen_call, shown_call
from pbxbill.web.api.fields import Moment, moment, moment_or_none
from pbxbill.web.api.listed import declare_file, declare_list
from pbxbill.web.api.messages import MessagePath
from pbxbill.web.api.objects import field, found, wrong
from pbxbill.web.api.points import TAG as POINTS
from pbxbill.web.api.reports import FILE, ReportShown, ReportTable, WantedTable, asked_in, described, table_of
from pbxbill.web.api.reports import TAG as REPORTS
from pbxbill.web.api.wallets import Wallets, shown_wallet
from pbxbill.web.front import needs
from pbxbill.web.report_pages import AT_ONCE_ROWS, made_at_once

OWN = "The key's own account"
TOO_LONG = "this takes too long: ask for fewer days"


class WantedUsage(WantedTable):
    """What of the report is to be in the file."""

    format: Literal[FORMATS] = "csv"  # type: ignore[valid-type]  # made of what there is
    language: Literal[LANGUAGES] = "en"  # type: ignore[valid-type]  # the same


class OwnExplained(BaseModel):
    """How a charge came about."""

    id: str
    text: str = Field(description="As the account is told it.")


class OwnMessage(BaseModel):
    """A mail to the key's own account."""

    id: int
    recipient: str
    subject: str
    text: str | None = Field(description="null: it opens somebody's access, and is for him alone.")
    state: str
    written: Moment
    sent: Moment | None
    invoice_id: int | None = Field(description="The document that came with it.")


class OwnBundle(BundleLeft):
    """A bundle that serves the key's own account, in its present window."""

    shared: bool = Field(description="It is of an account above, and others use it as well.")


class OwnBundles(BaseModel):
    """All that serve it."""

    items: list[OwnBundle]


def own_records(api: Api) -> None:
    """Lists and their files, calls and messages one by one, wallets, the report of what was used."""
    front = api.front
    _declare_lists(api)
    _declare_left(api)
    _declare_calls(api)

    @api.get("/own/messages/<int:message_id>", OwnMessage, OWN)
    @needs(Permission.OWN_READ)
    def get_own_message(path: MessagePath) -> OwnMessage:
        """One mail to the key's own account, as it was written."""
        with front.reading() as session:
            own = (MessageRow.channel == "mail") & front.scope.among(MessageRow.account_id)
            row = found(session, MessageRow, path.message_id, own)
        return OwnMessage(
            id=row.id,
            recipient=row.recipient,
            subject=row.subject,
            text=None if row.kind == ONE_TIME_LINK else row.text,
            state=row.state,
            written=moment(row.created_us),
            sent=moment_or_none(row.sent_us),
            invoice_id=row.invoice_id,
        )

    @api.get("/own/reports/usage", ReportShown, REPORTS)
    @needs(Permission.OWN_READ)
    def describe_own_usage() -> ReportShown:
        """What the report of what the key's own account used can be asked for by."""
        return described(OWN_USAGE)

    @api.post("/own/reports/usage/table", ReportTable, REPORTS, 200)
    @needs(Permission.OWN_READ)
    def read_own_usage(body: WantedTable) -> ReportTable:
        """What the key's own account used and was charged for calls, by month, day or destination."""
        table = table_of(front, OWN_USAGE, body)
        if table is None:
            raise wrong("values", TOO_LONG)
        return table

    @api.post("/own/reports/usage/file", FILE, REPORTS, 200)
    @needs(Permission.OWN_READ)
    def export_own_usage(body: WantedUsage) -> Response:
        """What the key's own account used, as a file. 422: it takes longer than one may wait."""
        asked = replace(asked_in(front, body), limit=AT_ONCE_ROWS[body.format])
        with field("values"):
            try:
                answer = made_at_once(front, OWN_USAGE, asked, body.format, body.language)
            except TooLarge:
                raise wrong("values", TOO_LONG) from None
        answer.mimetype = FILE.mimetype
        return answer


def _declare_lists(api: Api) -> None:
    for rule, listing, name in (
        ("/own/numbers", OWN_NUMBERS, "list_own_numbers"),
        ("/own/payments", OWN_PAYMENTS, "list_own_payments"),
        ("/own/messages", OWN_MESSAGES, "list_own_messages"),
        ("/own/disputes", OWN_DISPUTES, "list_own_disputes"),
    ):
        declare_list(api, rule, listing, OWN, name=name)

    declare_list(api, "/own/ledger", OWN_LEDGER, OWN, name="list_own_ledger", id_type=str)
    declare_list(api, "/own/points/entries", OWN_POINTS, POINTS, name="list_own_points", id_type=str)
    for rule, listing in (
        ("/own/ledger.csv", OWN_LEDGER),
        ("/own/calls.csv", OWN_CALLS),
        ("/own/payments.csv", OWN_PAYMENTS),
        ("/own/invoices.csv", own_invoices(api.front.clock)),
    ):
        declare_file(api, rule, listing, OWN)


def _declare_calls(api: Api) -> None:
    front = api.front

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


def _declare_left(api: Api) -> None:
    front = api.front

    @api.get("/own/bundles", OwnBundles, OWN)
    @needs(Permission.OWN_READ)
    def list_own_bundles() -> OwnBundles:
        """What the key's own account has left of what its plans include."""
        with front.reading() as session:
            account = front.account(session, front.scope.account_id)
            found = bundles_serving(session, account, front.clock.now_us())
        return OwnBundles(
            items=[OwnBundle(**facts_of_bundle(x), shared=x.owner != account.code) for x in found]
        )

    @api.get("/own/wallets", Wallets, OWN)
    @needs(Permission.OWN_READ)
    def list_own_wallets() -> Wallets:
        """The wallets of the key's own account."""
        with front.reading() as session:
            units = units_by_code(session)
            rows = wallets_of(session, front.scope.account_id)
            return Wallets(items=[shown_wallet(x, units) for x in rows])
