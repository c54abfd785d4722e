"""What goes wrong, as problem details (RFC 9457): one form for every error that a program can get."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import structlog
from flask import Blueprint, Response, request
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException, default_exceptions

from pbxbill.errors import DuplicateKey, EngineBusy, InputRefused, PbxbillError, StoreUnavailable
from pbxbill.listing.listing import FilterRefused
from pbxbill.web.api.fields import AMOUNT_PATTERN

CONTENT_TYPE = "application/problem+json"
PREFIX = "/api/"
MAX_ERRORS = 20
RETRY_S = 30
_WORDS = {
    400: "The request cannot be understood.",
    401: "Send a key that is in force: Authorization: Bearer pbx_...",
    403: "The key may not do this.",
    404: "There is no such thing, or it is none of yours.",
    405: "This address does not take that method.",
    409: "It cannot be done as things stand.",
    412: "It was changed meanwhile: read it again.",
    413: "The request is too large.",
    414: "The address is too long.",
    415: "Send a body of type application/json.",
    422: "What was sent cannot be taken.",
    429: "Too many requests: wait as long as Retry-After says.",
    500: "Something is broken here; it is in our log.",
    503: "Not now: try again as Retry-After says.",
}
_log = structlog.get_logger()
_COMMAND = re.compile(r"(?:[;:.,] |, and )[^;`]*`pbxbill[^`]*`.*", re.DOTALL)
"""How messages for people at a terminal end: which command helps."""


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Where: body.amount.currency, query.size, header.Idempotency-Key.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Problem details, as of RFC 9457."""

    type: str = Field(description="about:blank: the status says what it is.")
    title: str = Field(description="The status, in words.")
    status: int
    detail: str = Field(description="What happened, for a person.")
    errors: list[FieldError] = Field(default=[], description="The fields that are wrong, if it is a few.")


class Refused(Exception):  # as HTTP calls it
    """The request is answered by a problem."""

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        errors: Iterable[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.errors = list(errors)
        self.headers = headers or {}


def problem(
    status: int,
    detail: str = "",
    errors: Iterable[FieldError] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer that tells of a problem."""
    told = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail or _WORDS.get(status, HTTPStatus(status).phrase),
        errors=list(errors),
    )
    answer = Response(told.model_dump_json(exclude_defaults=True), status, mimetype=CONTENT_TYPE)
    answer.headers.update(headers or {})
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="pbxbill"'
    return answer


def asks_api() -> bool:
    """Whether the request is for the API, whatever becomes of it."""
    return request.path.startswith(PREFIX)


def problem_of(error: Exception) -> Response:
    """The answer for an exception."""
    match error:
        case Refused():
            return problem(error.status, error.detail, error.errors, error.headers)
        case FilterRefused():
            return problem(422, errors=[FieldError(field=f"query.{error.key}", detail=str(error))])
        case InputRefused():
            return problem(422, said(error))
        case DuplicateKey():
            return problem(422, "The idempotency key was used for something else.")
        case StoreUnavailable() | EngineBusy():
            _log.error("request_failed", path=str(request.url_rule or "?"), error=str(error))
            return problem(503, headers={"Retry-After": str(RETRY_S)})
        case HTTPException():
            return _of_http(error)
        case PbxbillError():
            _log.error("request_failed", path=str(request.url_rule or "?"), error=str(error))
            return problem(503, headers={"Retry-After": str(RETRY_S)})
        case _:
            _log.error("request_broken", path=str(request.url_rule or "?"), exc_info=error)
            return problem(500)


def _of_http(error: HTTPException) -> Response:
    if error.response is not None and (error.code is None or error.code < 400):
        answer: Any = error.response  # a redirect
        return Response(answer.get_data(), answer.status_code, answer.headers)
    kept = {"Allow", "Retry-After"}
    headers = {name: value for name, value in error.get_headers() if name in kept}
    status = error.code or 500
    return problem(status, headers=headers)


def said(error: InputRefused) -> str:
    """What is wrong, without the command that helps at a terminal."""
    text = str(error)
    return _COMMAND.sub("", text) or text


def field_errors(error: ValidationError, where: str, model: type[BaseModel]) -> list[FieldError]:
    """What a model says of its fields; where: body, query or header."""
    found = []
    for told in error.errors(include_url=False, include_input=False)[:MAX_ERRORS]:
        path = ".".join([where, *(str(part) for part in told["loc"])])
        found.append(FieldError(field=path[:200], detail=_words_of(told, model)))
    return found


def _words_of(told: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong with a field, for a person."""
    if told["type"] == "string_pattern_mismatch":
        pattern = told.get("ctx", {}).get("pattern", "")
        meant = "digits with a point before the decimals, as in 12.50" if pattern == AMOUNT_PATTERN else ""
        return f"write it as {meant}" if meant else f"does not have the form {pattern}"
    if told["type"] == "extra_forbidden" and len(told["loc"]) == 1:
        known = ", ".join(field.alias or name for name, field in model.model_fields.items())
        return f"is not known here; known are: {known}" if known else "is not known here"
    if told["type"] == "extra_forbidden":
        return "is not known here"
    return told["msg"].removeprefix("Value error, ")


def handle_all(blueprint: Blueprint) -> None:
    """Let every error of the blueprint's routes leave as a problem."""
    # Handlers of the whole application for a code would win over the blueprint's for all codes.
    for code in default_exceptions:
        blueprint.register_error_handler(code, problem_of)
    blueprint.register_error_handler(Exception, problem_of)
