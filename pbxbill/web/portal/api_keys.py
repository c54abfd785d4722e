"""/my/api-keys: programs of an account, a softphone or a web shop, that see it and act for it."""

from flask import Blueprint

from pbxbill.access.permissions import Permission
from pbxbill.listing.listing import N_
from pbxbill.listing.users import OWN_API_KEYS
from pbxbill.web.front import Front
from pbxbill.web.key_pages import KeyPages, add_key_pages


def my_api_keys(front: Front) -> Blueprint:
    """The section."""
    made = Blueprint("my_api_keys", __name__)
    add_key_pages(
        made,
        front,
        KeyPages(
            "/api-keys",
            OWN_API_KEYS,
            Permission.OWN_WRITE,
            empty=(
                N_("No API keys yet"),
                N_("Make one for a softphone that shows your balance, or for a program of your own."),
            ),
        ),
    )
    return made
