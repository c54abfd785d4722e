"""Requests to PayPal through its own SDK, and what its errors mean for us.

Answers are read from their JSON text: the SDK's objects leave out what it does not know. A token to ask
with is good for hours, so that one is kept for each account, for all threads.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import structlog
from apimatic_core.authentication.multiple.single_auth import Single  # type: ignore[import-untyped]
from apimatic_core.exceptions.auth_validation_exception import (  # type: ignore[import-untyped]
    AuthValidationException,
)
from apimatic_core.request_builder import RequestBuilder  # type: ignore[import-untyped]
from apimatic_core.response_handler import ResponseHandler  # type: ignore[import-untyped]
from apimatic_core.types.parameter import Parameter  # type: ignore[import-untyped]
from paypalserversdk.api_helper import APIHelper  # type: ignore[import-untyped]
from paypalserversdk.configuration import Configuration, Server  # type: ignore[import-untyped]
from paypalserversdk.controllers.base_controller import BaseController  # type: ignore[import-untyped]
from paypalserversdk.exceptions.api_exception import ApiException  # type: ignore[import-untyped]
from paypalserversdk.exceptions.error_exception import ErrorException  # type: ignore[import-untyped]
from paypalserversdk.http.auth.o_auth_2 import (  # type: ignore[import-untyped]
    ClientCredentialsAuthCredentials,
)
from paypalserversdk.http.http_call_back import HttpCallBack  # type: ignore[import-untyped]
from paypalserversdk.http.http_method_enum import HttpMethodEnum  # type: ignore[import-untyped]
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient  # type: ignore[import-untyped]

from pbxbill.gateways.gateway import GatewayUnreachable, Refusal
from pbxbill.gateways.paypal_facts import MAX_WHY_LENGTH, Told, declined_why, one_line

MAX_ANSWER_CHARACTERS = 2_000_000
TOKENS_KEPT = 64
TOKEN_RESERVE_S = 120
"""So long before its end a token is not used any more."""
_DEFINITE = frozenset((400, 401, 403, 404, 422, 429))
"""What PayPal answers when it did nothing. After any other (409: the same is being done; 5xx) it may have."""
_RETRYABLE = frozenset((401, 403, 429))
_SAME_REQUEST = frozenset(
    ("DUPLICATE_REQUEST_ID", "PAYPAL_REQUEST_ID_PREVIOUSLY_USED", "DUPLICATE_INVOICE_ID")
)
"""By these it says that it did it before, and not what became of it."""

_log = structlog.get_logger()
_tokens: dict[tuple[str, str, str], Any] = {}
_tokens_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Denied:
    """PayPal says that it did nothing."""

    status: int
    issue: str
    """Its own word for the reason; empty: it gave none."""
    why: str

    def refusal(self) -> Refusal:
        """What a caller is told."""
        return Refusal(self.why, retryable=self.status in _RETRYABLE)


class PaypalApi:
    """An account's way to PayPal. No request is repeated, but for one whose token was not taken."""

    def __init__(self, api_base: str, client_id: str, client_secret: str, timeout_s: int) -> None:
        self._api_base, self._timeout_s = api_base.rstrip("/"), timeout_s
        self._client_id, self._client_secret = client_id, client_secret
        digest = hashlib.sha256(client_secret.encode()).hexdigest()
        self._account = (self._api_base, client_id, digest)
        self._client = self._connected()

    def ask(self, request: Callable[[Any], Any]) -> Told | Denied:
        """What PayPal answers to a request that is made with the SDK's client.

        GatewayUnreachable: nobody knows whether it did it.
        """
        answer = self._asked(request)
        if isinstance(answer, Denied) and answer.status == 401 and answer.issue != "invalid_client":
            # Tokens may be revoked before their time. Whom PayPal does not know it does nothing for.
            with _tokens_lock:
                _tokens.pop(self._account, None)
            self._client = self._connected()
            answer = self._asked(request)
        return answer

    def looked_up(self, request: Callable[[Any], Any]) -> Told | None:
        """An answer to a question; None: there is no such thing."""
        answer = self.ask(request)
        if not isinstance(answer, Denied):
            return answer
        if answer.status == 404:
            return None
        raise GatewayUnreachable(answer.why)

    def dispute(self, dispute_ref: str) -> Told | None:
        """A dispute, which the SDK has no words for."""
        return self.looked_up(lambda client: _Disputes(client.global_configuration).get(dispute_ref))

    def _asked(self, request: Callable[[Any], Any]) -> Told | Denied:
        try:
            answer = request(self._client)
            return _object(answer.text)
        except ApiException as error:
            return _denied(error)
        except requests.RequestException as error:
            _log.warning("paypal_did_not_answer", error=type(error).__name__)
            raise GatewayUnreachable("PayPal could not be reached, or did not answer in time") from None
        except AuthValidationException:
            raise GatewayUnreachable("PayPal gave no token to ask with") from None
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            # The SDK trusts that answers are formed as documented; a proxy's page may be anything.
            _log.warning("paypal_answer_unreadable", error=repr(error)[:200])
            raise GatewayUnreachable("PayPal's answer cannot be read") from None

    # --- the SDK's client ---------------------------------------------------------------------

    def _connected(self) -> Any:
        credentials = ClientCredentialsAuthCredentials(
            self._client_id,
            self._client_secret,
            o_auth_token_provider=self._token,
            o_auth_clock_skew=TOKEN_RESERVE_S,
        )
        configuration = _ConfigurationAt(
            self._api_base,
            timeout=self._timeout_s,
            max_retries=0,
            http_call_back=_Screened(),
            client_credentials_auth_credentials=credentials,
        )
        return PaypalServersdkClient(config=configuration)

    def _token(self, _last: object, manager: Any) -> Any:
        with _tokens_lock:
            known = _tokens.get(self._account)
        if known is not None and not manager.is_token_expired(known):
            return known
        token = manager.fetch_token()
        if not getattr(token, "access_token", ""):
            raise ValueError("an answer without a token")
        with _tokens_lock:
            if len(_tokens) >= TOKENS_KEPT:
                _tokens.clear()
            _tokens[self._account] = token
        return token


