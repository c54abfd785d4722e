"""What notices say: an issuer's own templates version by version, or the built-in words; filled in safely.

A template is Jinja in the sandbox of invoice templates: it writes facts, decides by them, and can do nothing
else. A version with a fault is kept and not used; the last good one stays in use. One that fails all the same
once it meets real facts gives way to the built-in words: what it was to tell is told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from markupsafe import escape
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pbxbill.billing.notices.notice_kinds import KINDS, NoticeKind
from pbxbill.billing.notices.notice_words import FRAME, WORDS, built_in_words
from pbxbill.billing.render.sandbox import CompiledTemplate, Sandbox, TemplateFault
from pbxbill.billing.render.template import Colours, template_from_json
from pbxbill.errors import InputRefused
from pbxbill.store.driver import rows_within
from pbxbill.store.models import AccountRow
from pbxbill.store.notice_models import NoticeTemplateRow

SUBJECT_MAX, TEXT_MAX, HTML_MAX = 300, 50_000, 200_000
"""Characters, of a template and of what it makes."""
WORK_MAX = 20_000
"""Of the sandbox: a notice is written within the transaction that it tells of."""
COMMON = ("account", "name", "seller")
"""What every notice may say: the account's code, its name, its issuer's name."""
_CODED = ("action", "decision", "method", "status", "what")
"""Facts whose codes have words in each language."""
_GAP = re.compile(r"(?<![ \t])[ \t]*\n\s*\n")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
_VERSIONS = (
    "SELECT language, subject, text, html FROM notice_templates WHERE issuer_id = :issuer_id "
    "AND kind = :kind AND language IN (:language, :plain) AND error = '' ORDER BY number DESC"
)


@dataclass(frozen=True, slots=True)
class NoticeWords:
    """A template: three texts in Jinja."""

    subject: str
    text: str
    html: str = ""
    """Of the page's body; empty: made of the text."""


class FilledNotice(NamedTuple):
    """A notice as it is sent."""

    subject: str
    text: str
    html: str


class SavedTemplate(NamedTuple):
    """A version of a template that was kept."""

    number: int
    fault: str
    """Why it is not used; empty: it is."""


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What stands around a notice."""

    language: str
    seller: str
    colours: Colours


def values_of(
    kind: NoticeKind, written: Mapping[str, str | int], common: Mapping[str, str], language: str
) -> dict[str, str | int]:
    """All that a template of a kind may write; empty is what there is nothing to say of."""
    terms, words = KINDS[kind], built_in_words(language)[WORDS]
    empty: dict[str, str | int] = dict.fromkeys((*terms.facts, *terms.may_have), "")
    said = {
        name: words.get(value, value) if name in _CODED and isinstance(value, str) else value
        for name, value in written.items()
    }
    return empty | said | dict(common)


def filled(words: NoticeWords, values: Mapping[str, str | int], head: Letterhead) -> FilledNotice:
    """A notice by a template; TemplateFault says which of its texts fails, at which line, and why."""
    subject = " ".join(_part("subject", words.subject, values, SUBJECT_MAX).split())
    text = _GAP.sub("\n\n", _part("text", words.text, values, TEXT_MAX)).strip() + "\n"
    body = _part("html", words.html, values, HTML_MAX) if words.html else _paragraphs(text)
    return FilledNotice(subject, text, _page(body, head))


def built_in(kind: NoticeKind, values: Mapping[str, str | int], head: Letterhead) -> FilledNotice:
    """A notice in the built-in words."""
    words = built_in_words(head.language)
    return filled(NoticeWords(words[kind]["subject"], _whole(words, kind)), values, head)


def _whole(words: Mapping[str, Mapping[str, str]], kind: NoticeKind) -> str:
    parts = (words[FRAME]["greeting"], words[kind]["text"], words[FRAME]["closing"])
    return "\n\n".join(part.strip() for part in parts)


def as_written(subject: str, text: str, head: Letterhead) -> FilledNotice:
    """A notice in words that somebody else has found."""
    return FilledNotice(subject, text, _page(_paragraphs(text), head))


def core_of(kind: NoticeKind, values: Mapping[str, str | int], head: Letterhead) -> FilledNotice:
    """The same without greeting and closing: a part of a digest."""
    words = built_in_words(head.language)[kind]
    return filled(NoticeWords(words["subject"], words["text"].strip()), values, head)


def built_in_as_template(kind: NoticeKind, language: str) -> NoticeWords:
    """The built-in words as somebody would write them: to begin one's own from."""
    words = built_in_words(language)
    return NoticeWords(words[kind]["subject"], _whole(words, kind) + "\n")


def checked_language(text: str) -> str:
    """A language as accounts have them."""
    if _LANGUAGE.fullmatch(text) is None:
        raise InputRefused(f"{text[:20]!r} is no language; write it like en, fr or pt-BR")
    return text


def own_words(session: Session, issuer_id: int, kind: str, language: str) -> NoticeWords | None:
    """An issuer's words in use for a language, those of "de" for "de-AT" too; None: the built-in ones."""
    plain = language.partition("-")[0]
    asked = {"issuer_id": issuer_id, "kind": str(kind), "language": language, "plain": plain}
    newest: dict[str, NoticeWords] = {}
    for found, subject, text, html in rows_within(session, _VERSIONS, asked):
        newest.setdefault(found, NoticeWords(subject, text, html))
    for candidate in (language, plain):
        if candidate in newest:
            # Empty: somebody went back to the built-in words.
            return newest[candidate] if newest[candidate].text else None
    return None


