"""Lists on parts of an account's page: of what it has, below its tabs."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, request

from pbxbill.listing.listing import Listing
from pbxbill.listing.one_account import ACCOUNT_ID
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.lists import ListPage, add_list


def account_of_path(front: Front) -> AccountRow:
    """The account whose page the address names; 404 for any other than those of the scope."""
    with front.reading() as session:
        return front.account(session, int((request.view_args or {})["id"]))


def add_account_list(  # noqa: PLR0913  # what a list is shown by
    section: Blueprint,
    front: Front,
    listing: Listing,
    part: str,
    *,
    empty: tuple[str, str],
    tab: str = "",
    template: str = "part_list",
    more: Callable[[AccountRow], dict[str, Any]] = lambda account: {},
    sparse: tuple[str, ...] = (),
) -> ListPage:
    """Add the routes of a list that is narrowed to the account; part is its last step, and its endpoint."""

    def shown() -> dict[str, Any]:
        account = account_of_path(front)
        tabs = account_tabs(account, front.actor)
        return {"account": account, "tabs": tabs, "tab": tab or part} | more(account)

    page = ListPage(
        listing,
        f"/accounts/<int:id>/{part}",
        endpoint=part,
        template=f"panel/accounts/{template}.html",
        empty=empty,
        more=shown,
        given=lambda: {ACCOUNT_ID: str(account_of_path(front).id)},
        sparse=sparse,
    )
    add_list(section, front, page)
    return page
