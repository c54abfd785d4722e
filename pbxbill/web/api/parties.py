"""Who somebody is on documents: the key's own company with its terms and numbers, and accounts' addresses."""

from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, create_model
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.account_terms import change_account
from pbxbill.billing.invoices.numbering import (
    DEFAULT_FORMATS,
    MAX_PADDING,
    NumberFormat,
    begin_numbers,
    number_formats,
    set_number_format,
)
from pbxbill.billing.invoices.totals import TaxRounding
from pbxbill.billing.parties import (
    MAX_PAYMENT_DAYS,
    MAX_QUARANTINE_DAYS,
    MAX_TERMS_LENGTH,
    OWN_FIELDS,
    PARTY_FIELDS,
    issuer_of,
    party_of,
    set_issuer,
    set_party,
    support_numbers,
)
from pbxbill.billing.taxes.tax_conflicts import tax_conflict
from pbxbill.store.billing_models import PartyRow
from pbxbill.store.models import AccountRow
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Line, Sent, left_out, optional
from pbxbill.web.api.objects import conflicts, field
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import needs
from pbxbill.web.languages import LANGUAGES

TAG = "Companies and addresses"
Language = Annotated[str, StringConstraints(pattern="^[a-z]{2}(-[A-Z]{2})?$")]


def _text(name: str) -> Any:
    longest: int = PartyRow.__table__.columns[name].type.length  # type: ignore[attr-defined]  # Strings
    return Annotated[Line, StringConstraints(max_length=longest)]


_CHANGES: dict[str, Any] = {name: optional(_text(name)) for name in PARTY_FIELDS}
_OWN_CHANGES: dict[str, Any] = {name: optional(_text(name)) for name in OWN_FIELDS}
_SHOWN: dict[str, Any] = dict.fromkeys(PARTY_FIELDS, (str, ...))
PartyChange: type[Sent] = create_model(
    "PartyChange",
    __base__=Sent,
    __doc__="What to change of who somebody is; what is left out stays.",
    **_CHANGES,
)
OwnDetailsChange: type[Sent] = create_model(
    "OwnDetailsChange",
    __base__=Sent,
    __doc__="What an account may change of itself; what is left out stays.",
    **_OWN_CHANGES,
    language=optional(Literal[tuple(LANGUAGES)], "Of documents and notices."),
)
PartyFields: type[BaseModel] = create_model("PartyFields", **_SHOWN)


class PartyShown(PartyFields):  # type: ignore[valid-type, misc]  # made of what there is
    """Who somebody is in law, and where."""

    missing: list[str] = Field(description="What an invoice needs of it, and it lacks.")
    tax_conflict: str = Field(description="Where its tariffs take another tax than its address says.")


class OwnDetails(PartyFields):  # type: ignore[valid-type, misc]  # the same
    """Who the key's own account is."""

    language: str = Field(description="Of documents and notices.")


class Terms(BaseModel):
    """How somebody makes his documents."""

    zone: str
    tax_rounding: str
    payment_days: int
    payment_terms: str
    did_quarantine_days: int
    support_numbers: list[str] = Field(description="Customers reach them however suspended they are.")


class TermsChange(Sent):
    """What to change; what is left out stays."""

    zone: Annotated[Line, StringConstraints(min_length=1, max_length=64)] = left_out(
        "Of dates on documents and of the numbers' years."
    )
    tax_rounding: Literal[tuple(TaxRounding)] = left_out(  # type: ignore[valid-type]  # the same
        "Once for each tax of the invoice, or on each line."
    )
    payment_days: Annotated[int, Field(ge=0, le=MAX_PAYMENT_DAYS)] = left_out()
    payment_terms: Annotated[Line, StringConstraints(max_length=MAX_TERMS_LENGTH)] = left_out("Printed.")
    did_quarantine_days: Annotated[int, Field(ge=0, le=MAX_QUARANTINE_DAYS)] = left_out(
        "So long a number rests until somebody else gets it."
    )
    support_numbers: Annotated[
        list[Annotated[str, StringConstraints(pattern=r"^\+?[0-9]{2,15}$")]], Field(max_length=50)
    ] = left_out("All of them.")


class Numbers(BaseModel):
    """How documents of a kind are numbered."""

    kind: str
    prefix: str
    padding: int
    yearly: bool


class SentNumbers(Sent):
    """How documents of a kind are numbered from now on."""

    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9/_.# {}-]{0,24}$")] = Field(
        examples=["INV-{year}-"]
    )
    padding: Annotated[int, Field(ge=1, le=MAX_PADDING)] = Field(default=5, description="Least digits.")
    yearly: bool = Field(default=True, description="Each year begins with 1.")


class Beginning(Sent):
    """To go on after another system's numbers."""

    count: Annotated[int, Field(ge=1, le=10**12)]


class Begun(BaseModel):
    """What the next document of a kind is called."""

    number: str


class NumbersPath(Sent):
    """A kind of document."""

    kind: Literal[tuple(DEFAULT_FORMATS)]  # type: ignore[valid-type]  # made of what there is


class Company(BaseModel):
    """Who the key's own account is, and how it makes its documents."""

    address: PartyShown
    terms: Terms
    numbers: list[Numbers]


