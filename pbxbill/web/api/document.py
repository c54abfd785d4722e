"""The document of the API (OpenAPI 3.1), made from its operations, and the page that shows it."""

from functools import cache
from importlib.resources import files
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, send_from_directory
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from pbxbill.web.api.api import SCHEME, URL, Api
from pbxbill.web.api.problems import FieldError, Problem
from pbxbill.web.front import open_to_all

VERSION = "1.0"
DESCRIPTION = """\
Everything that programs do with pbxbill. Amounts are exact strings with their currency, moments RFC 3339 in
UTC. What goes wrong is told as a problem (RFC 9457). What is new is added: take no harm from fields that you
do not know. What is to go is marked `deprecated` here, and answered with a `Deprecation` header for a year.
"""
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger's interface styles its elements one by one. It runs no script but its own."""
ASSETS = {
    "swagger-ui.css": "css",
    "swagger-ui-bundle.js": "js",
}


def document_of(api: Api) -> dict[str, Any]:
    """The document of all that is declared."""
    # Made by an application of its own that serves nothing: the real one is no child of the library's.
    maker = OpenAPI(
        "pbxbill.web.api",
        info=Info(title="pbxbill", version=VERSION, description=DESCRIPTION),
        security_schemes={
            SCHEME: {
                "type": "http",
                "scheme": "bearer",
                "description": "A key of the API; its scopes are the permissions that operations name.",
            }
        },
        validation_error_model=Problem,
        doc_ui=False,
    )
    blueprint = api.described()
    maker.tags = blueprint.tags
    maker.paths.update(blueprint.paths)
    maker.components_schemas.update(blueprint.components_schemas)
    document: dict[str, Any] = maker.api_doc
    schemas = document["components"]["schemas"]
    for model in (Problem, FieldError):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas[model.__name__].pop("$defs", None)
    document["tags"] = sorted(document.get("tags", []), key=lambda tag: str(tag["name"]))
    return document


def document_pages(api: Api) -> Blueprint:
    """The document, and a page to read and try it."""
    made = Blueprint("api_document", __name__, url_prefix=URL)
    document = cache(lambda: document_of(api))

    @made.get("/openapi.json")
    @open_to_all
    def openapi() -> Response:
        return jsonify(document())

    @made.get("/docs")
    @open_to_all
    def docs() -> Response:
        page = Response(render_template("api_docs.html"))
        page.headers["Content-Security-Policy"] = PAGE_POLICY
        return page

    @made.get("/docs/<any('swagger-ui.css', 'swagger-ui-bundle.js'):name>")
    @open_to_all
    def asset(name: str) -> Response:
        folder = files("flask_openapi3_swagger") / "templates" / "swagger" / ASSETS[name]
        return send_from_directory(str(folder), name, max_age=86_400)

    return made
