"""What the document is told of operations: what they take and answer, their problems and headers."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.header import Header
from flask_openapi3.models.operation import Operation
from flask_openapi3.models.parameter import Parameter
from flask_openapi3.models.response import Response
from flask_openapi3.models.tag import Tag
from flask_openapi3.utils import parse_rule
from pydantic import BaseModel

from pbxbill.access.permissions import Permission
from pbxbill.web.api import etags
from pbxbill.web.api.answers import Answered, File
from pbxbill.web.api.idempotency import HEADER, MAX_LENGTH
from pbxbill.web.api.problems import CONTENT_TYPE, Problem
from pbxbill.web.front import EVERYBODY

SCHEME = "key"
ETAG_TOLD = "Of what can be changed: send it as If-Match with a change."
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


@dataclass(frozen=True, slots=True)
class Declared:
    """What is known of an operation."""

    method: str
    rule: str
    called: Callable[..., Any]
    answered: Answered
    status: int
    tag: str
    needed: Permission | str
    parts: frozenset[str]
    """Of path, query and body, those that it takes."""
    codes: tuple[int, ...]
    of: str
    """The address of GET that shows what it changes."""
    later: type[BaseModel] | None = None
    """What it answers by 202 where it takes long."""


def described(operations: Iterable[Declared], guarded: Collection[str], url: str) -> APIBlueprint:
    """The operations as the library knows them. guarded: addresses of GET whose answers have ETags."""
    made = APIBlueprint(
        "api", "pbxbill.web.api", url_prefix=url, operation_id_callback=lambda **named: named["name"]
    )
    for declared in operations:
        getattr(made, declared.method)(declared.rule, **_told(declared, guarded))(declared.called)
        operation: Operation = getattr(made.paths[parse_rule(declared.rule, url)], declared.method)
        sent = list(_headers(declared, guarded))
        if sent:
            operation.parameters = [*(operation.parameters or []), *sent]
        answer = (operation.responses or {}).get(str(declared.status))
        if isinstance(answer, Response) and _is_tagged(declared, guarded):
            schema = {"type": "string", "pattern": f"^{etags.ETAG}$"}
            told = {"description": ETAG_TOLD, "schema": schema}
            answer.headers = {etags.TAG: Header.model_validate(told)}
    return made


def _is_tagged(declared: Declared, guarded: Collection[str]) -> bool:
    """Whether its answer says how the thing stands."""
    if declared.method == "get":
        return declared.rule in guarded
    return declared.of in guarded and declared.answered is not None


def _told(declared: Declared, guarded: Collection[str]) -> dict[str, Any]:
    problems = {*declared.codes, *_codes(declared)}
    if declared.of in guarded:
        problems.add(412)
    later = {} if declared.later is None else {202: declared.later}
    responses = _good(declared) | later | {x: _problem(_PROBLEMS[x]) for x in sorted(problems)}
    told: dict[str, Any] = {"tags": [Tag(name=declared.tag)], "responses": responses}
    if isinstance(declared.needed, Permission):
        summary, _, more = (declared.called.__doc__ or "").strip().partition("\n")
        told["security"] = [{SCHEME: [declared.needed.value]}]
        told["description"] = f"{more.strip()}\n\nNeeds `{declared.needed.value}`.".strip()
        told["summary"] = summary
    elif declared.needed != EVERYBODY:
        told["security"] = [{SCHEME: []}]
    return told


def _headers(declared: Declared, guarded: Collection[str]) -> Iterable[Parameter]:
    """Headers that it takes beside what its signature says."""
    if declared.method == "get":
        return
    yield _header(
        HEADER,
        "Of your making: the request is done once, however often it comes.",
        required=declared.method == "post",
        longest=MAX_LENGTH,
        pattern="^[!-~]+$",
    )
    if declared.of in guarded:
        read = "" if declared.of == declared.rule else f" at {declared.of}"
        yield _header(
            etags.HEADER,
            f"The ETag that you read{read}: if another changed it since, you are told (412).",
            required=False,
            longest=200,
            pattern=f"^{etags.SENT}$",
        )


def _header(name: str, description: str, *, required: bool, longest: int, pattern: str) -> Parameter:
    schema = {"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern}
    told = {"name": name, "in": "header", "required": required, "description": description, "schema": schema}
    return Parameter.model_validate(told)


def _problem(description: str) -> dict[str, Any]:
    content = {CONTENT_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {"description": description, "content": content}


def _good(declared: Declared) -> dict[int, Any]:
    match declared.answered:
        case File():
            content = {declared.answered.mimetype: {"schema": {"type": "string"}}}
            return {declared.status: {"description": declared.answered.told, "content": content}}
        case None:
            return {declared.status: {"description": "Done."}}
        case _:
            return {declared.status: declared.answered}


def _codes(declared: Declared) -> set[int]:
    """Problems that an operation may answer with."""
    is_open = declared.needed == EVERYBODY
    codes = {400, 422, 503} if is_open else {400, 401, 403, 422, 429, 503}
    if "path" in declared.parts:
        codes.add(404)
    if declared.method != "get":
        codes |= {404, 409, 413}
    if "body" in declared.parts:
        codes.add(415)
    return codes
