"""The portal: what an account sees of itself, at /my. A customer has nothing else; a reseller has it beside
the panel, for what he is billed.

Sections are made as those of the panel are. Their blueprints are named my_SECTION: a page of the panel and
one of the portal often show the same thing.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.front import Front
from pbxbill.web.portal.api_keys import my_api_keys
from pbxbill.web.portal.calls import calls
from pbxbill.web.portal.details import details
from pbxbill.web.portal.disputes import disputes
from pbxbill.web.portal.home import home
from pbxbill.web.portal.invoices import invoices
from pbxbill.web.portal.live_balance import live_balance
from pbxbill.web.portal.notices import notices
from pbxbill.web.portal.numbers import numbers
from pbxbill.web.portal.payments import payments
from pbxbill.web.portal.plans import plans
from pbxbill.web.portal.usage import usage
from pbxbill.web.portal.users import my_users

SECTIONS: tuple[Callable[[Front], Blueprint], ...] = (
    home,
    live_balance,
    calls,
    usage,
    invoices,
    payments,
    plans,
    numbers,
    disputes,
    notices,
    details,
    my_users,
    my_api_keys,
)
PREFIX = "/my"
