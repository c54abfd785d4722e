"""How operations of the API are declared: typed in and out, documented, checked, answered.

A resource is a function that declares its operations on an Api. What an operation needs (its permission),
takes (path, query, body: pydantic models) and answers stands in its signature and decorator, and the document
that programs read is made from the same.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from flask import Blueprint, Response, g, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.operation import Operation
from flask_openapi3.models.parameter import Parameter
from flask_openapi3.models.tag import Tag
from flask_openapi3.utils import parse_rule
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import check
from pbxbill.web.allowance import Allowance
from pbxbill.web.api.idempotency import HEADER, MAX_LENGTH, REPLAYED, Claim, claim, keep, let_go, sent_key
from pbxbill.web.api.problems import CONTENT_TYPE, FieldError, Problem, Refused, field_errors, handle_all
from pbxbill.web.front import EVERYBODY, Change, Front, needed_by

URL = "/api/v1"
MAX_BODY_BYTES = 256 * 1024
SCHEME = "key"
JSON = "application/json"
_ETAGS = re.compile(r"""(\*|"[0-9a-f]{32}")""")
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Answer:
    """A body with its status, as a program gets it."""

    status: int
    body: str
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """For Flask."""
        answer = Response(self.body or None, self.status, mimetype=JSON)
        if not self.body:
            del answer.headers["Content-Type"]
        answer.headers.update(self.headers)
        return answer


@dataclass(slots=True)
class Writing:
    """A transaction of an operation that writes; done() says what it is answered, inside of it."""

    change: Change
    claim: Claim | None
    answer: Answer | None = None

    @property
    def session(self) -> Session:
        """The transaction's."""
        return self.change.session

    @property
    def books(self) -> Bookkeeper:
        """What moves money in it."""
        return self.change.books

    @property
    def now_us(self) -> int:
        """When it began."""
        return self.change.now_us

    @property
    def cause(self) -> str | None:
        """What makes money move once: the idempotency key, with the program's own before it."""
        return None if self.claim is None else self.claim.cause

    def done(self, shown: BaseModel | None, status: int = 200, **headers: str) -> Answer:
        """The answer, kept with what was written."""
        body = "" if shown is None else shown.model_dump_json(by_alias=True)
        self.answer = Answer(
            204 if shown is None else status, body, {x.replace("_", "-"): y for x, y in headers.items()}
        )
        if self.claim is not None:
            keep(self.change.session, self.claim, self.answer.status, body)
        return self.answer


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no JSON."""

    mimetype: str
    told: str


Answered = type[BaseModel] | File | None
"""What an operation answers; None: nothing, by 204."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the document is told of an operation."""

    method: str
    rule: str
    view: Callable[..., Any]
    told: dict[str, Any]
    is_versioned: bool


