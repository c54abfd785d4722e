"""Accounts: the tree of resellers and customers, their wallets, endpoints, limits and notes."""

from flask import Blueprint, Response, jsonify, request
from sqlalchemy import select

from pbxbill.access.permissions import Permission
from pbxbill.listing.accounts import ACCOUNTS
from pbxbill.listing.listing import N_, contains
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.lists import ListPage, add_list

MAX_SUGGESTED = 12


def accounts(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("accounts", __name__)
    add_list(
        section,
        front,
        ListPage(
            ACCOUNTS,
            "/accounts",
            link="accounts.show",
            empty=(N_("There is no account yet"), N_("Accounts pay for calls: open one for whoever calls.")),
        ),
    )

    @section.get("/accounts/suggested")
    @needs(Permission.ACCOUNTS_READ)
    def suggested() -> Response:
        """Codes and names for fields that take an account."""
        text = request.args.get("q", "").strip()[:64]
        query = (
            select(AccountRow.code, AccountRow.name)
            .where(front.scope.among(AccountRow.id), AccountRow.kind != "operator")
            .order_by(AccountRow.code, AccountRow.id)
            .limit(MAX_SUGGESTED)
        )
        with front.reading() as session:
            found = (
                session.execute(contains(AccountRow.code, AccountRow.name)(query, text)).all() if text else ()
            )
        return jsonify([{"value": code, "label": name} for code, name in found])

    @section.get("/accounts/<int:id>")
    @needs(Permission.ACCOUNTS_READ)
    def show(id: int) -> str:
        with front.reading() as session:
            return front.account(session, id).code

    return section
