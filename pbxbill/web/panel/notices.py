"""Notices: the outbox with what could not be sent, and words per language with a preview.

Thresholds and what accounts want stand in notice_choices.py.
"""

from dataclasses import asdict

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as AnyResponse

from pbxbill.access.permissions import Permission
from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_preview import fault_of
from pbxbill.billing.notices.notice_preview import preview as made_up
from pbxbill.billing.notices.notice_templates import (
    FilledNotice,
    NoticeWords,
    built_in_as_template,
    checked_language,
    own_words,
    save_words,
    templates_of,
)
from pbxbill.billing.parties import party_of
from pbxbill.errors import InputRefused
from pbxbill.listing.listing import N_
from pbxbill.listing.notices import MESSAGES
from pbxbill.listing.sellers import kept_by_sellers
from pbxbill.notify.outbox import MOST_RETRIED, count_failed, retry, retry_failed
from pbxbill.store.invoice_models import MessageRow
from pbxbill.store.models import AccountRow
from pbxbill.web.background import Background
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals, sentence
from pbxbill.web.front import Front, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.own.links import MAIL_KIND
from pbxbill.web.panel.asking import done_at_once, done_when_sure, form_page, issuer
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.notice_choices import add_choices
from pbxbill.web.panel.notice_forms import WordsForm
from pbxbill.web.panel.outgoing_webhooks import notice_tabs, oldest_first
from pbxbill.web.words import word_of

MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""A mail is somebody's words: it is shown without scripts, forms and addresses of others."""


