"""Applications as tests make them: their own each, of parts that are made once for all."""

from dataclasses import replace

from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket

from pbxbill.web.desks import Desks
from pbxbill.web.factory import create_app
from pbxbill.web.rules import WebRules


class CompiledTemplates(BytecodeCache):
    """In memory: compiling a page anew for each test takes longer than all else of showing it."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()


def made_app(desks: Desks, rules: WebRules | None = None, *, limited: bool = False) -> Flask:
    """An application. limited: it counts who asks how often; else it does not."""
    # A test asks more often in a minute than anybody.
    app = create_app(desks, rules or replace(WebRules(), requests_per_min=1_000_000))
    app.jinja_env.bytecode_cache = COMPILED
    app.extensions["pbxbill_limiter"].enabled = limited
    return app
