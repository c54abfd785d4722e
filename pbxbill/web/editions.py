"""Two people who edit the same thing: the second is told what the first changed.

A form for editing has `edition = EditionField()`. facts are what it shows of the thing, as text, by the names
of its fields:

    facts = {"name": account.name, "tariff": tariff_name}
    if request.method == "GET":
        form.edition.data = edition_of(facts)
    if form.validate_on_submit():
        with refusals(form) as refused, front.changing(...) as change:
            check_edition(form, facts_of(the row as it is in this transaction))
            ...

changing() lets those who save such forms in one after the other (turns.py), so that each finds what the one
before wrote. check_edition() undoes the transaction by Stale, which refusals() understands: the form is shown
again with what is different, and saving it once more holds.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from flask import has_request_context, request
from wtforms import HiddenField, SelectField, SelectMultipleField

from pbxbill.errors import InputRefused

MAX_EDITION_LENGTH = 20_000
MAX_SHOWN_LENGTH = 80
MAX_KEPT_LENGTH = 400
"""Of longer texts the form carries how they begin, and a fingerprint."""


class Difference(NamedTuple):
    """A field that another changed: its label, and both values as text."""

    name: str
    before: str
    now: str


class Stale(InputRefused):
    """Another changed the thing meanwhile."""


class EditionField(HiddenField):
    """What the form showed when it was made."""


def says_edition() -> bool:
    """Whether the request is a form that says what it showed."""
    return has_request_context() and "edition" in request.form


def as_text(values: Mapping[str, Any]) -> dict[str, str]:
    """Values of fields as facts."""
    return {key: "" if value is None else str(value) for key, value in values.items()}


def edition_of(facts: Mapping[str, str | None]) -> str:
    """What a form shows, to be compared when it comes back."""
    return json.dumps({key: _kept(value) for key, value in facts.items()}, ensure_ascii=False)


def changes_since(edition: str | None, facts: Mapping[str, str | None]) -> dict[str, tuple[str, str]]:
    """What is not as the form showed it: before and now. An edition that cannot be read shows nothing."""
    before = _read(edition)
    return {
        key: (before[key], _kept(value))
        for key, value in facts.items()
        if key in before and before[key] != _kept(value)
    }


def check_edition(form: Any, facts: Mapping[str, str | None]) -> None:
    """Stale if another changed the thing meanwhile; the form then says so and carries the new edition."""
    changed = changes_since(form.edition.data, facts)
    form.changed_meanwhile = tuple(
        Difference(
            str(form[key].label.text) if key in form else key,
            _shown(form, key, before),
            _shown(form, key, now),
        )
        for key, (before, now) in changed.items()
    )
    form.edition.data = edition_of(facts)
    if changed:
        raise Stale(", ".join(changed))


def _kept(value: str | None) -> str:
    text = value or ""
    if len(text) <= MAX_KEPT_LENGTH:
        return text
    return f"{text[:MAX_SHOWN_LENGTH]}… {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _shown(form: Any, key: str, value: str) -> str:
    """A value as people see it: choices by their words."""
    is_choice = key in form and isinstance(form[key], SelectField)
    if is_choice and not isinstance(form[key], SelectMultipleField):
        for known, label, *_more in form[key].iter_choices():
            if str(known) == value:
                return str(label)
    return value[:MAX_SHOWN_LENGTH] or "–"


def _read(edition: str | None) -> dict[str, str]:
    if not edition or len(edition) > MAX_EDITION_LENGTH:
        return {}
    try:
        found = json.loads(edition)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}
