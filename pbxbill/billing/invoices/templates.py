"""Templates of issuers, version by version: the last one without errors is in use, whatever comes after it.

Checking a template sets a document, which takes a second: do it (render.template_check.fault_of) before the
transaction that saves it.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.parties import issuer_of, set_issuer, template_id_of
from pbxbill.billing.render.logo import Logo, checked_logo
from pbxbill.billing.render.template import BUILT_IN, Template, template_from_json, template_to_json
from pbxbill.errors import InputRefused
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.invoice_models import TemplateRow, TemplateVersionRow
from pbxbill.store.models import AccountRow

NAME_MAX_CHARACTERS = 64


class StoredTemplate(NamedTuple):
    """A version of a template."""

    name: str
    number: int
    """0: the built-in one."""
    template: Template
    logo: Logo | None
    error: str = ""
    """Why it cannot be used."""


class ListedTemplate(NamedTuple):
    """A template in a list."""

    issuer: str
    """Its account's code."""
    name: str
    current: int | None
    """The version in use."""
    newest: int
    error: str
    """Of the newest version."""
    used_by_issuer: bool
    accounts: int
    """That have chosen it."""


BUILT_IN_STORED = StoredTemplate("", 0, BUILT_IN, None)


def save_template(
    session: Session, issuer: AccountRow, name: str, stored: StoredTemplate, now_us: int
) -> StoredTemplate:
    """Keep a template, its logo and its fault_of() as the newest version; the same again is no new one."""
    if issuer.kind == "customer":
        raise InputRefused(f"account {issuer.code} is a customer; the operator and resellers have templates")
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= NAME_MAX_CHARACTERS):
        raise InputRefused(f"a template's name has 1 to {NAME_MAX_CHARACTERS} printable characters")
    row = _locked(session, issuer, name)
    definition = template_to_json(stored.template)
    logo = None if stored.logo is None else stored.logo.content
    newest = _version_row(session, row, None)
    if newest is None or (newest.definition, newest.logo, newest.error) != (definition, logo, stored.error):
        newest = TemplateVersionRow(
            template_id=row.id,
            number=1 if newest is None else newest.number + 1,
            definition=definition,
            logo=logo,
            error=stored.error,
            created_us=now_us,
        )
        session.add(newest)
    if not stored.error:
        row.current_version = newest.number
    session.flush()
    return stored._replace(name=name, number=newest.number)


def save_new_template(
    session: Session, issuer: AccountRow, name: str, stored: StoredTemplate, now_us: int
) -> StoredTemplate:
    """The same of one that there is not yet; InputRefused if there is."""
    if template_row(session, issuer, name) is not None:
        raise InputRefused(f"there is a template {name[:64]} already")
    return save_template(session, issuer, name, stored, now_us)


def template_row(session: Session, issuer: AccountRow, name: str) -> TemplateRow | None:
    """An issuer's template, by its name."""
    return session.scalar(
        select(TemplateRow).where(TemplateRow.issuer_id == issuer.id, TemplateRow.name == name)
    )


def template_version(
    session: Session, issuer: AccountRow, name: str, number: int | None = None
) -> StoredTemplate:
    """A version of an issuer's template, by default the newest; InputRefused if there is none."""
    row = _found(session, issuer, name)
    version = _version_row(session, row, number)
    if version is None:
        raise InputRefused(f"template {name!r} has no version {number}; `pbxbill templates show` lists them")
    return _stored(row, version)


def template_versions(session: Session, issuer: AccountRow, name: str) -> list[tuple[int, int, str]]:
    """Number, moment and error of every version, the newest first."""
    row = _found(session, issuer, name)
    query = (
        select(TemplateVersionRow.number, TemplateVersionRow.created_us, TemplateVersionRow.error)
        .where(TemplateVersionRow.template_id == row.id)
        .order_by(TemplateVersionRow.number.desc())
    )
    return [(number, created_us, error) for number, created_us, error in session.execute(query)]


def current_version_of(session: Session, issuer: AccountRow, name: str) -> int | None:
    """Which version of a template is in use."""
    return _found(session, issuer, name).current_version


def templates_of(session: Session, issuers: Iterable[AccountRow]) -> list[ListedTemplate]:
    """The templates of issuers."""
    codes = {issuer.id: issuer.code for issuer in issuers}
    rows = session.scalars(
        select(TemplateRow)
        .where(TemplateRow.issuer_id.in_(codes))
        .order_by(TemplateRow.issuer_id, TemplateRow.name)
    ).all()
    chosen: dict[int | None, int] = {
        template_id: int(count)
        for template_id, count in session.execute(
            select(BillingProfileRow.template_id, func.count()).group_by(BillingProfileRow.template_id)
        )
    }
    listed = []
    for row in rows:
        newest = _version_row(session, row, None)
        listed.append(
            ListedTemplate(
                codes[row.issuer_id],
                row.name,
                row.current_version,
                0 if newest is None else newest.number,
                "" if newest is None else newest.error,
                issuer_of(session, row.issuer_id).template_id == row.id,
                chosen.get(row.id, 0),
            )
        )
    return listed


def template_in_use(session: Session, issuer_id: int, template_id: int | None) -> StoredTemplate:
    """What documents are made with: the chosen template's last good version, or the built-in one."""
    row = None if template_id is None else session.get(TemplateRow, template_id)
    if row is None or row.issuer_id != issuer_id or row.current_version is None:
        return BUILT_IN_STORED
    version = _version_row(session, row, row.current_version)
    return BUILT_IN_STORED if version is None else _stored(row, version)


def use_template(session: Session, issuer: AccountRow, name: str) -> None:
    """Make all documents of an issuer with a template of his; empty: with the built-in one."""
    template_id = template_id_of(session, issuer.id, name)
    set_issuer(session, issuer.id, replace(issuer_of(session, issuer.id), template_id=template_id))


def without_own_markup(stored: StoredTemplate) -> StoredTemplate:
    """The brand alone: for a document that its html or css fails on, and that goes out all the same."""
    return stored._replace(template=replace(stored.template, html="", css=""))


def _stored(row: TemplateRow, version: TemplateVersionRow) -> StoredTemplate:
    template = template_from_json(version.definition)
    logo, error = None, version.error
    try:
        logo = None if version.logo is None else checked_logo(version.logo)
    except InputRefused as fault:  # what was taken once may be refused now: documents go out without it
        error = error or str(fault)
    return StoredTemplate(row.name, version.number, template, logo, error)


def _found(session: Session, issuer: AccountRow, name: str) -> TemplateRow:
    row = template_row(session, issuer, name)
    if row is None:
        raise InputRefused(
            f"{issuer.code} has no template {name[:64]!r}; `pbxbill templates list` shows them"
        )
    return row


def _locked(session: Session, issuer: AccountRow, name: str) -> TemplateRow:
    query = (
        select(TemplateRow)
        .where(TemplateRow.issuer_id == issuer.id, TemplateRow.name == name)
        .with_for_update()
    )
    row = session.scalar(query)
    if row is None:
        row = TemplateRow(issuer_id=issuer.id, name=name, current_version=None)
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # another process was first
            row = session.scalars(query).one()
    return row


def _version_row(session: Session, row: TemplateRow, number: int | None) -> TemplateVersionRow | None:
    query = select(TemplateVersionRow).where(TemplateVersionRow.template_id == row.id)
    if number is not None:
        query = query.where(TemplateVersionRow.number == number)
    return session.scalar(query.order_by(TemplateVersionRow.number.desc()).limit(1))
