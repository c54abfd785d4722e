"""What the small Stripe keeps, and how it changes: pages, payments, cards, refunds, disputes."""

import itertools
from collections.abc import Callable
from typing import Any

import stripe
from stripe.checkout import Session

from tests.gateways.stripe_shapes import Object, shaped

HUNDREDTHS_BY_HABIT = {"isk", "ugx"}
THREE_DIGITS = {"bhd", "jod", "kwd", "omr", "tnd"}
SMALLEST = {"usd": 50, "eur": 50, "gbp": 30}
DAY_S = 86_400


class StripeFault(Exception):
    """An error that Stripe answers with. Those of parameters are not kept under an idempotency key."""

    def __init__(self, status: int, message: str, *, kept: bool = False, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.kept = kept
        kind = details.pop("type", "card_error" if status == 402 else "invalid_request_error")
        self.error: Object = {"type": kind, "message": message} | details


class StripeBooks:
    """Every object by its id, in the order in which they were made."""

    def __init__(self, tell: Callable[[str, Object], None], now_s: Callable[[], float], url: str) -> None:
        self.objects: dict[str, Object] = {}
        self.declines: dict[str, str] = {}
        """By payment method: how the bank declines it; "": it does not."""
        self.refunds_pend = False
        self._tell = tell
        self._now_s = now_s
        self._url = url
        self._ids = itertools.count(1)

    def all(self, kind: str) -> list[Object]:
        """Objects of a kind, the newest first."""
        return [each for each in reversed(self.objects.values()) if each["object"] == kind]

    def new_id(self, prefix: str) -> str:
        """An id as Stripe makes them."""
        return f"{prefix}_{next(self._ids):024d}"

    def get(self, ref: str, kind: str) -> Object:
        """An object; a fault if there is none of that kind."""
        found = self.objects.get(ref)
        if found is None or found["object"] != kind:
            raise StripeFault(404, f"No such {kind}: '{ref}'", code="resource_missing", param="id")
        return found

    def _add(self, prefix: str, model: type[stripe.StripeObject], **values: Any) -> Object:
        always = {"id": self.new_id(prefix), "created": int(self._now_s()), "livemode": False}
        made = shaped(model, **{k: v for k, v in always.items() if k in model.__annotations__}, **values)
        self.objects[made["id"]] = made
        return made

    # --- payers and their cards ---------------------------------------------------------------

    def customer(self, email: str | None = None) -> Object:
        """A new customer."""
        return self._add("cus", stripe.Customer, object="customer", email=email, metadata={})

    def method(self, last4: str, expires: str, *, debit: bool = False) -> Object:
        """A new way to pay, nobody's yet."""
        year, month = map(int, expires.split("-"))
        card = {"brand": "visa", "last4": last4, "exp_year": year, "exp_month": month, "country": "DE"}
        detail = {"sepa_debit": {"last4": last4, "country": "DE"}} if debit else {"card": card}
        return self._add(
            "pm",
            stripe.PaymentMethod,
            object="payment_method",
            type="sepa_debit" if debit else "card",
            billing_details={"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            metadata={},
            **detail,
        )

    def attach(self, method: Object, customer_ref: str) -> None:
        """Keep a way to pay for a customer."""
        method["customer"] = customer_ref
        self._tell("payment_method.attached", method)

    def detach(self, ref: str) -> Object:
        """Forget it."""
        method = self.get(ref, "payment_method")
        if method["customer"] is None:
            raise StripeFault(
                400,
                "The payment method you provided is not attached to a customer so detachment is impossible.",
            )
        method["customer"] = None
        self._tell("payment_method.detached", method)
        return method

    # --- pages and payments -------------------------------------------------------------------

    def page(self, given: Object) -> Object:
        """A new page (checkout session)."""
        price = given["line_items"][0]["price_data"]
        amount, currency = checked_amount(price["unit_amount"], price["currency"])
        for name in ("success_url", "cancel_url"):
            if not given.get(name, "https://").startswith(("http://", "https://")):
                raise StripeFault(400, "Not a valid URL", code="url_invalid", param=name)
        if given.get("customer"):
            self.get(given["customer"], "customer")
            if "customer_email" in given or "customer_creation" in given:
                raise StripeFault(400, "You may only specify one of these parameters: customer and others.")
        ref = self.new_id("cs_test")
        made = shaped(
            Session,
            id=ref,
            object="checkout.session",
            created=int(self._now_s()),
            expires_at=int(self._now_s()) + DAY_S,
            livemode=False,
            mode=given["mode"],
            status="open",
            payment_status="unpaid",
            amount_subtotal=amount,
            amount_total=amount,
            currency=currency,
            client_reference_id=given.get("client_reference_id"),
            metadata=given.get("metadata", {}),
            customer=given.get("customer"),
            customer_creation=given.get("customer_creation"),
            customer_email=given.get("customer_email"),
            success_url=given["success_url"],
            cancel_url=given.get("cancel_url"),
            url=f"{self._url}/pay/{ref}",
            ui_mode="hosted_page",
            automatic_tax={"enabled": False, "liability": None, "provider": None, "status": None},
            custom_fields=[],
            custom_text={},
            payment_method_types=given.get("allowed_payment_method_types", ["card"]),
            shipping_options=[],
        )
        self.objects[ref] = made
        self.objects[f"intent of {ref}"] = {"object": "hidden"} | given.get("payment_intent_data", {})
        return made

    def open_page(self, ref: str) -> Object:
        """A page that a payer can pay on."""
        found = self.get(ref, "checkout.session")
        assert found["status"] == "open", f"the page is {found['status']}: nobody can pay there"
        return found

    def intent_of_page(self, page: Object) -> Object:
        """The payment intent of a page; Stripe makes it when the payer first presses the button."""
        if page["payment_intent"] is None:
            data = self.objects[f"intent of {page['id']}"]
            wanted = {"amount": page["amount_total"], "currency": page["currency"], "metadata": {}} | data
            page["payment_intent"] = self.intent(wanted, status="requires_payment_method")["id"]
        return self.objects[page["payment_intent"]]

    def intent(self, given: Object, status: str = "requires_confirmation") -> Object:
        """A new payment intent, which moves nothing."""
        amount, currency = checked_amount(given["amount"], given["currency"])
        method = given.get("payment_method")
        if method is not None:
            self._check_owner(method, given.get("customer"))
        return self._add(
            "pi",
            stripe.PaymentIntent,
            object="payment_intent",
            amount=amount,
            amount_capturable=0,
            amount_received=0,
            currency=currency,
            capture_method="automatic_async",
            confirmation_method="automatic",
            customer=given.get("customer"),
            payment_method=method,
            payment_method_types=["card"],
            setup_future_usage=given.get("setup_future_usage"),
            description=given.get("description"),
            metadata=given.get("metadata", {}),
            status=status,
        )

    def _check_owner(self, method_ref: str, customer_ref: str | None) -> None:
        method = self.get(method_ref, "payment_method")
        self.get(customer_ref or "", "customer")
        if method["customer"] != customer_ref:
            raise StripeFault(
                400, "The customer does not have a payment method with that ID.", param="payment_method"
            )

    def confirm(self, ref: str) -> Object:
        """Charge the intent's saved card, its holder not being there."""
        intent = self.get(ref, "payment_intent")
        if intent["status"] not in {"requires_confirmation", "requires_payment_method"}:
            raise _unexpected_state(intent, "confirm")
        code = self.declines.get(intent["payment_method"], "")
        if code:
            error = self.fail(intent, code)
            raise StripeFault(402, error["message"], kept=True, **_without(error, "type", "message"))
        self.succeed(intent)
        return intent

    def cancel(self, ref: str) -> Object:
        """End an intent that moved nothing."""
        intent = self.get(ref, "payment_intent")
        if intent["status"] in {"succeeded", "canceled", "processing"}:
            raise _unexpected_state(intent, "cancel")
        intent |= {"status": "canceled", "canceled_at": int(self._now_s())}
        self._tell("payment_intent.canceled", intent)
        return intent

    def succeed(self, intent: Object) -> None:
        """The bank pays."""
        charge = self._add(
            "ch",
            stripe.Charge,
            object="charge",
            amount=intent["amount"],
            amount_captured=intent["amount"],
            amount_refunded=0,
            billing_details={"address": None, "email": None, "name": None, "phone": None, "tax_id": None},
            captured=True,
            currency=intent["currency"],
            customer=intent["customer"],
            disputed=False,
            metadata=dict(intent["metadata"]),
            paid=True,
            payment_intent=intent["id"],
            payment_method=intent["payment_method"],
            refunded=False,
            status="succeeded",
        )
        intent |= {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "latest_charge": charge["id"],
            "last_payment_error": None,
        }
        self._tell("charge.succeeded", charge)
        self._tell("payment_intent.succeeded", intent)

    def fail(self, intent: Object, code: str) -> Object:
        """The bank declines: the error as it is answered."""
        own = {"expired_card", "incorrect_cvc", "processing_error", "authentication_required"}
        error: Object = {
            "type": "card_error",
            "code": code if code in own else "card_declined",
            "message": "Your card was declined.",
        }
        if code not in own:
            error["decline_code"] = code
        intent |= {"status": "requires_payment_method", "last_payment_error": error}
        self._tell("payment_intent.payment_failed", intent)
        return error | {"payment_intent": intent}

    def keep_payer(self, page: Object, intent: Object, method: Object) -> None:
        """Whom a page's payment is of, and what is kept of his way to pay."""
        customer = page["customer"]
        if customer is None and page["customer_creation"] == "always":
            customer = self.customer(page["customer_email"])["id"]
        page["customer"] = intent["customer"] = customer
        intent["payment_method"] = method["id"]
        if customer is not None and intent["setup_future_usage"] == "off_session":
            self.attach(method, customer)

    # --- money that goes back -------------------------------------------------------------------

    def charge_of(self, intent_ref: str) -> Object:
        """What an intent took."""
        intent = self.get(intent_ref, "payment_intent")
        if intent["latest_charge"] is None:
            raise StripeFault(
                400, "This PaymentIntent does not have a successful charge to refund.", param="payment_intent"
            )
        return self.objects[intent["latest_charge"]]

    def refund(self, charge: Object, amount: int, metadata: Object) -> Object:
        """Give back a charge, or part of it."""
        left = charge["amount"] - charge["amount_refunded"]
        if left == 0:
            message = f"Charge {charge['id']} has already been refunded."
            raise StripeFault(400, message, code="charge_already_refunded")
        if charge["disputed"]:
            message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
            raise StripeFault(400, message, code="charge_disputed")
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise StripeFault(400, message, param="amount")
        charge["amount_refunded"] += amount
        refund = self._add(
            "re",
            stripe.Refund,
            object="refund",
            amount=amount,
            charge=charge["id"],
            currency=charge["currency"],
            customer=charge["customer"],
            payment_intent=charge["payment_intent"],
            metadata=metadata,
            status="pending" if self.refunds_pend else "succeeded",
        )
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._tell("refund.created", refund)
        self._tell("charge.refunded", charge)
        return refund

    def dispute(self, charge: Object, amount: int | None, *, inquiry: bool) -> Object:
        """The payer's bank takes a charge back, or asks about it."""
        charge["disputed"] = True
        return self._add(
            "du",
            stripe.Dispute,
            object="dispute",
            amount=charge["amount"] if amount is None else amount,
            balance_transactions=[],
            charge=charge["id"],
            currency=charge["currency"],
            enhanced_eligibility_types=[],
            evidence={},
            evidence_details={
                "due_by": None,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            is_charge_refundable=inquiry,
            metadata={},
            payment_intent=charge["payment_intent"],
            reason="fraudulent",
            status="warning_needs_response" if inquiry else "needs_response",
        )


def checked_amount(amount: str | int, currency: str) -> tuple[int, str]:
    """An amount that Stripe takes; a fault otherwise."""
    if not str(amount).isdigit():
        raise StripeFault(400, f"Invalid integer: {amount}", param="amount", code="parameter_invalid_integer")
    whole, currency = int(amount), currency.lower()
    if len(currency) != 3:
        raise StripeFault(400, f"Invalid currency: {currency}", param="currency")
    if whole < SMALLEST.get(currency, 1):
        raise StripeFault(
            400, "Amount must be at least the minimum.", code="amount_too_small", param="amount"
        )
    if whole > 99_999_999:
        raise StripeFault(
            400, "Amount must be no more than 999,999.99", code="amount_too_large", param="amount"
        )
    step = 100 if currency in HUNDREDTHS_BY_HABIT else 10 if currency in THREE_DIGITS else 1
    if whole % step:
        message = f"Invalid amount: {currency} amounts must be evenly divisible by {step}"
        raise StripeFault(400, message, param="amount")
    return whole, currency


def _unexpected_state(intent: Object, verb: str) -> StripeFault:
    return StripeFault(
        400,
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )


def _without(told: Object, *names: str) -> Object:
    return {name: value for name, value in told.items() if name not in names}
