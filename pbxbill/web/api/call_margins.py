"""Calls with what each brought and cost, and what is left."""

from pbxbill.listing.calls_margin import MARGINS
from pbxbill.web.api.api import Api
from pbxbill.web.api.calls import TAG
from pbxbill.web.api.listed import declare_file, declare_list


def call_margins(api: Api) -> None:
    """As the key's account sees them: what carriers ask is the operator's alone."""
    declare_list(api, "/calls-margin", MARGINS, TAG)
    declare_file(api, "/calls-margin.csv", MARGINS, TAG)