class Api:
    """What resources declare their operations on."""

    def __init__(self, front: Front, most_streams: int) -> None:
        self.front = front
        self.most_streams = most_streams
        self.allowance = Allowance()
        self._most_bytes: dict[str, int] = {}
        self._operations: list[_Declared] = []
        self.blueprint = Blueprint("api", "pbxbill.web.api", url_prefix=URL)
        self.blueprint.before_request(self._begin)
        self.blueprint.after_request(self._end)
        handle_all(self.blueprint)

    def get(
        self, rule: str, answered: Answered, tag: str, *, conflict: bool = False
    ) -> Callable[[View], View]:
        """An operation that reads. conflict: what is asked for may not be there yet, which is told by 409."""
        return self._operation("get", rule, answered, tag, 200, codes=(409,) if conflict else ())

    def post(self, rule: str, answered: Answered, tag: str, status: int = 201) -> Callable[[View], View]:
        """An operation that makes something, or does something."""
        return self._operation("post", rule, answered, tag, status)

    def patch(
        self, rule: str, answered: Answered, tag: str, *, versioned: bool = False
    ) -> Callable[[View], View]:
        """An operation that changes what the body names, and leaves the rest. versioned: it asks expect()."""
        return self._operation("patch", rule, answered, tag, 200, codes=(412,) if versioned else ())

    def put(self, rule: str, answered: Answered, tag: str) -> Callable[[View], View]:
        """An operation that sets the whole."""
        return self._operation("put", rule, answered, tag, 200)

    def delete(self, rule: str, tag: str) -> Callable[[View], View]:
        """An operation that takes away."""
        return self._operation("delete", rule, None, tag, 204)

    def take_larger(self, rule: str, most_bytes: int) -> None:
        """Let bodies for a rule be larger than others."""
        self._most_bytes[URL + rule] = most_bytes

    @contextmanager
    def writing(self, action: str, subject: str, *, account_id: int | None = None) -> Iterator[Writing]:
        """A transaction that the audit log tells of. The operation ends by its done()."""
        with self.front.changing(action, subject, account_id=account_id) as change:
            made = Writing(change, g.get("claim"))
            yield made
            check(made.answer is not None, "an operation that writes did not say what it answers")
        g.claim = None  # it is kept

    @staticmethod
    def cause() -> str:
        """What a POST is known by, before it writes: the program's own, and its idempotency key."""
        held: Claim | None = g.get("claim")
        check(held is not None, "the request came without an idempotency key")
        assert held is not None
        return held.cause

    def _operation(
        self,
        method: str,
        rule: str,
        answered: Answered,
        tag: str,
        status: int,
        *,
        codes: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        def declare(view: View) -> View:
            hints = get_type_hints(view)
            models: dict[str, Any] = {x: hints[x] for x in ("path", "query", "body") if x in hints}
            called = self._called(view, models, method)
            needed = needed_by(view)
            check(needed is not None, f"{view.__name__} does not say what it needs")
            problems = {*codes, *_codes(method, models, is_open=needed == EVERYBODY)}
            documented = _good(answered, status) | {x: _problem(_PROBLEMS[x]) for x in sorted(problems)}
            options: dict[str, Any] = {"tags": [Tag(name=tag)], "responses": documented}
            if isinstance(needed, Permission):
                options["security"] = [{SCHEME: [needed.value]}]
                more = (view.__doc__ or "").strip().partition("\n")[2].strip()
                options["description"] = f"{more}\n\nNeeds `{needed.value}`.".strip()
                options["summary"] = (view.__doc__ or "").strip().partition("\n")[0]
            elif needed != EVERYBODY:
                options["security"] = [{SCHEME: []}]
            self.blueprint.add_url_rule(rule, view_func=called, methods=[method.upper()])
            self._operations.append(_Declared(method, rule, called, options, 412 in codes))
            return view

        return declare

    def described(self) -> APIBlueprint:
        """The operations as the library knows them, which serves none: making their schemas takes longer
        than starting to serve."""
        made = APIBlueprint(
            "api", "pbxbill.web.api", url_prefix=URL, operation_id_callback=lambda **named: named["name"]
        )
        for operation in self._operations:
            getattr(made, operation.method)(operation.rule, **operation.told)(operation.view)
            self._document_headers(made, operation)
        return made

    @staticmethod
    def _document_headers(described: APIBlueprint, declared: _Declared) -> None:
        """Headers that operations take beside what their signatures say."""
        method = declared.method
        if method == "get":
            return
        operation: Operation = getattr(described.paths[parse_rule(declared.rule, URL)], method)
        told = [
            (HEADER, method == "post", "Of your making: the request is done once, however often it comes.")
        ]
        if declared.is_versioned:
            told.append(
                (
                    "If-Match",
                    False,
                    "The ETag that you read: if another changed it since, you are told (412).",
                )
            )
        most = {HEADER: MAX_LENGTH}
        patterns = {"If-Match": f"^{_ETAGS.pattern}$"}
        parameters = [
            Parameter.model_validate(
                {
                    "name": name,
                    "in": "header",
                    "required": required,
                    "description": description,
                    "schema": {
                        "type": "string",
                        "minLength": 1,
                        "maxLength": most.get(name, 200),
                        "pattern": patterns.get(name, "^[!-~]+$"),
                    },
                }
            )
            for name, required, description in told
        ]
        operation.parameters = [*(operation.parameters or []), *parameters]

    def _called(self, view: Callable[..., Any], models: dict[str, Any], method: str) -> Callable[..., Any]:
        @wraps(view)
        def called(**named: Any) -> Response:
            parts = _checked(models, named)
            if method == "get":
                return _response(view(**parts))
            return self._written(view, parts, method)

        return called

    def _written(self, view: Callable[..., Any], parts: dict[str, Any], method: str) -> Response:
        key = sent_key(required=method == "post")
        g.claim = None
        database = self.front.desks.application.database
        if key is not None:
            held = claim(database, self._key_id(), key, self.front.clock.now_us())
            if isinstance(held, Response):
                return held
            g.claim = held
        try:
            return _response(view(**parts))
        finally:
            if g.claim is not None:  # it failed, and nothing was written
                let_go(database, g.claim)

    def _key_id(self) -> int:
        id = self.front.actor.api_key_id
        if id is None:
            raise Refused(401)
        return id

    def _begin(self) -> None:
        most_bytes = self._most_bytes.get(str(request.url_rule), MAX_BODY_BYTES)
        request.max_content_length = most_bytes
        if (request.content_length or 0) > most_bytes:
            raise Refused(413, f"A request has up to {most_bytes:,} bytes.")
        if "actor" not in g:
            return
        now_us = self.front.clock.monotonic_us()
        g.counted = self.allowance.count(self._key_id(), self.front.actor.per_minute, now_us)
        if g.counted.left < 0:
            raise Refused(429, headers={"Retry-After": str(g.counted.reset_s)})

    @staticmethod
    def _end(response: Response) -> Response:
        if "counted" in g:
            response.headers.update(g.counted.headers)
        return response


def _response(answer: Any) -> Response:
    match answer:
        case Response():
            return answer
        case Answer():
            return answer.response()
        case BaseModel():
            return Response(answer.model_dump_json(by_alias=True), mimetype=JSON)
        case None:
            return Response(status=204)
        case _:
            return Response(json.dumps(answer, ensure_ascii=False), mimetype=JSON)


def _checked(models: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    """The request's parts as their models; Refused where they are not."""
    parts: dict[str, Any] = {}
    if "path" in models:
        try:
            parts["path"] = models["path"].model_validate(named)
        except ValidationError:
            raise Refused(404) from None
    query = _query()
    if "query" in models:
        try:
            parts["query"] = models["query"].model_validate(query)
        except ValidationError as error:
            raise Refused(422, errors=field_errors(error, "query", models["query"])) from None
    elif query:
        raise Refused(422, errors=_unknown(query))
    if "body" in models:
        parts["body"] = _body(models["body"])
    elif request.content_length:
        raise Refused(400, "This operation takes no body.")
    return parts


def _query() -> dict[str, str]:
    found: dict[str, str] = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            told = [FieldError(field=f"query.{name[:100]}", detail="say it once")]
            raise Refused(422, errors=told)
        if "\x00" in values[0] or "\ufffd" in values[0]:
            told = [FieldError(field=f"query.{name[:100]}", detail="no text in UTF-8")]
            raise Refused(422, errors=told)
        found[name] = values[0]
    return found


def _unknown(query: dict[str, str]) -> list[FieldError]:
    return [FieldError(field=f"query.{name[:100]}", detail="is not known here") for name in list(query)[:20]]


def _body(model: type[BaseModel]) -> BaseModel:
    if request.mimetype != JSON:
        raise Refused(415)
    sent = request.get_data()
    try:
        made = model.model_validate_json(sent, strict=True)
    except ValidationError as error:
        told = field_errors(error, "body", model)
        if any(x["type"] == "json_invalid" for x in error.errors(include_url=False, include_context=False)):
            raise Refused(400, "The body is not JSON.", errors=told) from None
        raise Refused(422, errors=told) from None
    if b"\\u0000" in sent:
        raise Refused(422, "No text holds the character NUL.")
    return made


def _problem(description: str) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {"description": description, "content": content}


_PROBLEMS = {
    400: "It cannot be understood.",
    401: "No key, or none that is in force.",
    403: "The key may not do this.",
    404: "There is no such thing, or it is none of yours.",
    405: "The address does not take that method.",
    409: "It cannot be done as things stand; or the same key is being worked on.",
    412: "It was changed meanwhile.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "Something sent cannot be taken: which field, and why.",
    429: "Too many requests: wait as long as Retry-After says.",
    503: "Not now: try again as Retry-After says.",
}


def _good(answered: Answered, status: int) -> dict[int, Any]:
    match answered:
        case File():
            content = {answered.mimetype: {"schema": {"type": "string"}}}
            return {status: {"description": answered.told, "content": content}}
        case None:
            return {status: {"description": "Done."}}
        case _:
            return {status: answered}


def _codes(method: str, models: dict[str, Any], *, is_open: bool) -> set[int]:
    """Problems that an operation may answer with."""
    codes = {400, 422, 503} if is_open else {400, 401, 403, 422, 429, 503}
    if "path" in models:
        codes.add(404)
    if method != "get":
        codes |= {404, 409, 413}
    if "body" in models:
        codes.add(415)
    return codes


def etag(content: str) -> str:
    """The ETag of what can be changed of a thing."""
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def expect(current: str) -> None:
    """Refused where the request wants to change what it read, and another changed that since."""
    sent = request.headers.get("If-Match")
    if sent is None:
        return
    if _ETAGS.fullmatch(sent) is None:
        told = "an ETag as it was answered, in its quotation marks"
        raise Refused(422, errors=[FieldError(field="header.If-Match", detail=told)])
    if sent != "*" and current not in sent:
        raise Refused(412, "It was changed since you read it: read it again.", headers={"ETag": current})


__all__ = ["REPLAYED", "URL", "Answer", "Answered", "Api", "File", "Writing", "etag", "expect"]
