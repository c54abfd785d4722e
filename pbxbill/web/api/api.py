"""How operations of the API are declared: typed in and out, documented, checked, answered.

A resource is a function that declares its operations on an Api. What an operation needs (its permission),
takes (path, query, body: pydantic models) and answers stands in its signature and decorator, and the document
that programs read is made from the same.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, get_type_hints

from flask import Blueprint, Response, g, request
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from pbxbill.charging.bookkeeping import Bookkeeper
from pbxbill.errors import check
from pbxbill.web.allowance import Allowance
from pbxbill.web.api.answers import JSON, Answer, Answered, File, response_of
from pbxbill.web.api.described import SCHEME, Declared, described
from pbxbill.web.api.etags import TAG, Guard, Thing, sent_tag
from pbxbill.web.api.idempotency import REPLAYED, Claim, claim, digest_of, keep, let_go, sent_key
from pbxbill.web.api.problems import FieldError, Refused, field_errors, handle_all
from pbxbill.web.front import Change, Front, needed_by

URL = "/api/v1"
MAX_BODY_BYTES = 256 * 1024
View = TypeVar("View", bound=Callable[..., Any])


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

    @property
    def key(self) -> str:
        """digest_of() the cause."""
        check(self.cause is not None, "money is moved with a key")
        return digest_of(str(self.cause))

    def done(self, shown: BaseModel | None, status: int = 200) -> Answer:
        """The answer, which is kept with what was written."""
        body = "" if shown is None else shown.model_dump_json(by_alias=True)
        self.answer = Answer(204 if shown is None else status, body)
        return self.answer


class Api:
    """What resources declare their operations on."""

    def __init__(self, front: Front, most_streams: int) -> None:
        self.front = front
        self.most_streams = most_streams
        self.allowance = Allowance()
        self._most_bytes: dict[str, int] = {}
        self._operations: list[Declared] = []
        self._things: dict[str, Thing] = {}
        self._changed: set[str] = set()
        self.blueprint = Blueprint("api", "pbxbill.web.api", url_prefix=URL)
        self.blueprint.before_request(self._begin)
        self.blueprint.after_request(self._end)
        handle_all(self.blueprint)

    def get(
        self, rule: str, answered: Answered, tag: str, *, conflict: bool = False, moving: Iterable[str] = ()
    ) -> Callable[[View], View]:
        """An operation that reads. conflict: what is asked for may not be there yet, which is told by 409.

        moving: names of what changes by itself; the ETag of what can be changed is without it.
        """
        codes = (409,) if conflict else ()
        return self._operation("get", rule, answered, tag, 200, codes=codes, moving=moving)

    # of: the address of GET that shows what an operation changes, where it is not the operation's own.
    # What can be read and changed has an ETag, and changing it takes If-Match: see etags.py.

    def post(
        self,
        rule: str,
        answered: Answered,
        tag: str,
        status: int = 201,
        *,
        of: str = "",
        later: type[BaseModel] | None = None,
    ) -> Callable[[View], View]:
        """An operation that makes something, or does something. later: what is answered by 202 if it takes
        long."""
        return self._operation("post", rule, answered, tag, status, of=of, later=later)

    def patch(self, rule: str, answered: Answered, tag: str, *, of: str = "") -> Callable[[View], View]:
        """An operation that changes what the body names, and leaves the rest."""
        return self._operation("patch", rule, answered, tag, 200, of=of or rule)

    def put(self, rule: str, answered: Answered, tag: str, *, of: str = "") -> Callable[[View], View]:
        """An operation that sets the whole."""
        return self._operation("put", rule, answered, tag, 200, of=of or rule)

    def delete(self, rule: str, tag: str, *, of: str = "") -> Callable[[View], View]:
        """An operation that takes away."""
        return self._operation("delete", rule, None, tag, 204, of=of or rule)

    def take_larger(self, rule: str, most_bytes: int) -> None:
        """Let bodies for a rule be larger than others."""
        self._most_bytes[URL + rule] = most_bytes

    @contextmanager
    def writing(self, action: str, subject: str, *, account_id: int | None = None) -> Iterator[Writing]:
        """A transaction that the audit log tells of. The operation ends by its done()."""
        with self.front.changing(action, subject, account_id=account_id) as change:
            guard: Guard | None = g.get("guard")
            if guard is not None:
                guard.check(change)
            made = Writing(change, g.get("claim"))
            yield made
            check(made.answer is not None, "an operation that writes did not say what it answers")
            assert made.answer is not None
            if guard is not None and made.answer.body:
                made.answer.headers.update(guard.tag_after(change))
            if made.claim is not None:
                keep(change.session, made.claim, made.answer)
        g.claim = None  # it is kept

    @staticmethod
    def cause() -> str:
        """What a POST is known by, before it writes: the program's own, and its idempotency key."""
        held: Claim | None = g.get("claim")
        check(held is not None, "the request came without an idempotency key")
        assert held is not None
        return held.cause

    def _operation(  # noqa: PLR0913  # what an operation is declared by
        self,
        method: str,
        rule: str,
        answered: Answered,
        tag: str,
        status: int,
        *,
        codes: tuple[int, ...] = (),
        moving: Iterable[str] = (),
        of: str = "",
        later: type[BaseModel] | None = None,
    ) -> Callable[[View], View]:
        def declare(view: View) -> View:
            hints = get_type_hints(view)
            models: dict[str, Any] = {x: hints[x] for x in ("path", "query", "body") if x in hints}
            called = self._called(view, models, method, rule if method == "get" else of)
            needed = needed_by(view)
            check(needed is not None, f"{view.__name__} does not say what it needs")
            assert needed is not None
            if method == "get":
                self._things[rule] = Thing(rule, view, models, frozenset(moving))
            elif of:
                self._changed.add(of)
            self.blueprint.add_url_rule(rule, view_func=called, methods=[method.upper()])
            declared = Declared(
                method, rule, called, answered, status, tag, needed, frozenset(models), codes, of, later
            )
            self._operations.append(declared)
            return view

        return declare

    def described(self) -> APIBlueprint:
        """The operations as the library knows them, which serves none: making their schemas takes longer
        than starting to serve."""
        return described(self._operations, self._changed & self._things.keys(), URL)

    def _called(
        self, view: Callable[..., Any], models: dict[str, Any], method: str, of: str
    ) -> Callable[..., Any]:
        @wraps(view)
        def called(**named: Any) -> Response:
            parts = _checked(models, named)
            # All operations are declared by now.
            thing = self._things.get(of) if of in self._changed else None
            if method != "get":
                guard = None if thing is None else Guard(self.front, thing, named, sent_tag())
                return self._written(view, parts, method, guard)
            answer = response_of(view(**parts))
            if thing is not None and answer.status_code == 200:
                answer.headers[TAG] = thing.tag_of(answer.get_data(), answer.mimetype)
            return answer

        return called

    def _written(
        self, view: Callable[..., Any], parts: dict[str, Any], method: str, guard: Guard | None
    ) -> Response:
        key = sent_key(required=method == "post")
        g.claim, g.guard = None, guard
        database = self.front.desks.application.database
        if key is not None:
            held = claim(database, self._key_id(), key, self.front.clock.now_us())
            if isinstance(held, Response):
                return held
            g.claim = held
        try:
            return response_of(view(**parts))
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


__all__ = ["REPLAYED", "SCHEME", "URL", "Answer", "Answered", "Api", "File", "Writing"]
