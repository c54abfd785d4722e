"""Two programs that change the same thing: the second is told, by 412.

What GET answers and other operations change has an ETag: a fingerprint of what GET answers, without what
moves by itself (balances, when something was used last). A change that sends it as If-Match is done if it
still holds. That is looked at in the transaction of the change, as GET itself would answer in it.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from pydantic import BaseModel

from pbxbill.web.api.answers import JSON, response_of
from pbxbill.web.api.problems import FieldError, Refused
from pbxbill.web.front import Change, Front
from pbxbill.web.turns import take_turn

HEADER = "If-Match"
TAG = "ETag"
ETAG = '"[0-9a-f]{32}"'
SENT = rf"(\*|{ETAG})"
_SENT = re.compile(SENT)


@dataclass(frozen=True, slots=True)
class Thing:
    """What an address of GET answers."""

    rule: str
    view: Callable[..., Any]
    models: Mapping[str, type[BaseModel]]
    moving: frozenset[str]
    """Names of what changes without anybody changing the thing."""

    def tag(self, named: Mapping[str, Any]) -> str:
        """Its ETag as it stands; named: what the address of a request says."""
        parts: dict[str, Any] = {}
        if "path" in self.models:
            parts["path"] = self.models["path"].model_validate(self.own(named))
        if "query" in self.models:
            parts["query"] = self.models["query"]()
        answer = response_of(self.view(**parts))
        return self.tag_of(answer.get_data(), answer.mimetype)

    def own(self, named: Mapping[str, Any]) -> dict[str, Any]:
        """What of it says which thing it is: /limits/7 of an account is a part of its limits."""
        known = self.models["path"].model_fields if "path" in self.models else {}
        return {x: y for x, y in named.items() if x in known}

    def tag_of(self, content: bytes, mimetype: str | None) -> str:
        """The ETag of what is answered."""
        if self.moving and mimetype == JSON:
            content = json.dumps(self._resting(json.loads(content)), ensure_ascii=False).encode()
        return f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    def _resting(self, told: Any) -> Any:
        if isinstance(told, dict):
            return {x: self._resting(y) for x, y in told.items() if x not in self.moving}
        if isinstance(told, list):
            return [self._resting(x) for x in told]
        return told


@dataclass(frozen=True, slots=True)
class Guard:
    """A request that changes a thing."""

    front: Front
    thing: Thing
    named: Mapping[str, Any]
    sent: str | None

    def check(self, change: Change) -> None:
        """Refused where the request wants to change what it read, and another changed that since."""
        if self.sent is None:
            take_turn(change.session, f"{self.thing.rule} {self.thing.own(self.named)}")
            return
        take_turn(change.session)
        with self.front.within(change):
            current = self.thing.tag(self.named)
        if self.sent not in ("*", current):
            raise Refused(412, "It was changed since you read it: read it again.", headers={TAG: current})

    def tag_after(self, change: Change) -> dict[str, str]:
        """The header that says how the thing stands now."""
        change.session.flush()
        change.session.expire_all()
        with self.front.within(change):
            return {TAG: self.thing.tag(self.named)}


def sent_tag() -> str | None:
    """What the request read before; Refused if it is no ETag."""
    sent = request.headers.get(HEADER)
    if sent is not None and _SENT.fullmatch(sent) is None:
        told = "an ETag as it was answered, in its quotation marks"
        raise Refused(422, errors=[FieldError(field=f"header.{HEADER}", detail=told)])
    return sent
