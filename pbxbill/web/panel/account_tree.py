"""Where accounts are in the tree: the way down to one, all below a reseller; and what identifies them all."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, url_for

from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.listing.endpoints import ENDPOINTS
from pbxbill.listing.listing import N_
from pbxbill.listing.subtrees import above
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front
from pbxbill.web.panel.account_lists import account_of_path
from pbxbill.web.panel.account_tabs import account_tabs
from pbxbill.web.panel.lists import ListPage, add_list


def add_tree(section: Blueprint, front: Front) -> None:
    """Add these pages, and what templates ask for."""

    @section.app_template_global("accounts_above")
    def accounts_above(account: AccountRow) -> list[tuple[str, str]]:
        with front.reading() as session:
            found = above(session, front.scope, account)
        return [(code, url_for("accounts.show", id=id)) for id, code in found]

    def shown() -> dict[str, Any]:
        account = account_of_path(front)
        return {"account": account, "tabs": account_tabs(account, front.actor), "tab": "below"}

    def below(key: str) -> Callable[[], dict[str, str]]:
        return lambda: {key: account_of_path(front).code}

    for endpoint, path, filter_ in (("below", "below", "parent"), ("subtree", "below/all", "below")):
        add_list(
            section,
            front,
            ListPage(
                ACCOUNTS,
                f"/accounts/<int:id>/{path}",
                link="accounts.show",
                endpoint=endpoint,
                template="panel/accounts/below.html",
                empty=(
                    N_("No account is below this one yet"),
                    N_("Accounts that it sells to appear here."),
                ),
                more=shown,
                given=below(filter_),
            ),
        )
    add_list(
        section,
        front,
        ListPage(
            ENDPOINTS,
            "/accounts/identification",
            link=lambda row: url_for("accounts.endpoints", id=row["account_id"]),
            endpoint="identification",
            template="panel/accounts/identification.html",
            empty=(
                N_("Nothing identifies an account yet"),
                N_("Open an account, then say on its page by what the switch knows its calls."),
            ),
        ),
    )
