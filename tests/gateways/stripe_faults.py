"""How requests to the small Stripe go wrong."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.gateways.stripe_shapes import Object

NO_ANSWER_S = 30


class Misbehaviour(StrEnum):
    """How a request can go wrong. AFTER: it is done nevertheless."""

    NO_ANSWER = "no answer"
    NO_ANSWER_AFTER = "no answer, after"
    CLOSED = "closed"
    CLOSED_AFTER = "closed, after"
    ERROR = "500"
    ERROR_AFTER = "500, after"
    GARBAGE = "garbage"
    GARBAGE_AFTER = "garbage, after"
    RATE_LIMITED = "429"
    CONFLICT = "409"

    @property
    def after(self) -> bool:
        """Whether the request is done."""
        return self.value.endswith("after")


@dataclass(slots=True)
class Planned:
    """That some requests to come go wrong."""

    how: Misbehaviour
    on: re.Pattern[str]
    times: int


SERVER_ERROR: Object = {"error": {"type": "api_error", "message": "Sorry, something went wrong."}}
_BUSY: Object = {
    "error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}
}
_UNDER_WAY: Object = {
    "error": {
        "type": "idempotency_error",
        "code": "idempotency_key_in_use",
        "message": "There is currently another in-progress request using this Idempotent Key.",
    }
}
_HOTEL = b"<html>Welcome to the hotel's network</html>"

FAULTS: Mapping[Misbehaviour, tuple[int, bytes]] = {
    Misbehaviour.ERROR: (500, json.dumps(SERVER_ERROR).encode()),
    Misbehaviour.ERROR_AFTER: (500, json.dumps(SERVER_ERROR).encode()),
    Misbehaviour.GARBAGE: (200, _HOTEL),
    Misbehaviour.GARBAGE_AFTER: (200, _HOTEL),
    Misbehaviour.RATE_LIMITED: (429, json.dumps(_BUSY).encode()),
    Misbehaviour.CONFLICT: (409, json.dumps(_UNDER_WAY).encode()),
}
"""What is answered; those that are not here are answered nothing."""
