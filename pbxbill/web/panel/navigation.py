"""The menus at the side, of panel and portal: groups of sections, each shown to whoever may read it.

A line whose endpoint is not registered is left out; a test sees to it that none is misspelt.
"""

from collections.abc import Collection
from dataclasses import dataclass

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_

_P = Permission


@dataclass(frozen=True, slots=True)
class Item:
    """One line."""

    endpoint: str
    title: str
    permission: Permission
    icon: str


@dataclass(frozen=True, slots=True)
class Group:
    """Lines under a heading; without one where its title is empty."""

    title: str
    items: tuple[Item, ...]


PANEL = (
    Group(
        "",
        (
            Item("dashboard.show", N_("Dashboard"), _P.REPORTS_READ, "speedometer2"),
            Item("till.show", N_("Till"), _P.PAYMENTS_TAKE, "cash-coin"),
            Item("first_steps.show", N_("First steps"), _P.SETTINGS_WRITE, "signpost-split"),
        ),
    ),
    Group(
        N_("Customers"),
        (
            Item("accounts.listed", N_("Accounts"), _P.ACCOUNTS_READ, "people"),
            Item("subscriptions.listed", N_("Subscriptions"), _P.ACCOUNTS_READ, "arrow-repeat"),
            Item("dids.listed", N_("Numbers"), _P.NUMBERS_READ, "telephone"),
        ),
    ),
    Group(
        N_("Calls"),
        (
            Item("live.listed", N_("Live calls"), _P.CALLS_READ, "broadcast"),
            Item("calls.listed", N_("Call records"), _P.CALLS_READ, "telephone-outbound"),
            Item("limits.listed", N_("Limits"), _P.ACCOUNTS_READ, "speedometer"),
            Item("carriers.listed", N_("Carriers"), _P.CARRIERS_READ, "diagram-3"),
        ),
    ),
    Group(
        N_("Prices"),
        (
            Item("plans.listed", N_("Plans"), _P.CATALOGUE_READ, "box-seam"),
            Item("tariffs.listed", N_("Tariffs"), _P.CATALOGUE_READ, "tags"),
            Item("decks.listed", N_("Rate decks"), _P.CATALOGUE_READ, "table"),
            Item("destinations.listed", N_("Destinations"), _P.CATALOGUE_READ, "globe2"),
            Item("bundles.listed", N_("Bundles"), _P.CATALOGUE_READ, "gift"),
        ),
    ),
    Group(
        N_("Billing"),
        (
            Item("invoices.listed", N_("Invoices"), _P.INVOICES_READ, "receipt"),
            Item("runs.listed", N_("Invoice runs"), _P.INVOICES_READ, "collection-play"),
            Item("charges.listed", N_("Charges"), _P.INVOICES_READ, "cart"),
            Item("quotes.listed", N_("Quotes"), _P.INVOICES_READ, "file-earmark-text"),
            Item("invoice_templates.listed", N_("Templates"), _P.INVOICES_READ, "layout-text-sidebar"),
            Item("payments.listed", N_("Payments"), _P.PAYMENTS_READ, "cash-stack"),
            Item("vouchers.listed", N_("Vouchers"), _P.VOUCHERS_READ, "ticket-perforated"),
            Item("dunning.listed", N_("Dunning"), _P.DUNNING_READ, "envelope-exclamation"),
            Item("disputes.listed", N_("Disputes"), _P.DUNNING_READ, "chat-left-dots"),
        ),
    ),
    Group(
        N_("Reports"),
        (
            Item("reports.listed", N_("Reports"), _P.REPORTS_READ, "bar-chart-line"),
            Item("books.listed", N_("Books"), _P.REPORTS_READ, "journal-text"),
        ),
    ),
    Group(
        N_("Operations"),
        (
            Item("switches.listed", N_("Switches"), _P.OPERATIONS_READ, "hdd-network"),
            Item("quarantine.listed", N_("Quarantine"), _P.OPERATIONS_READ, "shield-exclamation"),
            Item("reconciliation.listed", N_("Reconciliation"), _P.OPERATIONS_READ, "arrow-left-right"),
            Item("rerating.listed", N_("Re-rating"), _P.OPERATIONS_READ, "arrow-repeat"),
            Item("alerts.listed", N_("Alerts"), _P.NOTICES_READ, "bell"),
            Item("jobs.listed", N_("Jobs"), _P.OPERATIONS_READ, "clock-history"),
            Item("notices.listed", N_("Notices"), _P.NOTICES_READ, "envelope"),
        ),
    ),
    Group(
        N_("Administration"),
        (
            Item("users.listed", N_("Users"), _P.USERS_READ, "person-badge"),
            Item("api_keys.listed", N_("API keys"), _P.USERS_READ, "key"),
            Item("audit.listed", N_("Audit log"), _P.AUDIT_READ, "journal-check"),
            Item("taxes.listed", N_("Taxes"), _P.INVOICES_READ, "percent"),
            Item("issuer.show", N_("Company and numbers"), _P.INVOICES_READ, "building"),
            Item("brand.show", N_("Brand"), _P.CATALOGUE_WRITE, "palette"),
            Item("settings.show", N_("Settings"), _P.SETTINGS_READ, "gear"),
        ),
    ),
)

PORTAL = (
    Group(
        "",
        (
            Item("my_home.show", N_("Overview"), _P.OWN_READ, "house"),
            Item("my_calls.listed", N_("Calls"), _P.OWN_READ, "telephone-outbound"),
            Item("my_reports.show", N_("Usage"), _P.OWN_READ, "bar-chart-line"),
            Item("my_invoices.listed", N_("Invoices"), _P.OWN_READ, "receipt"),
            Item("my_payments.listed", N_("Payments"), _P.OWN_READ, "cash-stack"),
            Item("my_plans.listed", N_("Plans"), _P.OWN_READ, "box-seam"),
            Item("my_numbers.listed", N_("Numbers"), _P.OWN_READ, "telephone"),
            Item("my_disputes.listed", N_("Disputes"), _P.OWN_READ, "chat-left-dots"),
            Item("my_notices.show", N_("Notices"), _P.OWN_READ, "envelope"),
            Item("my_details.show", N_("Your details"), _P.OWN_READ, "card-text"),
            Item("my_users.listed", N_("Users"), _P.OWN_WRITE, "people"),
            Item("my_api_keys.listed", N_("API keys"), _P.OWN_WRITE, "key"),
        ),
    ),
)
"""What an account sees of itself."""


def menu(
    groups: tuple[Group, ...], permissions: Collection[Permission], endpoints: Collection[str]
) -> tuple[Group, ...]:
    """What somebody sees of a menu."""
    shown = (
        Group(
            group.title,
            tuple(x for x in group.items if x.permission in permissions and x.endpoint in endpoints),
        )
        for group in groups
    )
    return tuple(group for group in shown if group.items)
