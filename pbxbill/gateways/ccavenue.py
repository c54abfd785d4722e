"""CCAvenue: payments on its page by an encrypted form, its encrypted answers, order status and refunds.

What passes through the payer's browser is encrypted with AES in CBC mode, always from the same vector, and
not signed: who holds one such message can bend parts of it without knowing the key. So nothing that it says
of money is believed: an answer names an order, and CCAvenue itself is asked about that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from pbxbill.errors import InputRefused
from pbxbill.gateways.currencies import iso_digits
from pbxbill.gateways.gateway import (
    Asked,
    Forged,
    GatewayUnclear,
    GatewayUnreachable,
    Method,
    PaymentFacts,
    PaymentState,
    RefundFacts,
    RefundState,
    Refusal,
    Started,
    WebhookEvent,
)
from pbxbill.gateways.registry import secret

PAGE = "https://secure.ccavenue.com/transaction/transaction.do"
API = "https://api.ccavenue.com/apis/servlet/DoWebTrans"
API_VERSION = "1.2"
MAX_TIMEOUT_S = 120
MAX_BODY_BYTES = 65_536
MAX_ANSWER_BYTES = 262_144
MAX_WHY = 250

_VECTOR = bytes(range(16))
_BLOCK_BITS = 128
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAID = frozenset(("shipped", "successful", "success"))
_DECLINED = frozenset(("unsuccessful", "failure", "failed", "invalid", "fraud", "timeout"))
_CANCELLED = frozenset(("aborted", "cancelled", "auto-cancelled", "auto-reversed"))
_GIVEN_BACK = frozenset(("refunded", "systemrefund", "system refund", "auto-refunded"))
_CHARGED_BACK = frozenset(("chargeback", "charge back"))
_NO_RECORD = frozenset(("51419", "51313"))
"""Error codes by which it says that it has no such order."""

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CCAvenueSettings:
    """A merchant's account at CCAvenue."""

    merchant_id: str
    access_code: str
    working_key_file: str
    """Holds the working key."""
    timeout_s: int = 30
    page_url: str = PAGE
    api_url: str = API

    def __post_init__(self) -> None:
        if not 1 <= self.timeout_s <= MAX_TIMEOUT_S:
            raise InputRefused(f"setting timeout_s is 1 to {MAX_TIMEOUT_S} seconds")
        for name, value in (("merchant_id", self.merchant_id), ("access_code", self.access_code)):
            if not (value.isascii() and value.isalnum() and len(value) <= 40):
                raise InputRefused(f"setting {name} has letters and digits, as CCAvenue's dashboard shows")
        for name, address in (("page_url", self.page_url), ("api_url", self.api_url)):
            parts = urlsplit(address)
            local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
            if not parts.hostname or not (parts.scheme == "https" or local):
                raise InputRefused(f"setting {name} is an address that begins with https://")


def open_ccavenue(settings: CCAvenueSettings) -> "CCAvenueGateway":
    """Read the working key that settings name."""
    return CCAvenueGateway(settings, secret(settings.working_key_file))


