"""How often somebody may ask: each user, or each address of nobody; log-ins much less. Counted in Redis where
there is one, so that several processes count together; else in memory.
"""

from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limiter

from pbxbill.access.attempts import network_of
from pbxbill.web.front import Front
from pbxbill.web.identity import API, address

UNCOUNTED = ("/static/", "/webhooks/", "/pay/", "/healthz", API)
"""Gateways send in bursts, and are known by signatures; keys of the API have limits of their own."""
TRIES = "20 per minute; 200 per hour"
"""From one address: log-ins, links, codes. attempts.py slows guessing; this keeps the hashing of passwords
from being a load."""

REDIS_S = 1


def install_limits(app: Flask, front: Front) -> None:
    """Refuse by 429 what is too often."""
    limiter = Limiter(
        _who,
        storage_uri=_storage(front.desks.application.redis_url),
        storage_options=_patience(front.desks.application.redis_url),
        application_limits=[f"{front.rules.requests_per_min} per minute"],
        in_memory_fallback_enabled=front.desks.application.redis_url is not None,
        key_prefix="pbxbill:limits",
        headers_enabled=False,
    )
    limiter.request_filter(lambda: request.path.startswith(UNCOUNTED))
    limiter.init_app(app)
    app.extensions["pbxbill_limiter"] = limiter


def limit_tries(app: Flask, endpoint: str, *, forgives: bool) -> None:
    """Let an address send what is guessed at seldom. forgives: what was right redirects, and does not count,
    since the people of one office come at the same hour."""
    limiter: Limiter = app.extensions["pbxbill_limiter"]
    counts = _is_no_redirect if forgives else None
    limit: Any = limiter.limit(TRIES, key_func=_where, methods=["POST"], deduct_when=counts)
    limited: Any = limit(app.view_functions[endpoint])
    app.view_functions[endpoint] = limited


def _is_no_redirect(answer: Response) -> bool:
    return answer.status_code != 303


def _who() -> str:
    actor = g.get("actor")
    return f"address:{_where()}" if actor is None else f"user:{actor.user_id}"


def _where() -> str:
    return network_of(address())


def _patience(redis_url: str | None) -> dict[str, Any]:
    # One that does not answer must not hold up pages: each process counts for itself then.
    return {} if redis_url is None else {"socket_connect_timeout": REDIS_S, "socket_timeout": REDIS_S}


def _storage(redis_url: str | None) -> str:
    if redis_url is None:
        return "memory://"
    return f"redis+{redis_url}" if redis_url.startswith("unix://") else redis_url
