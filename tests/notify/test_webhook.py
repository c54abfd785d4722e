"""One delivery: what a receiver can verify, and where none is made."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook, WebhookVerificationError

from pbxbill.clock import SystemClock
from pbxbill.errors import InputRefused
from pbxbill.notify.webhook import (
    Accepted,
    Gone,
    Hook,
    NotAccepted,
    checked_secret,
    checked_url,
    is_public,
    new_secret,
    post,
)
from tests.notify.mail_servers import misbehaving
from tests.notify.web_receivers import receiver

SECRET = new_secret()
BODY = '{"type":"top_up","data":{"name":"Čaj & kafa"}}'


def hook(url: str, *secrets: str) -> Hook:
    return Hook(url, "msg_1", BODY, secrets or (SECRET,))


def now_us() -> int:
    return SystemClock().now_us()


def test_a_receiver_verifies_it_with_the_standards_own_library() -> None:
    with receiver() as kept:
        assert post(hook(f"{kept.url}?a=1"), now_us(), private=True) == Accepted()
        (got,) = kept.hooks
    assert got.path == "/hooks?a=1"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["webhook-id"] == "msg_1"
    assert Webhook(SECRET).verify(got.body, got.headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body.replace("top_up", "refund"), got.headers)


def test_while_secrets_change_both_of_them_verify() -> None:
    old = new_secret()
    with receiver() as kept:
        post(hook(kept.url, SECRET, old), now_us(), private=True)
        (got,) = kept.hooks
    for secret in (SECRET, old):
        Webhook(secret).verify(got.body, got.headers)


def test_the_signature_is_of_the_time_of_the_attempt() -> None:
    with receiver() as kept:
        post(hook(kept.url), now_us() - 600_000_000, private=True)
        (got,) = kept.hooks
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(SECRET).verify(got.body, got.headers)


def test_what_receivers_answer_decides() -> None:
    with receiver() as kept:
        for status, expected in (
            (200, Accepted()),
            (202, Accepted()),
            (410, Gone("it answered 410 Gone")),
            (500, NotAccepted("it answered 500")),
            (404, NotAccepted("it answered 404")),
            (429, NotAccepted("it answered 429")),
        ):
            kept.status = status
            assert post(hook(kept.url), now_us(), private=True) == expected


def test_redirects_are_not_followed() -> None:
    with receiver() as kept, receiver() as other:
        kept.status, kept.location = 307, other.url
        answer = post(hook(kept.url), now_us(), private=True)
        assert isinstance(answer, NotAccepted)
        assert "redirects are not followed" in answer.why
        assert other.hooks == []


def test_a_receiver_that_sends_without_end_is_not_read_to_its_end() -> None:
    with receiver() as kept:
        kept.status, kept.body = 200, b"x" * 50_000_000
        begun = time.monotonic()
        assert post(hook(kept.url), now_us(), private=True) == Accepted()
        assert time.monotonic() - begun < 5


def _trickle(link: socket.socket) -> None:
    try:
        while True:
            link.sendall(b"H")
            if threading.Event().wait(0.05):
                return
    except OSError:
        return


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_answers_a_letter_at_a_time_is_cut_off(scheme: str) -> None:
    with misbehaving(_trickle) as settings:
        begun = time.monotonic()
        url = f"{scheme}://127.0.0.1:{settings.port}/"
        answer = post(hook(url), now_us(), private=True, total_s=0.5)
        assert isinstance(answer, NotAccepted)
        assert time.monotonic() - begun < 5


def test_nobody_there_is_no_fault_of_ours() -> None:
    answer = post(hook("http://127.0.0.1:1/"), now_us(), private=True)
    assert isinstance(answer, NotAccepted)
    assert "refused" in answer.why


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "::127.0.0.1", "ff02::1",
        "2001:0:53aa:64c:0:0:80ff:fffe", "240.0.0.1", "198.18.0.1", "192.0.2.1", "2001:db8::1",
        "fec0::1",
    ],
)  # fmt: skip
def test_addresses_of_our_own_network_are_no_place_for_customers_webhooks(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_addresses_of_others_are(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_name_that_leads_to_our_own_network_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *more: object, **options: object) -> list[object]:
        asked.append(host)
        found = {"hooks.example.com": "127.0.0.1"}.get(host, host)
        return list(real(found, port, type=socket.SOCK_STREAM))

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    answer = post(hook("https://hooks.example.com/"), now_us(), private=False)
    assert answer == NotAccepted("hooks.example.com is in a private network; webhooks are not posted there")
    assert asked == ["hooks.example.com"]


def test_a_name_that_changes_between_check_and_connection_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connected = []
    answers = iter(["8.8.8.8", "127.0.0.1"])

    def resolve(_host: str, port: int, *_more: object, **_options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(address: tuple[str, int], **_options: object) -> socket.socket:
        connected.append(address)
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket, "create_connection", connect)
    post(hook("https://hooks.example.com/"), now_us(), private=False)
    assert connected == [("8.8.8.8", 443)]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https://a b/", "https://u:p@example.com/",
        "https://example.com:25/", "https://127.0.0.1/", "https://[::1]/", "https://example.com/#x",
        "https://example.com:99999/", "https://exämple.com/", "https://example.com/" + "x" * 500, "",
        "https://example.com/\r\nX: y",
    ],
)  # fmt: skip
def test_addresses_that_no_customer_may_give(url: str) -> None:
    with pytest.raises(InputRefused):
        checked_url(url, private=False)


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/"])
def test_a_refused_address_names_the_setting_that_allows_it(url: str) -> None:
    with pytest.raises(InputRefused, match=r"the operator's own .* private_addresses = true in \[webhooks\]"):
        checked_url(url, private=False)


def test_addresses_that_a_customer_may_give() -> None:
    for url in ("https://example.com/hooks?x=1", "https://example.com:8443/", "https://8.8.8.8/"):
        assert checked_url(url, private=False) == url
    assert checked_url("http://127.0.0.1:8080/", private=True)


def test_a_secret_of_somebody_elses_making() -> None:
    assert checked_secret(SECRET) == SECRET
    for text in ("", "whsec_", "whsec_abc", "secret", SECRET[6:], "whsec_" + "A" * 200):
        with pytest.raises(InputRefused):
            checked_secret(text)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, private


def _answer_over_tls(certificate: Path, key: Path, got: list[bytes]) -> Callable[[socket.socket], object]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    def serve(link: socket.socket) -> None:
        try:
            with context.wrap_socket(link, server_side=True) as secured:
                request = b""
                while not request.endswith(BODY.encode()):
                    request += secured.recv(65_536)
                got.append(request)
                secured.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        except OSError:
            return  # the caller does not believe us

    return serve


def test_the_receivers_certificate_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = _certificate(tmp_path)
    got: list[bytes] = []
    with misbehaving(_answer_over_tls(certificate, key, got)) as settings:
        url = f"https://localhost:{settings.port}/hooks"
        refused = post(hook(url), now_us(), private=True)
        assert isinstance(refused, NotAccepted)
        assert "certificate" in refused.why.lower()
        assert got == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert post(hook(url), now_us(), private=True) == Accepted()
    assert got[0].startswith(b"POST /hooks HTTP/1.1\r\nHost: localhost:")
