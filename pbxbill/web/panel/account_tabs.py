"""The parts of an account's page, for each section that shows one: (key, text, address)."""

from flask import current_app, url_for
from flask_babel import gettext

from pbxbill.access.actor import Actor
from pbxbill.access.permissions import Permission
from pbxbill.store.models import AccountRow


def account_tabs(account: AccountRow, actor: Actor) -> list[tuple[str, str, str]]:
    """Tabs that whoever acts may open. Lists of other sections are shown for this account alone."""
    own = [
        ("overview", gettext("Overview"), "accounts.show", Permission.ACCOUNTS_READ),
        ("ledger", gettext("Ledger"), "accounts.ledger", Permission.PAYMENTS_READ),
        ("endpoints", gettext("Identification"), "accounts.endpoints", Permission.ACCOUNTS_READ),
        ("limits", gettext("Limits"), "accounts.limits", Permission.ACCOUNTS_READ),
        ("services", gettext("Services"), "accounts.services", Permission.ACCOUNTS_READ),
        ("dunning", gettext("How it pays"), "dunning.account", Permission.DUNNING_READ),
        ("points", gettext("Points"), "points.account", Permission.ACCOUNTS_READ),
        ("saved_cards", gettext("Saved cards"), "accounts.saved_cards", Permission.PAYMENTS_READ),
        ("api_keys", gettext("API keys"), "account_api_keys.listed", Permission.USERS_READ),
        ("notes", gettext("Notes"), "accounts.notes", Permission.ACCOUNTS_WRITE),
    ]
    if account.kind == "reseller":
        own.insert(1, ("below", gettext("Accounts below"), "accounts.below", Permission.ACCOUNTS_READ))
    elsewhere = [
        ("calls", gettext("Calls"), "calls.listed", Permission.CALLS_READ),
        ("invoices", gettext("Invoices"), "invoices.listed", Permission.INVOICES_READ),
        ("payments", gettext("Payments"), "payments.listed", Permission.PAYMENTS_READ),
        ("subscriptions", gettext("Subscriptions"), "subscriptions.listed", Permission.ACCOUNTS_READ),
        ("numbers", gettext("Numbers"), "dids.listed", Permission.NUMBERS_READ),
        ("users", gettext("Users"), "users.listed", Permission.USERS_READ),
    ]
    known = current_app.view_functions
    return [
        *((key, text, url_for(end, id=account.id)) for key, text, end, need in own if actor.may(need)),
        *(
            (key, text, url_for(end, account=account.code))
            for key, text, end, need in elsewhere
            if end in known and actor.may(need)
        ),
    ]
