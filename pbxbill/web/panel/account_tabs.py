"""The parts of an account's page, for each section that shows one: (key, text, address)."""

from flask import current_app, url_for
from flask_babel import gettext

from pbxbill.access.actor import Actor
from pbxbill.access.permissions import Permission
from pbxbill.store.models import AccountRow

LISTS = {
    "calls.listed",
    "invoices.listed",
    "payments.listed",
    "subscriptions.listed",
    "dids.listed",
    "users.listed",
}
"""Of other sections, shown for this account alone."""


def account_tabs(account: AccountRow, actor: Actor) -> list[tuple[str, str, str]]:
    """Tabs that whoever acts may open, the most used first."""
    parts = [
        ("overview", gettext("Overview"), "accounts.show", Permission.ACCOUNTS_READ),
        ("below", gettext("Accounts below"), "accounts.below", Permission.ACCOUNTS_READ),
        ("ledger", gettext("Ledger"), "accounts.ledger", Permission.PAYMENTS_READ),
        ("calls", gettext("Calls"), "calls.listed", Permission.CALLS_READ),
        ("invoices", gettext("Invoices"), "invoices.listed", Permission.INVOICES_READ),
        ("payments", gettext("Payments"), "payments.listed", Permission.PAYMENTS_READ),
        ("subscriptions", gettext("Subscriptions"), "subscriptions.listed", Permission.ACCOUNTS_READ),
        ("endpoints", gettext("Identification"), "accounts.endpoints", Permission.ACCOUNTS_READ),
        ("limits", gettext("Limits"), "accounts.limits", Permission.ACCOUNTS_READ),
        ("numbers", gettext("Numbers"), "dids.listed", Permission.NUMBERS_READ),
        ("services", gettext("Services"), "accounts.services", Permission.ACCOUNTS_READ),
        ("dunning", gettext("How it pays"), "dunning.account", Permission.DUNNING_READ),
        ("points", gettext("Points"), "points.account", Permission.ACCOUNTS_READ),
        ("saved_cards", gettext("Saved cards"), "accounts.saved_cards", Permission.PAYMENTS_READ),
        ("users", gettext("Users"), "users.listed", Permission.USERS_READ),
        ("api_keys", gettext("API keys"), "account_api_keys.listed", Permission.USERS_READ),
        ("notes", gettext("Notes"), "accounts.notes", Permission.ACCOUNTS_WRITE),
    ]
    known = current_app.view_functions
    return [
        (key, text, url_for(end, account=account.code) if end in LISTS else url_for(end, id=account.id))
        for key, text, end, need in parts
        if end in known and actor.may(need) and (key != "below" or account.kind == "reseller")
    ]
