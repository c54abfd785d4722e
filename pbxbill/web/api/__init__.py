"""The API for programs, under /api/v1: resources over the same lists and use cases as the panel's.

api.py says how an operation is declared, listed.py pages a Listing, problems.py writes every error,
idempotency.py does a write once, document.py makes the OpenAPI document from what is declared.
"""

from collections.abc import Callable

from flask import Blueprint

from pbxbill.web.api.access_numbers import access_numbers
from pbxbill.web.api.account_records import account_records
from pbxbill.web.api.account_services import account_services
from pbxbill.web.api.accounts import accounts
from pbxbill.web.api.ageing import ageings
from pbxbill.web.api.alerts import alerts
from pbxbill.web.api.api import Api
from pbxbill.web.api.api_keys import account_api_keys, api_keys, own_api_keys
from pbxbill.web.api.balance import balance
from pbxbill.web.api.billing_profiles import billing_profiles
from pbxbill.web.api.billing_runs import billing_runs
from pbxbill.web.api.books import books
from pbxbill.web.api.brand import brand
from pbxbill.web.api.bundles import bundles
from pbxbill.web.api.call_margins import call_margins
from pbxbill.web.api.calls import calls
from pbxbill.web.api.carriers import carriers
from pbxbill.web.api.charges import charges
from pbxbill.web.api.decks import decks
from pbxbill.web.api.destinations import destination_lists, destinations
from pbxbill.web.api.dialling_rules import dialling_rules
from pbxbill.web.api.dids import dids
from pbxbill.web.api.disputes import disputes
from pbxbill.web.api.document import document_pages
from pbxbill.web.api.drafts import drafts
from pbxbill.web.api.dunning import dunning, promises
from pbxbill.web.api.dunning_policies import dunning_policies
from pbxbill.web.api.endpoints import endpoints
from pbxbill.web.api.exchange_sheets import exchange_sheets
from pbxbill.web.api.figures import figures
from pbxbill.web.api.formats import formats
from pbxbill.web.api.gateway_payments import gateway_payments
from pbxbill.web.api.hang_ups import hang_ups
from pbxbill.web.api.invoice_actions import invoice_actions
from pbxbill.web.api.invoice_changes import invoice_changes
from pbxbill.web.api.invoice_entries import invoice_entries
from pbxbill.web.api.invoice_templates import invoice_templates
from pbxbill.web.api.invoices import invoices
from pbxbill.web.api.life_cycle import life_cycle
from pbxbill.web.api.limits import limits
from pbxbill.web.api.mail_server import mail_server
from pbxbill.web.api.mediation import mediation
from pbxbill.web.api.messages import notice_words, sent_messages
from pbxbill.web.api.meter_tariffs import meter_tariffs
from pbxbill.web.api.meters import meters
from pbxbill.web.api.notices import notice_templates, notices
from pbxbill.web.api.one_rate import one_rate
from pbxbill.web.api.operations import operations
from pbxbill.web.api.own_account import own_account
from pbxbill.web.api.own_cards import own_cards
from pbxbill.web.api.own_payments import own_payments
from pbxbill.web.api.own_quotes import own_quotes
from pbxbill.web.api.own_records import own_records
from pbxbill.web.api.own_users import own_users
from pbxbill.web.api.parties import addresses, company
from pbxbill.web.api.payment_corrections import payment_corrections
from pbxbill.web.api.payment_entries import payment_entries
from pbxbill.web.api.payment_gateways import payment_gateways
from pbxbill.web.api.payments import payments
from pbxbill.web.api.plan_migration import plan_migration
from pbxbill.web.api.plans import plans
from pbxbill.web.api.points import calling_cards, points
from pbxbill.web.api.points_rules import points_rules
from pbxbill.web.api.quarantine import quarantine
from pbxbill.web.api.quotes import quotes
from pbxbill.web.api.rate_imports import rate_imports
from pbxbill.web.api.reports import report_schedules, reports
from pbxbill.web.api.rerating import rerating
from pbxbill.web.api.roles import roles
from pbxbill.web.api.saved_methods import own_saved_methods, saved_methods
from pbxbill.web.api.settings import settings
from pbxbill.web.api.standing import standing
from pbxbill.web.api.subscription_requests import subscription_requests
from pbxbill.web.api.subscriptions import subscriptions
from pbxbill.web.api.switches import switches
from pbxbill.web.api.tariffs import tariffs
from pbxbill.web.api.taxes import taxes
from pbxbill.web.api.thresholds import limit_lists, thresholds
from pbxbill.web.api.till import till
from pbxbill.web.api.users import audit_log, users
from pbxbill.web.api.vouchers import redemptions, vouchers
from pbxbill.web.api.wallets import wallets
from pbxbill.web.api.webhooks import webhooks
from pbxbill.web.front import Front

RESOURCES: tuple[Callable[[Api], None], ...] = (
    standing,
    formats,
    accounts,
    wallets,
    balance,
    hang_ups,
    calls,
    call_margins,
    invoices,
    invoice_entries,
    payments,
    webhooks,
    plans,
    decks,
    rate_imports,
    one_rate,
    tariffs,
    destinations,
    destination_lists,
    bundles,
    dids,
    carriers,
    endpoints,
    account_services,
    limits,
    subscriptions,
    subscription_requests,
    charges,
    users,
    audit_log,
    drafts,
    invoice_changes,
    billing_runs,
    roles,
    api_keys,
    account_api_keys,
    payment_corrections,
    gateway_payments,
    saved_methods,
    own_saved_methods,
    vouchers,
    redemptions,
    dunning,
    promises,
    disputes,
    operations,
    alerts,
    mediation,
    quarantine,
    report_schedules,
    figures,
    reports,
    books,
    taxes,
    calling_cards,
    points,
    notice_templates,
    notices,
    quotes,
    invoice_actions,
    invoice_templates,
    meters,
    meter_tariffs,
    plan_migration,
    rerating,
    switches,
    account_records,
    dialling_rules,
    payment_entries,
    points_rules,
    life_cycle,
    dunning_policies,
    ageings,
    limit_lists,
    thresholds,
    notice_words,
    sent_messages,
    payment_gateways,
    access_numbers,
    brand,
    settings,
    exchange_sheets,
    company,
    mail_server,
    addresses,
    billing_profiles,
    till,
    own_account,
    own_records,
    own_payments,
    own_cards,
    own_users,
    own_api_keys,
    own_quotes,
)


def api(front: Front, most_streams: int) -> tuple[Blueprint, ...]:
    """The API's operations, and its document. most_streams: those of events that may be open."""
    made = Api(front, most_streams)
    for resource in RESOURCES:
        resource(made)
    return made.blueprint, document_pages(made)
