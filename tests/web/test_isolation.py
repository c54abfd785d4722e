"""Nobody reaches what belongs to another subtree: every parameter of every route, with another's object."""

import re
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase
from werkzeug.test import TestResponse

from pbxbill.access.actor import Actor, Scope
from pbxbill.access.api_keys import NewKey, make_key
from pbxbill.access.permissions import PERMISSIONS_OF, Permission, Role
from pbxbill.ids import new_id, new_number
from pbxbill.store.access_models import (
    AccountNoteRow,
    ApiKeyRow,
    AuditRow,
    LoginSessionRow,
    PasskeyRow,
    SavedViewRow,
    UserRow,
)
from pbxbill.store.billing_models import (
    ChargeRow,
    DidRow,
    PlanRow,
    SubscriptionChangeRow,
    SubscriptionRow,
    TaxExemptionRow,
    TaxRateRow,
)
from pbxbill.store.catalogue_models import AlertRow, BundleRow, LimitRow, RateImportRow
from pbxbill.store.dunning_models import (
    DisputeFileRow,
    DunningPolicyRow,
    LifeCyclePolicyRow,
    PenaltyClassRow,
    PromiseToPayRow,
)
from pbxbill.store.invoice_models import (
    BillingRunRow,
    InvoiceActionRow,
    InvoiceLineRow,
    InvoiceRow,
    MessageRow,
    TemplateRow,
)
from pbxbill.store.models import (
    AccountRow,
    CdrRow,
    DeckVersionRow,
    EndpointRow,
    PostingRow,
    RateDeckRow,
    ReservationRow,
    TariffRow,
)
from pbxbill.store.notice_models import WebhookEndpointRow
from pbxbill.store.payment_models import (
    AccessNumberRow,
    CallingCardRow,
    GatewayPaymentRow,
    KnownCallerRow,
    PaymentGatewayRow,
    PointsRuleRow,
    ReceivedWebhookRow,
    SavedMethodRow,
    VoucherBatchRow,
)
from pbxbill.store.report_models import ReportRunRow, ReportScheduleRow
from tests.web.made_rows import begin_making, made_row
from tests.web.offices import URL, Browser, Office
from tests.web.routes import Route, routes_of

