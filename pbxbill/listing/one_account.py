"""Lists of what all accounts have, as the page of one account shows them: what it has itself."""

from dataclasses import replace
from typing import Any

from pbxbill.listing.listing import N_, Filter, FilterKind, Listing, Order, equals

ACCOUNT_ID = "account_id"
"""The filter that the address's path says."""
_WHOSE = {"account", "name"}
"""Columns and filters that say whose something is."""


def of_one_account(
    listing: Listing, account_id: Any, *, without: tuple[str, ...] = (), orders: tuple[Order, ...] = ()
) -> Listing:
    """The list for one account's page. account_id: the column that names the account.

    without: filters that look for accounts; orders: where the list's own are by accounts.
    """
    return replace(
        listing,
        columns=tuple(x for x in listing.columns if x.key not in _WHOSE),
        orders=orders or listing.orders,
        filters=(
            *(x for x in listing.filters if x.key not in _WHOSE and x.key not in without),
            Filter(ACCOUNT_ID, N_("Account"), equals(account_id), FilterKind.NUMBER),
        ),
    )
