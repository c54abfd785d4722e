"""Webhooks of PayPal's: whether it sent them, and when.

PayPal signs a webhook's id and time, our endpoint's id, and the CRC 32 of the body, by the key of a
certificate that it names. A CRC is no hash: who has seen one signature can write another body to it. So a
webhook that is proven says only that something happened, and names what; all else is asked of PayPal. It
sends one that is not taken 25 times within three days, and does not say whether each is signed anew.
"""

import base64
import binascii
import json
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import urllib3
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from pbxbill.gateways.gateway import Forged, GatewayUnreachable

MAX_WEBHOOK_BYTES = 256 * 1024
MAX_HEADER_LENGTH = 1024
MAX_CERTIFICATE_BYTES = 32 * 1024
CERTIFICATES_KEPT = 16
OLDEST_S = 4 * 86_400
"""A day more than PayPal goes on sending."""
AHEAD_S = 300
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
CERTIFICATE_PATH = "/v1/notifications/certs/"
_SUBJECT = "messageverificationcerts"
_ALGORITHM = "SHA256withRSA"
_MIN_KEY_BITS = 2048

_certificates: dict[str, x509.Certificate] = {}
_certificates_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """Where certificates come from, and whose they are."""

    hosts: tuple[str, ...]
    """Of the addresses that webhooks may name; empty: any port of this machine, in tests."""
    ca_file: str
    """Who vouches for the host; empty: whom the machine trusts."""
    timeout_s: int


def source_at(api_base: str, ca_file: str, timeout_s: int) -> Source:
    """Where an API's webhooks have their certificates: the live ones at PayPal's live host, and so on."""
    parts = urlsplit(api_base)
    if ca_file:
        return Source((), ca_file, timeout_s)
    zone = "sandbox.paypal.com" if (parts.hostname or "").endswith(".sandbox.paypal.com") else "paypal.com"
    return Source((f"api.{zone}", f"api-m.{zone}"), "", timeout_s)


def proven(
    headers: Mapping[str, str], body: bytes, now_us: int, webhook_ids: tuple[str, ...], source: Source
) -> dict[str, Any] | Forged:
    """What a webhook says that PayPal sent to one of our endpoints.

    GatewayUnreachable: its certificate cannot be had now.
    """
    if len(body) > MAX_WEBHOOK_BYTES:
        return Forged(f"larger than {MAX_WEBHOOK_BYTES} bytes")
    named = {name: headers.get(f"paypal-{name}", "") for name in _HEADERS}
    for name, value in named.items():
        if not value or len(value) > MAX_HEADER_LENGTH or not (value.isascii() and value.isprintable()):
            return Forged(f"it has no paypal-{name} that could be one")
    if named["auth-algo"] != _ALGORITHM:
        return Forged(f"it is not signed by {_ALGORITHM}")
    late = _wrong_time(named["transmission-time"], now_us)
    if late is not None:
        return late
    certificate = _certificate(named["cert-url"], source, now_us)
    if isinstance(certificate, Forged):
        return certificate
    if not any(_signed(named, body, webhook_id, certificate) for webhook_id in webhook_ids):
        return Forged("its signature is not PayPal's for a webhook id of ours")
    return _event(body)


_HEADERS = ("transmission-id", "transmission-time", "transmission-sig", "cert-url", "auth-algo")


def _wrong_time(told: str, now_us: int) -> Forged | None:
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return Forged("its time is none")
    if at.tzinfo is None:
        return Forged("its time has no zone")
    age_s = now_us // 1_000_000 - int(at.timestamp())
    if not -AHEAD_S <= age_s <= OLDEST_S:
        return Forged(f"it was sent {abs(age_s)} s {'ago' if age_s > 0 else 'ahead of our clock'}")
    return None


def _signed(named: Mapping[str, str], body: bytes, webhook_id: str, certificate: x509.Certificate) -> bool:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return False
    parts = (named["transmission-id"], named["transmission-time"], webhook_id, str(zlib.crc32(body)))
    try:
        signature = base64.b64decode(named["transmission-sig"], validate=True)
        key.verify(signature, "|".join(parts).encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _event(body: bytes) -> dict[str, Any] | Forged:
    try:
        event = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return Forged(f"it is no event: {str(error)[:100]}")
    if not isinstance(event, dict) or not isinstance(event.get("resource"), dict):
        return Forged("it is no event")
    return event


# --- certificates -----------------------------------------------------------------------------------


def _certificate(address: str, source: Source, now_us: int) -> x509.Certificate | Forged:
    """The certificate at an address that PayPal's webhooks name; fetched once."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return Forged("its certificate is at no address")
    name = parts.path.removeprefix(CERTIFICATE_PATH)
    is_named = parts.path.startswith(CERTIFICATE_PATH) and name.replace("-", "").isalnum()
    at_paypals = parts.netloc in source.hosts if source.hosts else parts.hostname in LOOPBACK
    if parts.scheme != "https" or not at_paypals or not is_named or parts.query:
        return Forged("its certificate is not at PayPal's")
    with _certificates_lock:
        known = _certificates.get(address)
    if known is None:
        fetched = _fetched(address, source)
        if isinstance(fetched, Forged):
            return fetched
        known = fetched
    wrong = _wrong_certificate(known, now_us)
    if wrong is not None:
        return wrong
    with _certificates_lock:
        if len(_certificates) >= CERTIFICATES_KEPT and address not in _certificates:
            _certificates.clear()
        _certificates[address] = known
    return known


def _wrong_certificate(certificate: x509.Certificate, now_us: int) -> Forged | None:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if len(names) == 1 else ""
    if not (name.startswith(f"{_SUBJECT}.") and name.endswith(".paypal.com")):
        return Forged("its certificate is not one by which PayPal signs webhooks")
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return Forged("its certificate is not valid now")
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_KEY_BITS:
        return Forged("its certificate has no key that is strong enough")
    return None


def _fetched(address: str, source: Source) -> x509.Certificate | Forged:
    timeout = urllib3.Timeout(connect=min(10, source.timeout_s), read=source.timeout_s)
    try:
        with urllib3.PoolManager(
            timeout=timeout, retries=False, ca_certs=source.ca_file or None, cert_reqs="CERT_REQUIRED"
        ) as pool:
            answer = pool.request("GET", address, preload_content=False, redirect=False)
            try:
                told = answer.read(MAX_CERTIFICATE_BYTES + 1)
            finally:
                answer.close()
    except urllib3.exceptions.HTTPError as error:
        raise GatewayUnreachable(f"PayPal's certificate cannot be had: {type(error).__name__}") from None
    if answer.status == 404:
        return Forged("its certificate is not at PayPal's")
    if answer.status != 200 or len(told) > MAX_CERTIFICATE_BYTES:
        raise GatewayUnreachable(f"PayPal's certificate cannot be had: status {answer.status}")
    try:
        # The first is the one that signs; those who vouch for it may follow.
        return x509.load_pem_x509_certificates(told)[0]
    except ValueError:
        raise GatewayUnreachable("PayPal's certificate cannot be read") from None
