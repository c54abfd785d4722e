"""GET /.well-known/security.txt (RFC 9116): whom to tell of a weakness."""

from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, abort
from sqlalchemy import select

from pbxbill.billing.parties import party_of
from pbxbill.clock import SECOND_US
from pbxbill.store.models import AccountRow
from pbxbill.web.front import Front, open_to_all

VALID = timedelta(days=180)


def security_txt(front: Front) -> Blueprint:
    """The file, made from the operator's party."""
    made = Blueprint("security_txt", __name__)

    @made.get("/.well-known/security.txt")
    @open_to_all
    def show() -> Response:
        with front.reading() as session:
            operator = session.scalars(select(AccountRow).where(AccountRow.kind == "operator")).one()
            email = party_of(session, operator.id).email
        if not email:
            abort(404)  # without a contact it would not be one
        now = datetime.fromtimestamp(front.clock.now_us() // SECOND_US, UTC)
        lines = [
            f"Contact: mailto:{email}",
            f"Expires: {now + VALID:%Y-%m-%dT00:00:00Z}",
            "Preferred-Languages: en",
        ]
        if front.desks.public_url:
            lines.append(f"Canonical: {front.desks.public_url}/.well-known/security.txt")
        return Response("\n".join(lines) + "\n", mimetype="text/plain")

    return made