class _ConfigurationAt(Configuration):  # type: ignore[misc]  # the SDK has no types
    """The SDK's configuration for any address: its own knows two."""

    def __init__(self, api_base: str, **others: Any) -> None:
        self._api_base = api_base
        super().__init__(**others)

    def get_base_uri(self, server: object = Server.DEFAULT) -> str:  # noqa: ARG002  # there is one
        return self._api_base


class _Screened(HttpCallBack):  # type: ignore[misc]  # the SDK has no types
    """Looks at answers before the SDK does: its jsonpickle would make any object that they name."""

    def on_before_request(self, request: object) -> None:
        """Nothing."""

    def on_after_response(self, response: Any) -> None:
        text = response.text or ""
        if len(text) > MAX_ANSWER_CHARACTERS or (text.strip() and _names_pickled(json.loads(text))):
            raise ValueError("an answer that PayPal does not give")


def _names_pickled(told: object) -> bool:
    if isinstance(told, dict):
        return any(name.startswith("py/") or _names_pickled(value) for name, value in told.items())
    return isinstance(told, list) and any(map(_names_pickled, told))


class _Disputes(BaseController):  # type: ignore[misc]  # the SDK has no types
    """GET /v1/customer/disputes/{id}, in the SDK's manner."""

    def get(self, dispute_ref: str) -> Any:
        request = (
            RequestBuilder()
            .server(Server.DEFAULT)
            .path("/v1/customer/disputes/{id}")
            .http_method(HttpMethodEnum.GET)
            .template_param(Parameter().key("id").value(dispute_ref).should_encode(True))
            .header_param(Parameter().key("accept").value("application/json"))
            .auth(Single("Oauth2"))
        )
        response = (
            ResponseHandler()
            .deserializer(APIHelper.json_deserialize)
            .is_api_response(True)
            .local_error("default", "The error response.", ErrorException)
        )
        return self.new_api_call_builder.request(request).response(response).execute()


# --- its errors -----------------------------------------------------------------------------------


def _object(text: str | None) -> Told:
    if not text or not text.strip():
        return {}  # 204: done, and nothing to say
    told = json.loads(text)
    if not isinstance(told, dict):
        raise TypeError("an answer that is no object")
    return told


def _denied(error: Any) -> Denied:
    status = int(error.response_code)
    try:
        told = _object(error.response.text)
    except (TypeError, ValueError, RecursionError):
        told = {}
    issue, said = _issue(told)
    unsure = status not in _DEFINITE or issue in _SAME_REQUEST
    if unsure or not (told.get("name") or told.get("error")):
        _log.warning("paypal_failed", status=status, issue=issue, debug_id=str(told.get("debug_id", ""))[:64])
        raise GatewayUnreachable(
            f"PayPal answered with status {status}: {said or issue or 'no reason'}"[:MAX_WHY_LENGTH]
        )
    match status:
        case 401:
            why = "PayPal does not accept the client_id with the secret in the client_secret_file"
        case 403:
            why = f"PayPal does not allow this account to do that: {said or issue}"
        case 429:
            why = "PayPal wants fewer requests; try again in a minute"
        case _:
            why = declined_why(issue) or f"PayPal: {said or issue or 'refused without a reason'}"
    return Denied(status, issue, why[:MAX_WHY_LENGTH])


def _issue(told: Mapping[str, Any]) -> tuple[str, str]:
    """PayPal's word for what is wrong, and its sentence."""
    details = told.get("details")
    first = details[0] if isinstance(details, list) and details and isinstance(details[0], dict) else {}
    issue = one_line(first.get("issue") or told.get("name") or told.get("error"))
    return issue, one_line(first.get("description") or told.get("message") or told.get("error_description"))