def notices(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("notices", __name__)
    add_list(
        section,
        front,
        ListPage(
            MESSAGES,
            "/messages",
            link="notices.message",
            template="panel/notices/list.html",
            empty=(
                N_("No message was written yet"),
                N_("Invoices, notices and reports that go out by mail appear here."),
            ),
            more=lambda: {"tabs": notice_tabs(front), "tab": "messages", "given_up": _given_up(front)},
        ),
    )
    _add_messages(section, front)
    _add_templates(section, front)
    _add_clearing(section, front)
    add_choices(section, front, Background())
    return section


def _given_up(front: Front) -> int:
    with front.reading() as session:
        return count_failed(session, _mails(front))


def _mails(front: Front) -> tuple[ColumnElement[bool], ...]:
    return MessageRow.channel == "mail", kept_by_sellers(front.scope, MessageRow.issuer_id)


def _waits_again(count: int) -> str:
    return str(ngettext("%(num)d message waits again.", "%(num)d messages wait again.", count))


def _message(session: Session, front: Front, id: int) -> MessageRow:
    return front.one(
        session,
        select(MessageRow).where(
            MessageRow.id == id,
            MessageRow.channel == "mail",
            kept_by_sellers(front.scope, MessageRow.issuer_id),
        ),
    )


def _add_messages(section: Blueprint, front: Front) -> None:
    @section.get("/messages/<int:id>")
    @needs(Permission.NOTICES_READ)
    def message(id: int) -> str:
        with front.reading() as session:
            row = _message(session, front, id)
            account = session.get(AccountRow, row.account_id) if row.account_id else None
        return render_template(
            "panel/notices/message.html",
            row=row,
            account=account,
            # A link that opens somebody's access is for him alone.
            is_secret=row.kind == MAIL_KIND,
            crumbs=[(gettext("Messages"), url_for("notices.listed"))],
        )

    @section.post("/messages/<int:id>/retry")
    @needs(Permission.NOTICES_WRITE)
    def retry_one(id: int) -> AnyResponse:
        with front.reading() as session:
            account_id = _message(session, front, id).account_id
        return done_at_once(
            front,
            "message.retry",
            str(id),
            lambda change: retry(change.session, [_message(change.session, front, id).id], change.now_us),
            gettext("It waits again, and is sent within a minute or so."),
            url_for(".message", id=id),
            account_id,
        )

    @section.route("/messages/retry", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def retry_all() -> str | AnyResponse:
        count = _given_up(front)
        if not count:
            flash(gettext("No message is given up."))
            return redirect(url_for(".listed"), 303)
        return done_when_sure(
            front,
            "message.retry",
            "failed",
            lambda change: _waits_again(retry_failed(change.session, _mails(front), change.now_us)),
            url_for(".listed", state="waiting"),
            title=gettext("Send again what was given up"),
            button=ngettext("Send %(num)d message", "Send %(num)d messages", min(count, MOST_RETRIED)),
            crumbs=[(gettext("Messages"), url_for(".listed"))],
            warning=gettext(
                "Each goes to whom it was written for, as it was written. What is sent cannot be called back."
            ),
            lead=oldest_first(count),
        )


def _kind(front: Front, text: str) -> NoticeKind:
    """A kind that whoever acts has words for; 404 for any other."""
    try:
        kind = NoticeKind(text)
    except ValueError:
        abort(404)
    if KINDS[kind].internal and not front.scope.is_everything:
        abort(404)
    return kind


def _language(text: str) -> str:
    try:
        return checked_language(text)
    except InputRefused:
        abort(404)


def _add_templates(section: Blueprint, front: Front) -> None:
    @section.get("/notices/templates")
    @needs(Permission.NOTICES_READ)
    def templates() -> str | AnyResponse:
        wanted = request.args.get("kind", ""), request.args.get("language", "").strip()
        if all(wanted):
            return redirect(
                url_for(".words", kind=_kind(front, wanted[0]).value, language=_language(wanted[1])), 303
            )
        with front.reading() as session:
            own = templates_of(session, front.scope.account_id)
        found = [
            (kind, terms) for kind, terms in KINDS.items() if front.scope.is_everything or not terms.internal
        ]
        return render_template(
            "panel/notices/templates.html",
            kinds=found,
            own={(row.kind, row.language): (row, used) for row, used in own},
            languages=sorted({*LANGUAGES, *(row.language for row, _used in own)}),
            tabs=notice_tabs(front),
        )

    @section.get("/notices/templates/<kind>/<language>")
    @needs(Permission.NOTICES_READ)
    def words(kind: str, language: str) -> str:
        form = WordsForm(formdata=None)
        known, spoken = _kind(front, kind), _language(language)
        with front.reading() as session:
            shown = _in_use(session, front, known, spoken)
        form.subject.data, form.text.data, form.html.data = shown.subject, shown.text, shown.html
        form.edition.data = edition_of(asdict(shown))
        return _words_page(front, known, spoken, form, _filled(front, known, spoken, shown))

    @section.post("/notices/templates/<kind>/<language>")
    @needs(Permission.NOTICES_WRITE)
    def write(kind: str, language: str) -> str | AnyResponse:
        form = WordsForm()
        known, spoken = _kind(front, kind), _language(language)
        if not form.validate_on_submit():
            return _words_page(front, known, spoken, form, None)
        wanted = _words(form)
        fault = fault_of(known, spoken, wanted)
        if fault:
            form.form_errors.append(sentence(fault))
        filled = None if fault else _filled(front, known, spoken, wanted)
        do = request.form.get("do", "")
        if do == "mail" and filled is not None:
            return Response(filled.html, headers={"Content-Security-Policy": MAIL_POLICY})
        if do == "save":
            number = 0
            with refusals(form) as refused:
                number = _saved(front, known, spoken, wanted, fault, form)
            if refused:
                return _words_page(front, known, spoken, form, filled)
            if not fault:
                flash(gettext("Version %(number)d is in use.", number=number))
                return redirect(url_for(".words", kind=kind, language=language), 303)
            told = gettext(
                "Version %(number)d is kept, but cannot be used. What was in use stays in use.", number=number
            )
            flash(told, "warn")
        return _words_page(front, known, spoken, form, filled)


def _add_clearing(section: Blueprint, front: Front) -> None:
    @section.route("/notices/templates/<kind>/<language>/clear", methods=["GET", "POST"])
    @needs(Permission.NOTICES_WRITE)
    def clear(kind: str, language: str) -> str | AnyResponse:
        form = PanelForm()
        known, spoken = _kind(front, kind), _language(language)
        back = url_for(".words", kind=kind, language=language)
        if form.validate_on_submit():
            with refusals(form) as refused:
                _saved(front, known, spoken, None, "")
            if not refused:
                flash(gettext("The built-in words are in use."))
                return redirect(back, 303)
        return form_page(
            form,
            gettext("Go back to the built-in words"),
            gettext("Use the built-in words"),
            back,
            [(gettext("Templates"), url_for(".templates")), (word_of(kind), back)],
            lead=gettext("Your own versions are kept."),
        )


def _filled(front: Front, kind: NoticeKind, language: str, words: NoticeWords) -> FilledNotice | None:
    """The notice with made-up facts; None where the words fail."""
    with front.reading() as session:
        seller = party_of(session, front.scope.account_id).legal_name
    try:
        return made_up(kind, language, words, seller=seller)
    except InputRefused:
        return None


def _words_page(
    front: Front, kind: NoticeKind, language: str, form: WordsForm, filled: FilledNotice | None
) -> str:
    with front.reading() as session:
        is_own = own_words(session, front.scope.account_id, kind, language) is not None
    return render_template(
        "panel/notices/words.html",
        form=form,
        kind=kind.value,
        terms=KINDS[kind],
        language=language,
        is_own=is_own,
        filled=filled,
        crumbs=[(gettext("Templates"), url_for("notices.templates"))],
    )


def _words(form: WordsForm) -> NoticeWords:
    def lines(text: str | None) -> str:
        return (text or "").replace("\r\n", "\n")

    return NoticeWords(form.subject.data or "", lines(form.text.data), lines(form.html.data))


def _in_use(session: Session, front: Front, kind: NoticeKind, language: str) -> NoticeWords:
    own = own_words(session, front.scope.account_id, kind, language)
    return own or built_in_as_template(kind, language)


def _saved(
    front: Front,
    kind: NoticeKind,
    language: str,
    words: NoticeWords | None,
    fault: str,
    form: WordsForm | None = None,
) -> int:
    with front.changing("notice.words", f"{kind.value} {language}") as change:
        if form is not None:
            check_edition(form, asdict(_in_use(change.session, front, kind, language)))
        kept = save_words(
            change.session,
            issuer(change.session, front),
            kind,
            language,
            words,
            fault,
            by=front.actor.name[:64],
            now_us=change.now_us,
        )
        return kept.number
