"""The panel: operators, resellers and distributors at /panel, each with the accounts of his scope.

A section is a module with a function that makes its blueprint from the Front; SECTIONS names them all.
Its routes stand below /panel; its endpoints are called SECTION.VIEW, as the menu names them.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.front import Front
from pbxbill.web.panel.accounts import accounts
from pbxbill.web.panel.alerts import alerts
from pbxbill.web.panel.audit_log import audit
from pbxbill.web.panel.books import books
from pbxbill.web.panel.brand import brand
from pbxbill.web.panel.bundles import bundles
from pbxbill.web.panel.calls import calls
from pbxbill.web.panel.cards import cards
from pbxbill.web.panel.carriers import carriers
from pbxbill.web.panel.charges import charges
from pbxbill.web.panel.dashboard import dashboard
from pbxbill.web.panel.decks import decks
from pbxbill.web.panel.destinations import destinations
from pbxbill.web.panel.dialling_rules import dialling_rules
from pbxbill.web.panel.dids import dids
from pbxbill.web.panel.disputes import disputes
from pbxbill.web.panel.drafts import drafts
from pbxbill.web.panel.dunning import dunning
from pbxbill.web.panel.first_steps import first_steps
from pbxbill.web.panel.gateway_payments import gateway_payments
from pbxbill.web.panel.gateways import gateways
from pbxbill.web.panel.invoices import invoices
from pbxbill.web.panel.issuer import issuer
from pbxbill.web.panel.jobs import jobs
from pbxbill.web.panel.life_cycle import life_cycle
from pbxbill.web.panel.limits import limits
from pbxbill.web.panel.live_calls import live_calls
from pbxbill.web.panel.mediation import mediation
from pbxbill.web.panel.meters import meters
from pbxbill.web.panel.notices import notices
from pbxbill.web.panel.outgoing_webhooks import outgoing_webhooks
from pbxbill.web.panel.payments import payments
from pbxbill.web.panel.plans import plans
from pbxbill.web.panel.points import points
from pbxbill.web.panel.quarantine import quarantine
from pbxbill.web.panel.quotes import quotes
from pbxbill.web.panel.rate_imports import rate_imports
from pbxbill.web.panel.reconciliation import reconciliation
from pbxbill.web.panel.reports import reports
from pbxbill.web.panel.rerating import rerating
from pbxbill.web.panel.runs import runs
from pbxbill.web.panel.settings import settings
from pbxbill.web.panel.subscriptions import subscriptions
from pbxbill.web.panel.switches import switches
from pbxbill.web.panel.tariffs import tariffs
from pbxbill.web.panel.taxes import taxes
from pbxbill.web.panel.templates import invoice_templates
from pbxbill.web.panel.till import till
from pbxbill.web.panel.together import together
from pbxbill.web.panel.users import account_api_keys, api_keys, users
from pbxbill.web.panel.vouchers import vouchers

SECTIONS: tuple[Callable[[Front], Blueprint], ...] = (
    dashboard,
    first_steps,
    till,
    accounts,
    live_calls,
    plans,
    subscriptions,
    tariffs,
    dids,
    dialling_rules,
    destinations,
    carriers,
    bundles,
    decks,
    rate_imports,
    payments,
    gateway_payments,
    gateways,
    vouchers,
    cards,
    points,
    dunning,
    disputes,
    life_cycle,
    notices,
    outgoing_webhooks,
    invoices,
    drafts,
    together,
    quotes,
    charges,
    runs,
    invoice_templates,
    taxes,
    issuer,
    brand,
    users,
    api_keys,
    account_api_keys,
    audit,
    alerts,
    calls,
    jobs,
    mediation,
    quarantine,
    reconciliation,
    reports,
    books,
    switches,
    rerating,
    limits,
    settings,
    meters,
)
PREFIX = "/panel"
