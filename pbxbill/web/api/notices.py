"""Notices: what was told, what an account wants to be told of, and the words of a seller's own."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy.orm import Session

from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_preview import fault_of
from pbxbill.billing.notices.notice_profiles import (
    Delivery,
    choices_of,
    choose,
    delivery_of,
    set_delivery,
)
from pbxbill.billing.notices.notice_templates import NoticeWords, built_in_as_template, own_words, save_words
from pbxbill.listing.notices import DELIVERIES, MESSAGES
from pbxbill.web.api.api import Answer, Api
from pbxbill.web.api.fields import Sent, left_out
from pbxbill.web.api.listed import declare_list
from pbxbill.web.api.objects import field, issuer, wrong
from pbxbill.web.api.problems import Refused
from pbxbill.web.api.wallets import AccountPath
from pbxbill.web.front import Front, needs

TAG = "Notices"
Minute = Annotated[int, Field(ge=0, le=1439)]
Address = Annotated[str, StringConstraints(min_length=3, max_length=200)]


class TemplatePath(Sent):
    """Words of a kind of notice in a language."""

    kind: str = Field(pattern="^[a-z_]{1,40}$")
    language: str = Field(pattern="^[a-z]{2}$")


class Words(Sent):
    """What a notice says; {names} of its facts are filled in, as docs/notices.md has them."""

    subject: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    html: Annotated[str, StringConstraints(max_length=50_000)] = ""


class Template(BaseModel):
    """Words of a kind in a language."""

    kind: str
    language: str
    own: bool = Field(description="False: those that come with pbxbill.")
    subject: str
    text: str
    html: str


class Choice(BaseModel):
    """What an account wants of a kind."""

    kind: str
    enabled: bool
    emails: list[str] = Field(description="None: the account's usual ones.")
    required: bool = Field(description="It cannot be switched off.")


class Choices(BaseModel):
    """What an account is told of, and when. Minutes of its local day."""

    items: list[Choice]
    quiet_from: int | None
    quiet_to: int | None
    digest: str
    digest_minute: int


class SentChoice(Sent):
    """What to change of a kind."""

    kind: Literal[tuple(NoticeKind)]  # type: ignore[valid-type]  # made of what there is
    enabled: bool = left_out()
    emails: Annotated[list[Address], Field(max_length=20)] = left_out("Empty: the usual ones.")


class SentChoices(Sent):
    """What to change; what is left out stays."""

    items: Annotated[list[SentChoice], Field(max_length=100)] = Field(default=[])
    quiet_from: Minute | None = left_out("With quiet_to; null: no quiet hours.")
    quiet_to: Minute | None = left_out()
    digest: Literal["", "daily"] = left_out("What is not urgent is gathered.")
    digest_minute: Minute = left_out()


def notices(api: Api) -> None:
    """Messages, deliveries, choices."""
    front = api.front
    declare_list(api, "/messages", MESSAGES, TAG)
    declare_list(api, "/webhook-deliveries", DELIVERIES, "Webhooks")

    def account_of(session: Session, path: AccountPath) -> int:
        return front.account(session, path.account_id).id

    @api.get("/accounts/<int:account_id>/notice-choices", Choices, TAG)
    @needs(Permission.NOTICES_READ)
    def get_notice_choices(path: AccountPath) -> Choices:
        """What an account is told of, and when."""
        with front.reading() as session:
            return _shown(session, account_of(session, path))

    @api.patch("/accounts/<int:account_id>/notice-choices", Choices, TAG)
    @needs(Permission.NOTICES_WRITE)
    def change_notice_choices(path: AccountPath, body: SentChoices) -> Answer:
        """Change what an account is told of, and when."""
        return _changed(api, lambda session: account_of(session, path), body)

    @api.get("/own/notice-choices", Choices, TAG)
    @needs(Permission.OWN_READ)
    def get_own_notice_choices() -> Choices:
        """What the key's own account is told of, and when."""
        with front.reading() as session:
            return _shown(session, front.scope.account_id)

    @api.patch("/own/notice-choices", Choices, TAG)
    @needs(Permission.OWN_WRITE)
    def change_own_notice_choices(body: SentChoices) -> Answer:
        """Change what the key's own account is told of, and when."""
        return _changed(api, lambda _session: front.scope.account_id, body)


