"""Certificates of our own PayPal: its signer's, its host's, and of who vouches for them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

SIGNER = "messageverificationcerts.paypal.com"
BEGINS, ENDS = datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, and its key."""

    key: Any
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        told: bytes = self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        return told


@cache
def authority() -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Our own PayPal's authority")
    made = _builder(name, key.public_key(), name).add_extension(x509.BasicConstraints(True, None), True)
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    made = made.add_extension(usage, True)
    known = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return Issued(key, made.add_extension(known, False).sign(key, SHA256()))


@cache
def host() -> Issued:
    """For TLS on the loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    by = authority()
    made = _builder(_name("127.0.0.1"), key.public_key(), by.certificate.subject).add_extension(names, False)
    known = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    return Issued(key, made.add_extension(known, False).sign(by.key, SHA256()))


@cache
def signer(name: str = SIGNER, bits: int = 2048, ends: datetime = ENDS) -> Issued:
    """For webhooks."""
    key = rsa.generate_private_key(65537, bits)
    by = authority()
    made = _builder(_name(name), key.public_key(), by.certificate.subject, ends)
    return Issued(key, made.sign(by.key, SHA256()))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(name: x509.Name, key: Any, issuer: x509.Name, ends: datetime = ENDS) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key)
    return (
        made.serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS - timedelta(days=1))
        .not_valid_after(ends)
    )
