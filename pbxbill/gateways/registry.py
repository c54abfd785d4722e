"""Kinds of gateways: what settings each takes, and how one is opened.

Settings are kept as JSON beside the gateway's name; secrets are not among them but in files that they name,
read whenever a gateway is opened. A service's own module is imported only when a gateway of its kind is
opened: their SDKs are large.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from pbxbill.errors import ConfigurationError, InputRefused
from pbxbill.gateways.gateway import PaymentGateway

MAX_SETTINGS_LENGTH = 4000
MAX_SECRETS = 8
"""More than are valid at a time while one takes the place of another."""

_DIGITS = re.compile(r"[0-9]{1,9}")
_EXPECTED: Mapping[object, str] = {int: "a whole number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class GatewayKind:
    """A service that payments can go through."""

    name: str
    about: str
    module: str
    settings: str
    """Its frozen dataclass of settings in that module: every field a str, an int or a bool."""
    gateway: str
    """What that module opens with such settings."""
    remembers_s: int | None
    """How long it knows a request by its key for certain; None: as long as we ask."""


KINDS: Mapping[str, GatewayKind] = {
    kind.name: kind
    for kind in (
        GatewayKind(
            "stripe",
            "Stripe: cards and more on its page, saved cards",
            "pbxbill.gateways.stripe",
            "StripeSettings",
            "open_stripe",
            None,
        ),
        GatewayKind(
            "ccavenue",
            "CCAvenue: cards, net banking and wallets on its page",
            "pbxbill.gateways.ccavenue",
            "CCAvenueSettings",
            "open_ccavenue",
            None,
        ),
        GatewayKind(
            "paypal",
            "PayPal: its accounts and cards on its page, saved accounts",
            "pbxbill.gateways.paypal",
            "PaypalSettings",
            "open_paypal",
            5 * 3600,  # PayPal says 6 hours
        ),
        # A further kind is one more entry here and a module beside this one.
    )
}


def open_gateway(kind: str, settings_json: str) -> PaymentGateway:
    """A gateway that is ready to be asked.

    InputRefused: its settings are not such; ConfigurationError: a file of secrets cannot be used.
    """
    known = _kind(kind)
    module = import_module(known.module)
    opened: Callable[[Any], PaymentGateway] = getattr(module, known.gateway)
    return opened(_settings(known, module, settings_json))


def checked_settings(kind: str, settings_json: str) -> str:
    """The settings as they are kept; InputRefused says what is wrong with them. No file is read."""
    known = _kind(kind)
    _settings(known, import_module(known.module), settings_json)
    return json.dumps(json.loads(settings_json), sort_keys=True, ensure_ascii=False)


def setting_names(kind: str) -> Mapping[str, bool]:
    """Names of what can be set for a kind, and whether each is needed."""
    known = _kind(kind)
    settings = getattr(import_module(known.module), known.settings)
    return {field.name: _needed(field) for field in fields(settings)}


def is_address(name: str) -> bool:
    """Whether a setting says where a service is: set by the command line alone.

    Who names both a file of secrets and where they are sent could have any file of the server sent to him.
    """
    return name.endswith(("_base", "_url"))


def secret(path: str) -> str:
    """The one secret in a file; ConfigurationError says what is wrong with it."""
    found = secrets(path)
    if len(found) != 1:
        raise ConfigurationError(f"{path} holds {len(found)} lines; one secret belongs there")
    return found[0]


def secrets(path: str) -> tuple[str, ...]:
    """The secrets in a file, one a line; ConfigurationError says what is wrong with it."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the secret cannot be read from {path}: {error}") from None
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise ConfigurationError(f"{path} is empty; write the secret into it")
    if len(found) > MAX_SECRETS or not all(text.isascii() and text.isprintable() for text in found):
        raise ConfigurationError(f"{path} does not hold secrets, one a line, {MAX_SECRETS} at most")
    return found


def _kind(name: str) -> GatewayKind:
    known = KINDS.get(name)
    if known is None:
        raise InputRefused(f"gateway kind {name[:20]!r}: use one of {', '.join(KINDS)}")
    return known


def _settings(kind: GatewayKind, module: object, text: str) -> object:
    settings: type[Any] = getattr(module, kind.settings)
    known = {field.name: field for field in fields(settings)}
    given = _json_object(kind.name, text)
    for name in given:
        if name not in known:
            raise InputRefused(f"{kind.name} gateways have no setting {name[:40]!r}{_nearest(name, known)}")
    for name, field in known.items():
        if name not in given and _needed(field):
            raise InputRefused(f"a {kind.name} gateway needs the setting {name}")
    return settings(**{name: _typed(known[name], value) for name, value in given.items()})


def _json_object(kind: str, text: str) -> dict[str, Any]:
    if len(text) > MAX_SETTINGS_LENGTH:
        raise InputRefused(f"settings of a gateway have up to {MAX_SETTINGS_LENGTH} characters")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputRefused(f"settings of a {kind} gateway are a JSON object: {str(error)[:100]}") from None
    if not isinstance(given, dict):
        raise InputRefused(f'settings of a {kind} gateway are a JSON object, like {{"name": "value"}}')
    return given


def _typed(field: Field[Any], value: object) -> str | int | bool:
    # On a command line every value is text.
    if field.type is int and isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if field.type is bool and value in ("true", "false"):
        return value == "true"
    if type(value) is not field.type or not isinstance(value, str | int):
        raise InputRefused(f"setting {field.name} is {_EXPECTED.get(field.type, 'text')}")
    if field.name.endswith("_file") and not (isinstance(value, str) and Path(value).is_absolute()):
        raise InputRefused(f"setting {field.name} is a file with its whole path: /etc/pbxbill/...")
    return value


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING


def _nearest(name: str, known: Mapping[str, object]) -> str:
    if f"{name}_file" in known:
        # The database and its backups are no place for secrets.
        return f"; write it into a file and give {name}_file the file's name"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(sorted(known))}"
