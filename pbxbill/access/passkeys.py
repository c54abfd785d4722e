"""Passkeys (WebAuthn): a key that a device keeps and opens by finger, face or PIN. It stands for password and
second factor, so that the device must have verified its user.
"""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import select
from sqlalchemy.orm import Session
from webauthn.helpers import base64url_to_bytes
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from pbxbill.access.attempts import is_first_use
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import PasskeyRow, UserRow

MAX_PASSKEYS = 20
MAX_ANSWER_LENGTH = 20_000


@dataclass(frozen=True, slots=True)
class Site:
    """For which site keys are made: a device offers them to no other."""

    origin: str
    """https://bill.example.com"""

    @property
    def id(self) -> str:
        """Its host."""
        return urlsplit(self.origin).hostname or ""


def offer_to_add(session: Session, site: Site, user: UserRow, name: str) -> tuple[str, bytes]:
    """What the browser of a user makes a key with (JSON), and the challenge that its answer must hold."""
    known = session.scalars(select(PasskeyRow.credential_id).where(PasskeyRow.user_id == user.id))
    options = webauthn.generate_registration_options(
        rp_id=site.id,
        rp_name=name,
        user_id=str(user.id).encode(),
        user_name=user.login,
        user_display_name=user.name,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=x) for x in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
    )
    return webauthn.options_to_json(options), options.challenge


@dataclass(frozen=True, slots=True)
class Made:
    """What a browser answered to an offer, and how the user calls his device."""

    answer: str
    challenge: bytes
    name: str


def add(session: Session, site: Site, user: UserRow, made_there: Made, now_us: int) -> PasskeyRow:
    """Keep the key that a browser made; InputRefused if it is none."""
    label = made_there.name.strip()
    if not (label and label.isprintable() and len(label) <= 64):
        raise InputRefused("a passkey's name has 1 to 64 printable characters")
    if len(passkeys_of(session, user.id)) >= MAX_PASSKEYS:
        raise InputRefused(f"a user has up to {MAX_PASSKEYS} passkeys")
    try:
        made = webauthn.verify_registration_response(
            credential=_read(made_there.answer),
            expected_challenge=made_there.challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        raise InputRefused("this passkey was not made for us") from None
    if not is_first_use(session, made_there.challenge, now_us):
        raise InputRefused("this offer was taken already: begin again")
    if (
        session.scalar(select(PasskeyRow.id).where(PasskeyRow.credential_id == made.credential_id))
        is not None
    ):
        raise InputRefused("this passkey is known already")
    row = PasskeyRow(
        user_id=user.id,
        name=label,
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        created_us=now_us,
    )
    session.add(row)
    session.flush()
    return row


def offer_to_log_in(site: Site) -> tuple[str, bytes]:
    """What a browser asks for a key with, whosever it is, and the challenge."""
    options = webauthn.generate_authentication_options(
        rp_id=site.id, user_verification=UserVerificationRequirement.REQUIRED
    )
    return webauthn.options_to_json(options), options.challenge


def user_of_answer(
    session: Session, site: Site, answer: str, challenge: bytes, now_us: int
) -> UserRow | None:
    """Whose key answered; None: nobody's that we know, or the answer is not to this challenge, or
    was given before."""
    try:
        sent = _read(answer)
        credential_id = base64url_to_bytes(str(sent["id"]))
        found = select(PasskeyRow).where(PasskeyRow.credential_id == credential_id).with_for_update()
        row = session.scalar(found)
        if row is None:
            return None
        proven = webauthn.verify_authentication_response(
            credential=sent,
            expected_challenge=challenge,
            expected_rp_id=site.id,
            expected_origin=site.origin,
            credential_public_key=row.public_key,
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError):
        return None
    # The challenge came back in a cookie, and devices need not count: who copies both would get in again.
    if not is_first_use(session, challenge, now_us):
        return None
    row.sign_count = proven.new_sign_count
    row.used_us = now_us
    return session.get_one(UserRow, row.user_id)


def passkeys_of(session: Session, user_id: int) -> list[PasskeyRow]:
    """Those of a user."""
    return list(
        session.scalars(select(PasskeyRow).where(PasskeyRow.user_id == user_id).order_by(PasskeyRow.id))
    )


def _read(answer: str) -> dict[str, object]:
    if len(answer) > MAX_ANSWER_LENGTH:
        raise ValueError("too long")
    found = json.loads(answer)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found