def company(api: Api) -> None:
    """The key's own account as one who issues documents."""
    front = api.front

    @api.get("/company", Company, TAG, moving=("missing", "tax_conflict"))
    @needs(Permission.INVOICES_READ)
    def get_company() -> Company:
        """Who the key's account is on documents, and how it makes them."""
        own_id = front.scope.account_id
        with front.reading() as session:
            layouts = number_formats(session, own_id)
            return Company(
                address=_party(session, own_id, front.clock.now_us()),
                terms=_terms(session, own_id),
                numbers=[Numbers(kind=kind, **asdict(x)) for kind, x in layouts.items()],
            )

    @api.patch("/company/address", PartyShown, TAG, of="/company")
    @needs(Permission.INVOICES_WRITE)
    def change_company_address(body: PartyChange) -> Answer:  # type: ignore[valid-type]  # made, as above
        """Change who the key's account is. What is issued keeps what was printed."""
        return changed_party(api, front.scope.account_id, body)

    @api.patch("/company/terms", Terms, TAG, of="/company")
    @needs(Permission.INVOICES_WRITE)
    def change_company_terms(body: TermsChange) -> Answer:
        """Change how the key's account makes documents from now on."""
        own_id = front.scope.account_id
        sent = body.model_dump(include=body.model_fields_set)
        with api.writing("issuer.change", "", account_id=own_id) as change:
            if "support_numbers" in sent:
                with field("support_numbers"):
                    sent["support_numbers"] = support_numbers(",".join(sent["support_numbers"]))
            if "tax_rounding" in sent:
                sent["tax_rounding"] = TaxRounding(sent["tax_rounding"])
            set_issuer(change.session, own_id, replace(issuer_of(change.session, own_id), **sent))
            return change.done(_terms(change.session, own_id))

    @api.put("/company/numbers/<kind>", Numbers, TAG, of="/company")
    @needs(Permission.INVOICES_WRITE)
    def set_numbers(path: NumbersPath, body: SentNumbers) -> Answer:
        """Say how documents of a kind are numbered. They go on counting."""
        own_id = front.scope.account_id
        with api.writing("numbers.change", path.kind) as change:
            with field("prefix"):
                wanted = NumberFormat(body.prefix, body.padding, body.yearly)
                if wanted != number_formats(change.session, own_id)[path.kind]:
                    set_number_format(change.session, own_id, path.kind, wanted)
            return change.done(Numbers(kind=path.kind, **asdict(wanted)))

    @api.post("/company/numbers/<kind>/beginning", Begun, TAG)
    @needs(Permission.INVOICES_WRITE)
    def begin_to_number(path: NumbersPath, body: Beginning) -> Answer:
        """Begin with a count, after another system's numbers. 409: there is a document of the kind."""
        own_id = front.scope.account_id
        with api.writing("numbers.change", path.kind) as change:
            zone = issuer_of(change.session, own_id).zone
            with conflicts():
                first = begin_numbers(change.session, own_id, path.kind, body.count, change.now_us, zone)
            return change.done(Begun(number=first), 201)


def addresses(api: Api) -> None:
    """Of accounts, and of one's own."""
    front = api.front

    @api.get("/accounts/<int:account_id>/address", PartyShown, TAG, moving=("missing", "tax_conflict"))
    @needs(Permission.ACCOUNTS_READ)
    def get_account_address(path: AccountPath) -> PartyShown:
        """Who an account is on documents, and where it is reached."""
        with front.reading() as session:
            front.account(session, path.account_id)
            return _party(session, path.account_id, front.clock.now_us())

    @api.patch("/accounts/<int:account_id>/address", PartyShown, TAG)
    @needs(Permission.ACCOUNTS_WRITE)
    def change_account_address(path: AccountPath, body: PartyChange) -> Answer:  # type: ignore[valid-type]
        """Change who an account is. What is issued keeps what was printed."""
        with front.reading() as session:
            front.account(session, path.account_id)
        return changed_party(api, path.account_id, body)

    @api.get("/own/details", OwnDetails, TAG)
    @needs(Permission.OWN_READ)
    def get_own_details() -> OwnDetails:
        """Who the key's own account is on documents, and where it is reached."""
        with front.reading() as session:
            return own_details(session)

    @api.patch("/own/details", OwnDetails, TAG)
    @needs(Permission.OWN_WRITE)
    def change_own_details(body: OwnDetailsChange) -> Answer:  # type: ignore[valid-type]  # made, as above
        """Change where the key's own account is reached, and the language in which it is written to."""
        sent: Any = body
        facts = sent.model_dump(include=sent.model_fields_set)
        language = facts.pop("language", None)
        with front.reading() as session:
            code = session.get_one(AccountRow, front.scope.account_id).code
        with api.writing("account.details", code, account_id=front.scope.account_id) as change:
            now = front.account(change.session, front.scope.account_id)
            set_party(change.session, now.id, facts)
            if language is not None:
                change_account(change.session, now, {"language": language})
            return change.done(own_details(change.session))

    def own_details(session: Session) -> OwnDetails:
        account = session.get_one(AccountRow, front.scope.account_id)
        return OwnDetails(**asdict(party_of(session, account.id)), language=account.language)


def changed_party(api: Api, account_id: int, body: BaseModel) -> Answer:
    """Change who an account is that may be seen."""
    with api.front.reading() as session:
        code = session.get_one(AccountRow, account_id).code
    with api.writing("party.change", code, account_id=account_id) as change:
        set_party(change.session, account_id, body.model_dump(include=body.model_fields_set))
        return change.done(_party(change.session, account_id, change.now_us))


def _party(session: Session, account_id: int, now_us: int) -> PartyShown:
    session.flush()
    party = party_of(session, account_id)
    conflict = tax_conflict(session, account_id, now_us)
    return PartyShown(**asdict(party), missing=list(party.missing), tax_conflict=conflict)


def _terms(session: Session, account_id: int) -> Terms:
    session.flush()
    now = issuer_of(session, account_id)
    return Terms(
        zone=now.zone,
        tax_rounding=now.tax_rounding.value,
        payment_days=now.payment_days,
        payment_terms=now.payment_terms,
        did_quarantine_days=now.did_quarantine_days,
        support_numbers=now.support_numbers.split(),
    )
