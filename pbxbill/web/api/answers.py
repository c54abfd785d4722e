"""What operations answer: a body with its status, a file, or nothing."""

import json
from dataclasses import dataclass, field
from typing import Any

from flask import Response
from pydantic import BaseModel

JSON = "application/json"


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


@dataclass(frozen=True, slots=True)
class File:
    """An answer that is no JSON."""

    mimetype: str
    told: str


Answered = type[BaseModel] | File | None
"""What an operation answers; None: nothing, by 204."""


def response_of(answer: Any) -> Response:
    """What a view gave back, for Flask."""
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
