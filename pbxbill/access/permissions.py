"""What can be allowed, and what each role is. A route names one permission; a role is a set of them."""

from enum import StrEnum


class Permission(StrEnum):
    """One kind of thing that a user or an API key may do, on the accounts of its scope."""

    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    CALLS_READ = "calls:read"
    CALLS_HANG_UP = "calls:hang-up"
    CATALOGUE_READ = "catalogue:read"
    """Plans, decks, tariffs, destinations, bundles."""
    CATALOGUE_WRITE = "catalogue:write"
    NUMBERS_READ = "numbers:read"
    """DIDs and access numbers."""
    NUMBERS_WRITE = "numbers:write"
    CARRIERS_READ = "carriers:read"
    CARRIERS_WRITE = "carriers:write"
    INVOICES_READ = "invoices:read"
    INVOICES_WRITE = "invoices:write"
    PAYMENTS_READ = "payments:read"
    PAYMENTS_TAKE = "payments:take"
    """Cash, cheques, transfers: enter what came in."""
    PAYMENTS_CORRECT = "payments:correct"
    """Refunds, reversals, write-offs, credit limits, transfers between wallets."""
    VOUCHERS_READ = "vouchers:read"
    VOUCHERS_SELL = "vouchers:sell"
    VOUCHERS_WRITE = "vouchers:write"
    DUNNING_READ = "dunning:read"
    """With disputes, promises and life-cycle."""
    DUNNING_WRITE = "dunning:write"
    NOTICES_READ = "notices:read"
    """With outgoing webhooks, and with alerts of accounts."""
    NOTICES_WRITE = "notices:write"
    OPERATIONS_READ = "operations:read"
    """Switches, jobs, quarantine, reconciliation; the end of alerts that are of no account."""
    OPERATIONS_WRITE = "operations:write"
    REPORTS_READ = "reports:read"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    """With API keys."""
    AUDIT_READ = "audit:read"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    OWN_READ = "own:read"
    """The portal: what an account sees of itself."""
    OWN_PAY = "own:pay"
    """Pay, top up, saved cards, automatic top-up, vouchers."""
    OWN_WRITE = "own:write"
    """Ask for another plan, dispute, choose notices, let others in."""


class Role(StrEnum):
    """What a user is for the account that he acts for."""

    ADMIN = "admin"
    FINANCE = "finance"
    SUPPORT = "support"
    RESELLER = "reseller"
    DISTRIBUTOR = "distributor"
    CUSTOMER = "customer"


_P = Permission
OWN = frozenset({_P.OWN_READ, _P.OWN_PAY, _P.OWN_WRITE})
"""What an account may do about itself."""
_READS = frozenset(x for x in Permission if x.value.endswith(":read")) - {_P.OWN_READ}

PERMISSIONS_OF: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission) - OWN,
    Role.FINANCE: (_READS - {_P.USERS_READ, _P.SETTINGS_READ})
    | {
        _P.INVOICES_WRITE, _P.PAYMENTS_TAKE, _P.PAYMENTS_CORRECT, _P.VOUCHERS_SELL, _P.VOUCHERS_WRITE,
        _P.DUNNING_WRITE, _P.NOTICES_WRITE,
    },
    Role.SUPPORT: (_READS - {_P.USERS_READ, _P.SETTINGS_READ, _P.AUDIT_READ})
    | {_P.ACCOUNTS_WRITE, _P.CALLS_HANG_UP, _P.NUMBERS_WRITE, _P.DUNNING_WRITE},
    # Switches, carriers and what they cost are the operator's.
    Role.RESELLER: (
        frozenset(Permission)
        - {_P.CARRIERS_READ, _P.CARRIERS_WRITE, _P.OPERATIONS_READ, _P.OPERATIONS_WRITE, _P.SETTINGS_WRITE}
    ),
    Role.DISTRIBUTOR: frozenset(
        {_P.ACCOUNTS_READ, _P.PAYMENTS_READ, _P.PAYMENTS_TAKE, _P.VOUCHERS_READ, _P.VOUCHERS_SELL}
    ),
    Role.CUSTOMER: OWN,
}  # fmt: skip

ROLES_OF_KIND: dict[str, tuple[Role, ...]] = {
    "operator": (Role.ADMIN, Role.FINANCE, Role.SUPPORT, Role.DISTRIBUTOR),
    "reseller": (Role.RESELLER, Role.DISTRIBUTOR, Role.CUSTOMER),
    "customer": (Role.CUSTOMER,),
}
"""Roles that users of an account may have, by its kind."""


def permissions_of_kind(kind: str) -> frozenset[Permission]:
    """What a user of an account may do at most, whatever his role."""
    return frozenset().union(*(PERMISSIONS_OF[role] for role in ROLES_OF_KIND[kind]))