def save_words(  # noqa: PLR0913 one parameter per column
    session: Session,
    issuer: AccountRow,
    kind: NoticeKind,
    language: str,
    words: NoticeWords | None,
    fault: str,
    *,
    by: str,
    now_us: int,
) -> SavedTemplate:
    """Keep a template with its fault_of() as the newest version; None: the built-in words from now on."""
    if issuer.kind == "customer":
        raise InputRefused(f"account {issuer.code} is a customer; the operator and resellers have templates")
    session.execute(select(AccountRow.id).where(AccountRow.id == issuer.id).with_for_update())
    words = words or NoticeWords("", "")
    newest = _newest(session, issuer.id, kind, language)
    if newest is not None and (newest.subject, newest.text, newest.html, newest.error) == (
        words.subject,
        words.text,
        words.html,
        fault,
    ):
        return SavedTemplate(newest.number, fault)
    number = 1 if newest is None else newest.number + 1
    session.add(
        NoticeTemplateRow(
            issuer_id=issuer.id,
            kind=str(kind),
            language=language,
            number=number,
            subject=words.subject,
            text=words.text,
            html=words.html,
            error=fault,
            by=by[:64],
            created_us=now_us,
        )
    )
    session.flush()
    return SavedTemplate(number, fault)


def templates_of(session: Session, issuer_id: int) -> list[tuple[NoticeTemplateRow, int | None]]:
    """The newest version of each of an issuer's templates, and which one is in use."""
    of_issuer = NoticeTemplateRow.issuer_id == issuer_id
    grouped = (NoticeTemplateRow.kind, NoticeTemplateRow.language)
    good = func.max(NoticeTemplateRow.number).filter(NoticeTemplateRow.error == "")
    query = select(*grouped, func.max(NoticeTemplateRow.number), good).where(of_issuer).group_by(*grouped)
    found: list[tuple[NoticeTemplateRow, int | None]] = []
    for kind, language, number, used in session.execute(query.order_by(*grouped)).all():
        row = session.scalars(
            select(NoticeTemplateRow).where(
                of_issuer,
                NoticeTemplateRow.kind == kind,
                NoticeTemplateRow.language == language,
                NoticeTemplateRow.number == number,
            )
        ).one()
        found.append((row, used))
    return found


def letter_colours(session: Session, template_id: int | None, issuer_id: int) -> Colours:
    """The colours of the documents that an issuer sends to an account."""
    if template_id is None:
        return Colours()
    found = rows_within(
        session,
        "SELECT v.definition FROM template_versions v JOIN templates t ON t.id = v.template_id "
        "WHERE t.id = :template_id AND t.issuer_id = :issuer_id AND v.number = t.current_version",
        {"template_id": template_id, "issuer_id": issuer_id},
    )
    return _colours(found[0][0]) if found else Colours()


@lru_cache(maxsize=64)
def _colours(definition: str) -> Colours:
    return template_from_json(definition).colours


def _newest(session: Session, issuer_id: int, kind: str, language: str) -> NoticeTemplateRow | None:
    return session.scalar(
        select(NoticeTemplateRow)
        .where(
            NoticeTemplateRow.issuer_id == issuer_id,
            NoticeTemplateRow.kind == str(kind),
            NoticeTemplateRow.language == language,
        )
        .order_by(NoticeTemplateRow.number.desc())
        .limit(1)
    )


def _part(name: str, source: str, values: Mapping[str, str | int], longest: int) -> str:
    try:
        if len(source) > longest:
            raise TemplateFault(f"it has more than {longest} characters")
        made = _compiled(source, name == "html").filled(values, {}, WORK_MAX)
        if len(made) > longest:
            raise TemplateFault(f"what it makes has more than {longest} characters")
    except TemplateFault as fault:
        raise TemplateFault(f"{name}: {fault}") from None
    return made


@cache
def _environment(html: bool) -> Sandbox:
    return Sandbox(html=html)


@lru_cache(maxsize=1024)
def _compiled(source: str, html: bool) -> CompiledTemplate:
    return CompiledTemplate(source, _environment(html))


def _paragraphs(text: str) -> str:
    parts = (part.strip() for part in text.split("\n\n"))
    return "\n".join(f"<p>{escape(part)}</p>".replace("\n", "<br>\n") for part in parts if part)


def _page(body: str, head: Letterhead) -> str:
    """Around the body: nothing that a mail program would have to fetch."""
    colours = head.colours
    return (
        f'<!doctype html>\n<html lang="{escape(head.language)}">\n<head><meta charset="utf-8"></head>\n'
        f'<body style="margin:0;padding:24px;color:{escape(colours.text)};'
        "font-family:'Source Sans 3',Helvetica,Arial,sans-serif;font-size:16px;line-height:1.5\">\n"
        '<div style="max-width:640px;margin:0 auto">\n'
        f'<div style="border-bottom:3px solid {escape(colours.accent)};color:{escape(colours.accent)};'
        f'font-size:18px;font-weight:600;padding-bottom:8px">{escape(head.seller)}</div>\n'
        f"{body}\n</div>\n</body>\n</html>\n"
    )