def notice_templates(api: Api) -> None:
    """Words of the key's own account."""
    front = api.front

    @api.get("/notice-templates/<kind>/<language>", Template, TAG)
    @needs(Permission.NOTICES_READ)
    def get_notice_template(path: TemplatePath) -> Template:
        """The words of a kind in a language: own ones, or those that come with pbxbill."""
        kind, language = known_template(front, path)
        with front.reading() as session:
            return _template(session, front.scope.account_id, kind, language)

    @api.put("/notice-templates/<kind>/<language>", Template, TAG)
    @needs(Permission.NOTICES_WRITE)
    def put_notice_template(path: TemplatePath, body: Words) -> Answer:
        """Write own words. 422 says what is wrong with them."""
        kind, language = known_template(front, path)
        words = NoticeWords(body.subject, body.text, body.html)
        fault = fault_of(kind, language, words)
        if fault:
            raise wrong("text", fault)
        return saved(kind, language, words)

    @api.delete("/notice-templates/<kind>/<language>", TAG)
    @needs(Permission.NOTICES_WRITE)
    def reset_notice_template(path: TemplatePath) -> Answer:
        """Use the words that come with pbxbill again."""
        kind, language = known_template(front, path)
        with api.writing("notice.words", f"{kind.value} {language}") as change:
            _save(change.session, kind, language, None, change.now_us)
            return change.done(None)

    def saved(kind: NoticeKind, language: str, words: NoticeWords) -> Answer:
        with api.writing("notice.words", f"{kind.value} {language}") as change:
            _save(change.session, kind, language, words, change.now_us)
            return change.done(_template(change.session, front.scope.account_id, kind, language))

    def _save(
        session: Session, kind: NoticeKind, language: str, words: NoticeWords | None, now_us: int
    ) -> None:
        by = front.actor.name[:64]
        save_words(session, issuer(session, front.scope), kind, language, words, "", by=by, now_us=now_us)


def known_template(front: Front, path: TemplatePath) -> tuple[NoticeKind, str]:
    """A kind that whoever asks has words for."""
    if path.kind not in {x.value for x in NoticeKind}:
        raise Refused(404)
    kind = NoticeKind(path.kind)
    if KINDS[kind].internal and not front.scope.is_everything:
        raise Refused(404)
    return kind, path.language


def _template(session: Session, issuer_id: int, kind: NoticeKind, language: str) -> Template:
    own = own_words(session, issuer_id, kind.value, language)
    words = built_in_as_template(kind, language) if own is None else own
    return Template(
        kind=kind.value,
        language=language,
        own=own is not None,
        subject=words.subject,
        text=words.text,
        html=words.html,
    )


def _changed(api: Api, account_id: Callable[[Session], int], body: SentChoices) -> Answer:
    sent: Any = body
    with api.front.reading() as session:
        id = account_id(session)
    with api.writing("notice.choose", str(id), account_id=id) as change:
        session = change.session
        for place, choice in enumerate(sent.items):
            with field(f"items.{place}"):
                choose(session, id, NoticeKind(choice.kind), enabled=choice.enabled, emails=choice.emails)
        if body.model_fields_set - {"items"}:
            now = delivery_of(session, id)
            facts = {key: getattr(now, key) for key in ("quiet_from", "quiet_to", "digest", "digest_minute")}
            facts |= {key: getattr(sent, key) for key in body.model_fields_set - {"items"}}
            with field("quiet_from"):
                set_delivery(session, id, Delivery(**facts))
        return change.done(_shown(session, id))


def _shown(session: Session, account_id: int) -> Choices:
    chosen = choices_of(session, account_id)
    now = delivery_of(session, account_id)
    items = []
    for kind, terms in KINDS.items():
        if terms.internal:
            continue
        row = chosen.get(kind)
        items.append(
            Choice(
                kind=kind.value,
                enabled=row is None or row.enabled,
                emails=row.emails.split("\n") if row is not None and row.emails else [],
                required=terms.required,
            )
        )
    return Choices(
        items=items,
        quiet_from=now.quiet_from,
        quiet_to=now.quiet_to,
        digest=now.digest,
        digest_minute=now.digest_minute,
    )