OBJECTS: dict[str, tuple[type[DeclarativeBase], str]] = {
    "subscriptions": (SubscriptionRow, "id"),
    "requests": (SubscriptionChangeRow, "id"),
    "disputes": (InvoiceRow, "id"),
    "files": (DisputeFileRow, "id"),
    "saved-cards": (SavedMethodRow, "id"),
    "through": (GatewayPaymentRow, "id"),
    "accounts": (AccountRow, "id"),
    "of-account": (AccountRow, "id"),
    "users": (UserRow, "id"),
    "alerts": (AlertRow, "id"),
    "api-keys": (ApiKeyRow, "id"),
    "account-api-keys": (ApiKeyRow, "id"),
    "audit-log": (AuditRow, "id"),
    "views": (SavedViewRow, "id"),
    "sessions": (LoginSessionRow, "token_hash"),
    "passkeys": (PasskeyRow, "id"),
    "endpoints": (EndpointRow, "id"),
    "limits": (LimitRow, "id"),
    "held": (AccountRow, "id"),
    "notes": (AccountNoteRow, "id"),
    "live-calls": (ReservationRow, "session_id"),
    "webhooks": (WebhookEndpointRow, "id"),
    "gateway-payments": (GatewayPaymentRow, "id"),
    "calls": (CdrRow, "session_id"),
    "invoices": (InvoiceRow, "id"),
    "lines": (InvoiceLineRow, "id"),
    "together": (InvoiceActionRow, "id"),
    "quotes": (InvoiceRow, "id"),
    "charges": (ChargeRow, "id"),
    "runs": (BillingRunRow, "id"),
    "templates": (TemplateRow, "id"),
    "taxes": (TaxRateRow, "id"),
    "exemptions": (TaxExemptionRow, "id"),
    "decks": (RateDeckRow, "id"),
    "imports": (RateImportRow, "id"),
    "tariffs": (TariffRow, "id"),
    "bundles": (BundleRow, "id"),
    "take": (AccountRow, "id"),
    "plans": (PlanRow, "id"),
    "numbers": (DidRow, "id"),
    "versions": (DeckVersionRow, "id"),
    "payments": (PostingRow, "entry_id"),
    "journal": (PostingRow, "entry_id"),
    "journal-entries": (PostingRow, "entry_id"),
    "payment-gateways": (PaymentGatewayRow, "id"),
    "received-webhooks": (ReceivedWebhookRow, "id"),
    "vouchers": (VoucherBatchRow, "id"),
    "cards": (CallingCardRow, "id"),
    "rules": (PointsRuleRow, "id"),
    "policies": (DunningPolicyRow, "id"),
    "penalties": (PenaltyClassRow, "id"),
    "promises": (PromiseToPayRow, "id"),
    "life-cycle": (LifeCyclePolicyRow, "id"),
    "messages": (MessageRow, "id"),
    "sent": (MessageRow, "id"),
    "calling-cards": (CallingCardRow, "id"),
    "webhook-endpoints": (WebhookEndpointRow, "id"),
    "webhook-deliveries": (MessageRow, "id"),
    "deck-versions": (DeckVersionRow, "id"),
    "made": (ReportRunRow, "id"),
    "schedules": (ReportScheduleRow, "id"),
    "rate-imports": (RateImportRow, "id"),
    "dids": (DidRow, "id"),
    "changes": (SubscriptionChangeRow, "id"),
    "subscription-requests": (SubscriptionChangeRow, "id"),
    "saved-methods": (SavedMethodRow, "id"),
    "billing-runs": (BillingRunRow, "id"),
    "voucher-batches": (VoucherBatchRow, "id"),
    "dunning-policies": (DunningPolicyRow, "id"),
    "report-runs": (ReportRunRow, "id"),
    "report-schedules": (ReportScheduleRow, "id"),
    "tax-rates": (TaxRateRow, "id"),
    "tax-exemptions": (TaxExemptionRow, "id"),
    "life-cycle-policies": (LifeCyclePolicyRow, "id"),
    "penalty-classes": (PenaltyClassRow, "id"),
    "access-numbers": (AccessNumberRow, "number"),
    "known-callers": (KnownCallerRow, "number"),
    "invoice-actions": (InvoiceActionRow, "id"),
    "invoice-templates": (TemplateRow, "id"),
    "points-rules": (PointsRuleRow, "id"),
}
"""What a parameter names, by the part of the path before it, and by which column."""
SHARED = {"destinations", "dialling-rules", "calendars", "exchange-rates", "units"}
"""Parts whose objects are the operator's and seen by all who sell."""
NAMES_NOTHING = {
    "unit": "EUR",
    "do": "disable",
    "region": "DE",
    "number": "493012345",
    "report": "revenue",
    "kind": "invoice",
    "language": "en",
}
"""Parameters that name no object of anybody, with a value."""
PARAMETER = re.compile(r"<(?:(?!any\()[^<>]*:)?(\w+)>")
SAYS_NOTHING = {"me.end_session"}
"""Ends what is one's own and is silent about the rest."""


@pytest.fixture(scope="module")
def objects(walked: Office) -> dict[str, dict[str, Any]]:
    """By part of the path: an own object of the reseller's (or his customer's), and another's."""
    found: dict[str, dict[str, Any]] = {}
    people = {"own": ("alice", "reseller", "reseller"), "foreign": ("olga", "other", "olga")}
    with walked.writing() as session:
        begin_making(session)
        for whose, (customer, seller, user) in people.items():
            owners = {
                "customer": walked.account_id(customer),
                "seller": walked.account_id(seller),
                "user": walked.user(user).id,
            }
            for part, (model, column) in OBJECTS.items():
                if model is AccountRow:
                    value: Any = owners["customer"]
                elif model is UserRow:
                    value = owners["user"]
                else:
                    value = getattr(made_row(session, model, owners), column)
                found.setdefault(part, {})[whose] = value
    return found


