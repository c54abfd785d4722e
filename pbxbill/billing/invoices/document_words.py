"""In which language an account is written to, and in which words: its issuer's template may have its own."""

from collections.abc import Mapping
from functools import lru_cache

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from pbxbill.billing.invoices.line_words import Words
from pbxbill.billing.render.formatting import Formatting
from pbxbill.billing.render.template import template_from_json
from pbxbill.billing.render.texts import texts_of
from pbxbill.money import Unit
from pbxbill.store.invoice_models import TemplateRow, TemplateVersionRow

_HOW = text(
    "SELECT COALESCE(NULLIF(b.language, ''), a.language), COALESCE(b.template_id, s.template_id) "
    "FROM accounts a LEFT JOIN billing_profiles b ON b.account_id = a.id "
    "LEFT JOIN issuers s ON s.account_id = :issuer_id WHERE a.id = :account_id"
)


def words_for(session: Session, issuer_id: int, account_id: int, unit: Unit) -> Words:
    """The words in which an issuer writes to an account."""
    values = {"issuer_id": issuer_id, "account_id": account_id}
    language, template_id = session.execute(_HOW, values).one()
    return words_in(session, language, unit, issuer_id, template_id)


def words_in(session: Session, language: str, unit: Unit, issuer_id: int, template_id: int | None) -> Words:
    """The words of a language as a template has them: its version in use, if it is the issuer's."""
    overrides: Mapping[str, Mapping[str, str]] = {}
    if template_id is not None:
        definition = session.scalar(
            select(TemplateVersionRow.definition)
            .join(TemplateRow, TemplateRow.id == TemplateVersionRow.template_id)
            .where(
                TemplateRow.id == template_id,
                TemplateRow.issuer_id == issuer_id,
                TemplateVersionRow.number == TemplateRow.current_version,
            )
        )
        overrides = {} if definition is None else _texts(definition)
    return Words(texts_of(language, overrides), _formatting(language, unit))


@lru_cache(maxsize=16)
def _texts(definition: str) -> Mapping[str, Mapping[str, str]]:
    return template_from_json(definition).texts


@lru_cache(maxsize=64)
def _formatting(language: str, unit: Unit) -> Formatting:
    return Formatting(language, unit)