class CCAvenueGateway:
    """A merchant's account at CCAvenue. It keeps no cards for us: there is no charge without the payer."""

    kind = "ccavenue"

    def __init__(self, settings: CCAvenueSettings, working_key: str) -> None:
        self._settings = settings
        self._key = working_key
        timeout = urllib3.Timeout(connect=min(10, settings.timeout_s), read=settings.timeout_s)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False)

    def step(self, currency: str) -> int:  # noqa: ARG002  # the same for all
        """Any amount of minor units."""
        return 1

    def start(self, asked: Asked) -> Started | Refusal:
        """The form that the payer's browser posts to its page; nothing is asked of CCAvenue itself."""
        fields = {
            "merchant_id": self._settings.merchant_id,
            "order_id": order_of(asked.key),
            "currency": asked.currency,
            "amount": _decimal(asked.amount, asked.currency),
            "redirect_url": asked.return_url,
            "cancel_url": asked.return_url,
            "language": "EN",
            "billing_name": asked.name[:60],
            "billing_email": asked.email[:70],
            "merchant_param1": asked.description[:100],
        }
        form = {
            "encRequest": encrypted(urlencode(fields), self._key),
            "access_code": self._settings.access_code,
            "command": "initiateTransaction",
        }
        return Started("", self._settings.page_url, form)

    def charge(self, asked: Asked, method_ref: str) -> PaymentFacts | Refusal:  # noqa: ARG002  # it cannot
        """CCAvenue keeps no cards that we could charge."""
        return Refusal("CCAvenue keeps no cards for automatic payments; choose another gateway for them")

    def find(self, key: str, gateway_ref: str, customer_ref: str = "") -> PaymentFacts | None:  # noqa: ARG002
        """What became of an order, by its number or by CCAvenue's reference."""
        told = self._status(key, gateway_ref)
        return None if told is None else self._facts(told)

    def refund(self, payment_ref: str, key: str, amount: int, currency: str) -> RefundFacts | Refusal:
        """Give back an order, or part of it; the same key is given back once.

        GatewayUnclear: it was asked for before, perhaps, and CCAvenue does not say what became of it.
        """
        asked = {
            "reference_no": payment_ref,
            "refund_amount": _decimal(amount, currency),
            "refund_ref_no": order_of(key),
        }
        answer = self._ask("refundOrder", asked)
        result = answer.get("Refund_Order_Result", answer)
        if not isinstance(result, Mapping):
            raise GatewayUnreachable("CCAvenue's answer to a refund cannot be read")
        why = " ".join(str(result.get("reason") or result.get("error_desc") or "").split())[:MAX_WHY]
        if str(result.get("refund_status")) == "0":
            return RefundFacts(payment_ref, key, order_of(key), RefundState.DONE, amount, currency)
        told = why.lower()
        if "reference" in told and ("duplicate" in told or "already" in told):
            # Perhaps our own number of this refund was used, and the first answer did not reach us. Nothing
            # documented says so for certain: neither done nor refused may be booked.
            number = order_of(key)
            raise GatewayUnclear(
                f"CCAvenue: {why}. Look at its dashboard whether refund {number} of {payment_ref} was made"
            )
        return Refusal(f"CCAvenue: {why or 'refused without a reason'}")

    def find_refund(self, payment_ref: str, key: str, gateway_ref: str) -> RefundFacts | None:  # noqa: ARG002
        """CCAvenue tells nothing of a refund by its number. Asked for again, it is not done twice."""
        return None

    def methods(self, customer_ref: str) -> list[Method]:  # noqa: ARG002  # it has none
        """None."""
        return []

    def remove_method(self, method_ref: str) -> None:
        """There are none."""

    def read_webhook(self, headers: Mapping[str, str], body: bytes, now_us: int) -> WebhookEvent | Forged:  # noqa: ARG002
        """An answer that a payer's browser brought: it names an order, which CCAvenue is asked about.

        It carries no time: one that comes again, however old, makes us ask again and nothing else.
        """
        if len(body) > MAX_BODY_BYTES:
            return Forged(f"larger than {MAX_BODY_BYTES} bytes")
        try:
            sent = parse_qs(body.decode("ascii"), max_num_fields=50).get("encResp", [""])[0]
            told = parse_qs(decrypted(sent, self._key), keep_blank_values=True, max_num_fields=100)
        except ValueError as error:
            return Forged(f"it is not encrypted with the working key: {str(error)[:100]}")
        order, reference = told.get("order_id", [""])[0], told.get("tracking_id", [""])[0]
        if not key_of(order) or not (reference.isascii() and reference.isdigit() and len(reference) <= 40):
            return Forged("it names no order of ours")
        # Not of the body: a payer could send the same in a thousand spellings, and each would be kept.
        status = told.get("order_status", [""])[0]
        event = hashlib.sha256(f"{order}|{status[:40]}".encode()).hexdigest()
        return WebhookEvent(f"{reference}:{event[:32]}", "order", None, ask_again=reference)

    # --- asking CCAvenue --------------------------------------------------------------------------

    def _status(self, key: str, reference: str) -> Told | None:
        if not key and not (reference.isascii() and reference.isdigit()):
            return None
        asked = {"reference_no": "" if key else reference, "order_no": order_of(key) if key else ""}
        told = self._ask("orderStatusTracker", asked)
        result = told.get("Order_Status_Result", told)
        if not isinstance(result, Mapping):
            raise GatewayUnreachable("CCAvenue's answer about an order cannot be read")
        if str(result.get("status", "0")) == "1":
            if str(result.get("error_code", "")) in _NO_RECORD:
                return None
            raise GatewayUnreachable(f"CCAvenue: {str(result.get('error_desc', 'no reason'))[:MAX_WHY]}")
        return result

    def _facts(self, told: Told) -> PaymentFacts:
        key = key_of(str(told.get("order_no", "")))
        reference = str(told.get("reference_no", ""))
        currency = str(told.get("order_currncy") or told.get("order_currency") or "").upper()
        if not key or not reference or len(currency) != 3:
            raise GatewayUnreachable("CCAvenue's answer names no order of ours")
        status = str(told.get("order_status", "")).strip().lower()
        why = " ".join(str(told.get("order_bank_response") or "").split())[:MAX_WHY]
        amount = _minor(told.get("order_amt"), currency)
        if status in _PAID:
            captured = told.get("order_capt_amt")
            received = _minor(captured, currency) if _is_above_zero(captured) else amount
            return PaymentFacts(key, reference, PaymentState.PAID, received, currency)
        if status in _DECLINED:
            return PaymentFacts(key, reference, PaymentState.DECLINED, amount, currency, why or "declined")
        if status in _GIVEN_BACK | _CHARGED_BACK:
            # CCAvenue tells of no refund but by this: money that is not booked yet is gone again.
            why = "CCAvenue has given it back" if status in _GIVEN_BACK else "the payer's bank took it back"
            return PaymentFacts(key, reference, PaymentState.CANCELLED, amount, currency, why)
        if status in _CANCELLED:
            return PaymentFacts(key, reference, PaymentState.CANCELLED, amount, currency, why)
        return PaymentFacts(key, reference, PaymentState.OPEN, amount, currency)  # Initiated, Awaited

    def _ask(self, command: str, asked: Mapping[str, str]) -> Told:
        """What CCAvenue answers; GatewayUnreachable where that is none."""
        fields = {
            "enc_request": encrypted(json.dumps(dict(asked)), self._key),
            "access_code": self._settings.access_code,
            "command": command,
            "request_type": "JSON",
            "response_type": "JSON",
            "version": API_VERSION,
        }
        try:
            answer = self._pool.request(
                "POST", self._settings.api_url, fields=fields, encode_multipart=False, preload_content=False
            )
            try:
                body = answer.read(MAX_ANSWER_BYTES + 1)
            finally:
                answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise GatewayUnreachable(f"CCAvenue did not answer: {type(error).__name__}") from None
        if answer.status != 200 or len(body) > MAX_ANSWER_BYTES:
            raise GatewayUnreachable(f"CCAvenue answered with status {answer.status}")
        try:
            parts = parse_qs(body.decode("ascii").strip(), keep_blank_values=True, max_num_fields=20)
            sent = parts.get("enc_response", [""])[0].strip()
            if parts.get("status", [""])[0] != "0":
                # Refused before it was looked at: the access code, or the address that we ask from.
                raise GatewayUnreachable(f"CCAvenue does not take our requests: {sent[:MAX_WHY]}")
            told = json.loads(decrypted(sent, self._key), parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise GatewayUnreachable(f"CCAvenue's answer cannot be read: {str(error)[:100]}") from None
        if not isinstance(told, dict):
            raise GatewayUnreachable("CCAvenue's answer is no object")
        return told


# --- its encryption, its numbers ------------------------------------------------------------------


def encrypted(text: str, working_key: str) -> str:
    """AES-128-CBC under the MD5 of the working key, in hexadecimal digits: as CCAvenue documents it."""
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = _cipher(working_key).encryptor()
    padded = padder.update(text.encode()) + padder.finalize()
    return (encryptor.update(padded) + encryptor.finalize()).hex()


def decrypted(digits: str, working_key: str) -> str:
    """The text again; ValueError where it cannot be one."""
    raw = bytes.fromhex(digits)
    if not raw or len(raw) % 16:
        raise ValueError("it has no whole blocks")
    decryptor = _cipher(working_key).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    padded = decryptor.update(raw) + decryptor.finalize()
    return (unpadder.update(padded) + unpadder.finalize()).decode()


def _cipher(working_key: str) -> Cipher[CBC]:
    digest = hashlib.md5(working_key.encode(), usedforsecurity=False).digest()
    return Cipher(AES128(digest), CBC(_VECTOR))


def order_of(key: str) -> str:
    """A key as an order's number, which has 30 letters and digits at most: in base 36."""
    number, digits = int(key, 16), ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"


def key_of(order: str) -> str:
    """The key of an order's number; empty: it is none of ours."""
    if not (order.isascii() and order.isalnum() and len(order) <= 25):
        return ""
    number = int(order, 36)
    return f"{number:032x}" if number < 1 << 128 else ""


def _decimal(amount: int, currency: str) -> str:
    digits = iso_digits(currency)
    return str(Decimal(amount).scaleb(-digits)) if digits else str(amount)


def _minor(text: object, currency: str) -> int:
    """An amount as it is written; GatewayUnreachable where it is no whole number of minor units."""
    try:
        amount = Decimal(str(text)).scaleb(iso_digits(currency))
        if amount == amount.to_integral_value() and 0 <= amount < 10**15:
            return int(amount)
    except InvalidOperation:
        pass  # told below, as all that is no amount
    raise GatewayUnreachable(f"CCAvenue told of an amount that is none: {str(text)[:40]!r}")


def _is_above_zero(text: object) -> bool:
    try:
        return Decimal(str(text)) > 0
    except InvalidOperation:
        return False
