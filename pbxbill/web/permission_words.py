"""What permissions and roles are called, and what each lets somebody do."""

from flask_babel import gettext

from pbxbill.access.permissions import Permission, Role
from pbxbill.listing.listing import N_

_P = Permission

PERMISSIONS: dict[Permission, str] = {
    _P.ACCOUNTS_READ: N_("See accounts, their wallets, plans and limits"),
    _P.ACCOUNTS_WRITE: N_("Open and change accounts, their plans and limits"),
    _P.CALLS_READ: N_("See calls, live ones as well"),
    _P.CALLS_HANG_UP: N_("Hang up live calls"),
    _P.CATALOGUE_READ: N_("See plans, rate decks, tariffs, destinations and bundles"),
    _P.CATALOGUE_WRITE: N_("Change plans, rate decks, tariffs, destinations and bundles"),
    _P.NUMBERS_READ: N_("See numbers"),
    _P.NUMBERS_WRITE: N_("Add numbers, give them to accounts and take them back"),
    _P.CARRIERS_READ: N_("See carriers and what they cost"),
    _P.CARRIERS_WRITE: N_("Change carriers and what they cost"),
    _P.INVOICES_READ: N_("See invoices, quotes and charges"),
    _P.INVOICES_WRITE: N_("Draft, change, issue, send and correct invoices"),
    _P.PAYMENTS_READ: N_("See payments and ledgers"),
    _P.PAYMENTS_TAKE: N_("Take cash, cheques and transfers"),
    _P.PAYMENTS_CORRECT: N_("Give back, reverse and write off payments, move funds, set credit limits"),
    _P.VOUCHERS_READ: N_("See vouchers and cards"),
    _P.VOUCHERS_SELL: N_("Sell vouchers"),
    _P.VOUCHERS_WRITE: N_("Make and block vouchers and cards"),
    _P.DUNNING_READ: N_("See dunning, disputes, promises and life-cycles"),
    _P.DUNNING_WRITE: N_("Dun, decide disputes, take promises, bar and close accounts"),
    _P.NOTICES_READ: N_("See messages, alerts and outgoing webhooks"),
    _P.NOTICES_WRITE: N_("Change what is sent, where to and when, mark alerts as done"),
    _P.OPERATIONS_READ: N_("See switches, jobs, quarantine and reconciliation"),
    _P.OPERATIONS_WRITE: N_("Start jobs, correct quarantined records, re-rate, mark alerts as done"),
    _P.REPORTS_READ: N_("See the dashboard and reports"),
    _P.USERS_READ: N_("See users and API keys"),
    _P.USERS_WRITE: N_("Let users in, change and disable them, make and revoke API keys"),
    _P.AUDIT_READ: N_("See the audit log"),
    _P.SETTINGS_READ: N_("See settings"),
    _P.SETTINGS_WRITE: N_("Change settings"),
    _P.OWN_READ: N_("See what the account sees of itself: balance, calls, invoices, payments"),
    _P.OWN_PAY: N_("Pay for the account: invoices, top-ups, saved cards, vouchers"),
    _P.OWN_WRITE: N_("Act for the account: ask for plans, dispute, choose notices, let others in"),
}
ROLES: dict[Role, str] = {
    Role.ADMIN: N_("Administers the installation: everything but portals."),
    Role.FINANCE: N_("Invoices, payments, vouchers and dunning of all accounts; sees the rest."),
    Role.SUPPORT: N_("Helps customers: their accounts, calls and numbers; sees most of the rest."),
    Role.RESELLER: N_("Sells: everything of the accounts below, nothing of switches and carriers."),
    Role.DISTRIBUTOR: N_("Sells vouchers and takes cash from customers."),
    Role.CUSTOMER: N_("The portal of one account: what it used, owes and pays."),
}


def permission_text(permission: Permission) -> str:
    """What a permission allows, with its name in programs."""
    return f"{gettext(PERMISSIONS[permission])} ({permission.value})"
