"""Kinds of gateways and their settings: what is refused, and with which words."""

import json
from pathlib import Path

import pytest

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.gateways.gateway import PaymentGateway
from pbxbill.gateways.registry import (
    KINDS,
    checked_settings,
    open_gateway,
    secret,
    setting_names,
)

FILES = {"secret_key_file": "/etc/pbxbill/stripe_key", "webhook_secret_file": "/etc/pbxbill/stripe_webhooks"}


def _settings(folder: Path, key: str = "sk_test_1\n", signing: str = "whsec_1\n", **others: object) -> str:
    (folder / "key").write_text(key)
    (folder / "signing").write_text(signing)
    named = {"secret_key_file": str(folder / "key"), "webhook_secret_file": str(folder / "signing")}
    return json.dumps(named | others)


def test_every_kind_can_say_what_it_needs() -> None:
    for kind in KINDS:
        assert all(isinstance(needed, bool) for needed in setting_names(kind).values())
    assert setting_names("stripe")["secret_key_file"] is True
    assert setting_names("stripe")["timeout_s"] is False


def test_a_gateway_opens(tmp_path: Path) -> None:
    gateway: PaymentGateway = open_gateway("stripe", _settings(tmp_path))
    assert gateway.kind == "stripe"
    open_gateway("stripe", _settings(tmp_path, key="rk_live_1", timeout_s="30"))


def test_settings_are_kept_without_looking_at_files() -> None:
    kept = checked_settings("stripe", json.dumps(FILES | {"timeout_s": 5}))
    assert json.loads(kept) == FILES | {"timeout_s": 5}


@pytest.mark.parametrize(
    "given, why",
    [
        ("{", "are a JSON object"),
        ("[]", "are a JSON object"),
        ("[" * 3000, "are a JSON object"),
        ('"' + "x" * 5000 + '"', "up to 4000 characters"),
        ("{}", "needs the setting secret_key_file"),
        (FILES | {"secret_key": "sk_live_1"}, "write it into a file and give secret_key_file"),
        (FILES | {"timeout": 5}, "did you mean timeout_s"),
        (FILES | {"zzz": 5}, "known are api_base"),
        (FILES | {"timeout_s": "soon"}, "timeout_s is a whole number"),
        (FILES | {"timeout_s": True}, "timeout_s is a whole number"),
        (FILES | {"timeout_s": 0}, "1 to 120 seconds"),
        (FILES | {"timeout_s": 1e3}, "timeout_s is a whole number"),
        (FILES | {"secret_key_file": "key"}, "a file with its whole path"),
        (FILES | {"secret_key_file": None}, "secret_key_file is text"),
        (FILES | {"api_base": "http://api.stripe.com"}, "begins with https://"),
        (FILES | {"api_base": "ftp://127.0.0.1"}, "begins with https://"),
        (FILES | {"api_base": "api.stripe.com"}, "begins with https://"),
        (FILES | {"api_base": "https://["}, "begins with https://"),
        (FILES | {"api_base": "https://api.stripe.com:99999"}, "begins with https://"),
    ],
)
def test_settings_that_are_none_are_refused(given: object, why: str) -> None:
    with pytest.raises(InputRefused, match=why):
        checked_settings("stripe", given if isinstance(given, str) else json.dumps(given))


def test_a_kind_that_is_none_is_refused() -> None:
    with pytest.raises(InputRefused, match="use one of stripe"):
        open_gateway("bitcoin", "{}")


@pytest.mark.parametrize(
    "key, signing, why",
    [
        ("", "whsec_1", "is empty"),
        ("\n\n", "whsec_1", "is empty"),
        ("pk_live_1", "whsec_1", "begin with sk_ or rk_"),
        ("sk_live_1\nsk_live_2", "whsec_1", "one secret belongs there"),
        ("sk_live_\x00", "whsec_1", "does not hold secrets"),
        ("sk_live_é", "whsec_1", "does not hold secrets"),
        ("sk_live_1", "sk_live_1", "begin with whsec_"),
        ("sk_live_1", "whsec_1\n" * 9, "8 at most"),
    ],
)
def test_a_file_of_secrets_that_holds_none_is_told(tmp_path: Path, key: str, signing: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as told:
        open_gateway("stripe", _settings(tmp_path, key, signing))
    assert "live_1" not in str(told.value), "a secret is never told"


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        open_gateway("stripe", json.dumps(FILES | {"secret_key_file": str(tmp_path / "none")}))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        secret(str(tmp_path / "binary"))