@pytest.fixture(scope="module")
def keys(walked: Office) -> dict[bool, tuple[str, str]]:
    """Keys of the API that may all, and tokens of forms: of a customer (True), of a reseller (False)."""
    made = {}
    with walked.writing() as session:
        for is_own, login, role in ((True, "alice", Role.CUSTOMER), (False, "reseller", Role.RESELLER)):
            account = session.get_one(AccountRow, walked.user(login).account_id)
            actor = Actor(login, Scope(account.id, account.path), PERMISSIONS_OF[role])
            new = NewKey(
                "all", PERMISSIONS_OF[role], per_minute=60_000
            )  # the walk is longer than a minute allows
            _, key = make_key(session, actor, new, 1)
            made[is_own] = login, key
    return {is_own: (key, walked.seat(login).token("/me")) for is_own, (login, key) in made.items()}


def with_parameters(office: Office) -> list[Route]:
    """Routes with an object in their path that a reseller or a customer may ask for."""
    allowed = PERMISSIONS_OF[Role.RESELLER] | PERMISSIONS_OF[Role.CUSTOMER]
    return [
        x
        for x in routes_of(office.app)
        if (x.needed in allowed or x.needed == "logged in") and set(x.parameters) - set(NAMES_NOTHING)
    ]


def parts_of(route: Route) -> dict[str, str]:
    """The part of the path before each parameter that names an object."""
    found = {}
    for before, word in pairwise(route.rule.split("/")):
        for name in PARAMETER.findall(word):
            if name not in NAMES_NOTHING and before not in SHARED:
                found[name] = before
    if route.endpoint.endswith("_keep"):
        return {}  # what is kept is the address, and his own
    if route.endpoint.endswith("_forget"):
        return {"view_id": "views"}
    return found


def test_every_parameter_is_known_here(walked: Office) -> None:
    """Whoever adds a route with an object adds a line to OBJECTS, so that the next test tries it."""
    unknown = {
        (route.rule, name)
        for route in with_parameters(walked)
        for name, part in parts_of(route).items()
        if part not in OBJECTS
    }
    assert unknown == set()


def test_another_ones_objects_are_not_there(
    walked: Office, objects: dict[str, dict[str, Any]], keys: dict[bool, tuple[str, str]]
) -> None:
    wrong = []
    for route in with_parameters(walked):
        parts = parts_of(route)
        if not set(parts.values()) <= set(OBJECTS) or route.endpoint in SAYS_NOTHING:
            continue
        for tried in parts:
            values = dict.fromkeys(route.parameters, 1) | NAMES_NOTHING
            values |= {name: objects[part]["own"] for name, part in parts.items()}
            foreign = ask(walked, keys, route, values | {tried: objects[parts[tried]]["foreign"]})
            unknown = ask(walked, keys, route, values | {tried: not_there(objects[parts[tried]]["foreign"])})
            # What a program sends is looked at before whose it is sent for.
            expected = {404, 400, 415, 422} if route.is_api and route.method != "GET" else {404}
            if foreign.status_code not in expected or foreign.status_code != unknown.status_code:
                wrong.append((route.method, route.rule, tried, foreign.status_code, unknown.status_code))
    assert wrong == []


def not_there(value: Any) -> Any:
    return new_number() >> 22 if isinstance(value, int) else new_id()


def ask(
    office: Office, keys: dict[bool, tuple[str, str]], route: Route, values: dict[str, Any]
) -> TestResponse:
    is_own = isinstance(route.needed, Permission) and route.needed.value.startswith("own:")
    path, (key, token) = route.path(values), keys[is_own]
    if route.is_api:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": new_id()}
        body: dict[str, Any] | None = None if route.method in ("GET", "DELETE") else {}
        return office.app.test_client().open(
            path, method=route.method, base_url=URL, headers=headers, json=body
        )
    browser: Browser = office.seat("alice" if is_own else "reseller")
    headers = {} if route.method == "GET" else {"X-CSRFToken": token}
    return browser.client.open(path, method=route.method, base_url=URL, headers=headers)
