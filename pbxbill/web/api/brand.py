"""A seller's brand: how panel and portal look to those whom he sells to; with its logo."""

import base64
import binascii
from typing import Annotated

from flask import Response
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.brands import BrandTerms, FieldRefused, brand_of, set_brand, set_logo
from pbxbill.billing.render.logo import LOGO_MAX_BYTES
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api, File
from pbxbill.web.api.fields import Line, Sent
from pbxbill.web.api.objects import field, issuer, wrong
from pbxbill.web.api.problems import Refused, said
from pbxbill.web.front import needs

TAG = "Brand"
MAX_REQUEST_BYTES = LOGO_MAX_BYTES * 4 // 3 + 1_000
LOGO = File("application/octet-stream", "The logo; its name says of which kind it is.")
ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}


class SentBrand(Sent):
    """How it looks; what is left out is empty."""

    name: Annotated[Line, StringConstraints(max_length=80)] = Field(
        default="", description="Empty: the account's name."
    )
    host: Annotated[Line, StringConstraints(max_length=253)] = Field(
        default="", description="Who comes by it sees this brand's log-in page.", examples=["my.example.com"]
    )
    colour: Annotated[str, StringConstraints(pattern="^(#[0-9a-fA-F]{6})?$")] = Field(
        default="", description="Dark enough for white text on it.", examples=["#1d5fa8"]
    )
    footer: Annotated[Line, StringConstraints(max_length=300)] = ""
    support_email: Annotated[Line, StringConstraints(max_length=254)] = ""
    support_phone: Annotated[Line, StringConstraints(max_length=40)] = ""
    support_url: Annotated[Line, StringConstraints(max_length=300)] = ""


class BrandShown(BaseModel):
    """How it looks."""

    name: str
    host: str
    colour: str
    footer: str
    support_email: str
    support_phone: str
    support_url: str
    logo: bool = Field(description="Whether there is one.")


class SentLogo(Sent):
    """A logo: PNG, JPEG or SVG."""

    content: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REQUEST_BYTES)] = Field(
        description=f"The file in base64; up to {LOGO_MAX_BYTES:,} bytes.",
        json_schema_extra={"contentEncoding": "base64"},
    )


def brand(api: Api) -> None:
    """The brand of the key's own account."""
    front = api.front

    @api.get("/brand", BrandShown, TAG)
    @needs(Permission.CATALOGUE_READ)
    def get_brand() -> BrandShown:
        """The brand of the key's account."""
        with front.reading() as session:
            return _shown(session, front.scope.account_id)

    @api.put("/brand", BrandShown, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def set_own_brand(body: SentBrand) -> Answer:
        """Say how panel and portal look to those whom the key's account sells to. Its logo stays."""
        with api.writing("brand.change", _code(api), account_id=front.scope.account_id) as change:
            try:
                own = issuer(change.session, front.scope)
                set_brand(change.session, own, BrandTerms(**body.model_dump()), ours=front.desks.public_host)
            except FieldRefused as error:
                raise wrong(error.field, said(error)) from None
            return change.done(_shown(change.session, front.scope.account_id))

    @api.get("/brand/logo", LOGO, TAG, conflict=True)
    @needs(Permission.CATALOGUE_READ)
    def get_logo() -> Response:
        """The logo, as a file. 409: there is none."""
        with front.reading() as session:
            row = brand_of(session, front.scope.account_id)
        if row is None or row.logo is None:
            raise Refused(409, "The brand has no logo.")
        answer = Response(row.logo, mimetype=LOGO.mimetype)
        ending = ENDINGS.get(row.logo_type, "bin")
        answer.headers["Content-Disposition"] = f'attachment; filename="logo.{ending}"'
        return answer

    @api.put("/brand/logo", BrandShown, TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def set_own_logo(body: SentLogo) -> Answer:
        """Give the brand a logo. It is checked by its content."""
        try:
            content = base64.b64decode(body.content, validate=True)
        except (binascii.Error, ValueError):
            raise wrong("content", "is not base64") from None
        return changed(content)

    @api.delete("/brand/logo", TAG)
    @needs(Permission.CATALOGUE_WRITE)
    def remove_logo() -> Answer:
        """Take the logo away."""
        with api.writing("brand.change", _code(api), account_id=front.scope.account_id) as change:
            set_logo(change.session, front.scope.account_id, None)
            return change.done(None)

    def changed(content: bytes) -> Answer:
        with api.writing("brand.change", _code(api), account_id=front.scope.account_id) as change:
            with field("content"):
                set_logo(change.session, front.scope.account_id, content)
            return change.done(_shown(change.session, front.scope.account_id))

    api.take_larger("/brand/logo", MAX_REQUEST_BYTES)


def _code(api: Api) -> str:
    with api.front.reading() as session:
        return session.get_one(AccountRow, api.front.scope.account_id).code


def _shown(session: Session, account_id: int) -> BrandShown:
    row = brand_of(session, account_id)
    terms = {
        name: "" if row is None else getattr(row, name) or ""
        for name in BrandShown.model_fields
        if name != "logo"
    }
    return BrandShown(**terms, logo=row is not None and row.logo is not None)
