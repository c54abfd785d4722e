"""Penalty classes of whoever acts: what paying late costs, written in fields or as text."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import RadioField, SelectField

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning import penalties
from pbxbill.billing.dunning.dunning_catalogue import MAX_NAME_LENGTH, keep_penalty, penalty_classes
from pbxbill.billing.dunning.dunning_written import FIRST_PENALTY, penalty_to_toml
from pbxbill.billing.dunning.penalties import (
    MAX_GRACE_DAYS,
    Every,
    PenaltyTerms,
    Per,
    penalty_from_facts,
    penalty_from_json,
    penalty_from_toml,
)
from pbxbill.errors import TermRefused
from pbxbill.listing.dunning_terms import PENALTY_CLASSES
from pbxbill.listing.listing import N_
from pbxbill.money import Unit
from pbxbill.store.dunning_models import PenaltyClassRow
from pbxbill.store.units import units_by_code
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import (
    CountField,
    LineField,
    NumberField,
    PanelForm,
    UnitField,
    at_most,
    refusals,
    required,
)
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import TermsForm, issuer
from pbxbill.web.panel.dunning_accounts import dunning_tabs
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.terms_forms import facts_in, tabs_of_terms, terms_page, unit_choices

EVERY = (
    (Every.ONCE.value, lazy_gettext("once")),
    (Every.DAY.value, lazy_gettext("for each day that is over")),
    (Every.WEEK.value, lazy_gettext("for each week that is over")),
    (Every.MONTH.value, lazy_gettext("for each month that is over")),
    (Every.YEAR.value, lazy_gettext("for each year that is over")),
)
PER = (
    (Per.ITEM.value, lazy_gettext("each invoice by itself")),
    (Per.CUSTOMER.value, lazy_gettext("all that an account owes, once")),
)


class PenaltyForm(PanelForm):
    """A penalty class, field by field."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])
    unit = UnitField(lazy_gettext("Unit"))
    fixed = NumberField(lazy_gettext("Fixed amount"), description=lazy_gettext("Without tax. Empty: none."))
    percent = NumberField(
        lazy_gettext("Percent of what is overdue"), description=lazy_gettext("Empty: none.")
    )
    period = SelectField(lazy_gettext("Charged"), choices=EVERY)
    minimum = NumberField(
        lazy_gettext("At least"),
        description=lazy_gettext("What is less is raised to it. Empty: no such limit."),
    )
    cap = NumberField(
        lazy_gettext("At most"),
        description=lazy_gettext("Of one invoice in all, or of an account at once. Empty: no such limit."),
    )
    grace_days = CountField(
        lazy_gettext("Days of grace"),
        [required()],
        most=MAX_GRACE_DAYS,
        default=0,
        description=lazy_gettext("After the due day; they cost nothing."),
    )
    per = RadioField(lazy_gettext("Reckoned on"), choices=PER, default=Per.ITEM.value)
    product_class = LineField(
        lazy_gettext("Taxed as"),
        [required(), at_most(32)],
        default="fee",
        description=lazy_gettext("A tax class."),
    )
    edition = EditionField()


class PenaltyTextForm(TermsForm):
    """The same as text."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])
    edition = EditionField()


_KEYS = ("unit", "fixed", "percent", "period", "minimum", "cap", "grace_days", "per", "product_class")


def add_penalties(section: Blueprint, front: Front) -> None:
    """Add the routes."""

    def link(row: Mapping[str, Any]) -> str | None:
        may_change = front.actor.may(Permission.DUNNING_WRITE)
        return url_for("dunning.edit_penalty", id=row["id"]) if may_change else None

    add_list(
        section,
        front,
        ListPage(
            PENALTY_CLASSES,
            "/dunning/penalties",
            endpoint="penalties",
            link=link,
            template="panel/payments/tabbed.html",
            empty=(
                N_("Paying late costs nothing yet"),
                N_("A penalty class says what it costs; a dunning policy names it."),
            ),
            actions=((N_("New penalty class"), "dunning.new_penalty", Permission.DUNNING_WRITE),),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "penalties"},
        ),
    )

    @section.route("/dunning/penalties/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_penalty() -> str | Response:
        return _written(front, PenaltyForm(), None)

    @section.route("/dunning/penalties/new/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_penalty_text() -> str | Response:
        return _written(front, PenaltyTextForm(), None)

    @section.route("/dunning/penalties/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_penalty(id: int) -> str | Response:
        return _written(front, PenaltyForm(), id)

    @section.route("/dunning/penalties/<int:id>/edit/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_penalty_text(id: int) -> str | Response:
        return _written(front, PenaltyTextForm(), id)


def _penalty(session: Session, front: Front, id: int) -> PenaltyClassRow:
    return front.one(
        session,
        select(PenaltyClassRow).where(
            PenaltyClassRow.id == id, front.scope.issued(PenaltyClassRow.issuer_id)
        ),
    )


def _text(row: PenaltyClassRow, units: Mapping[str, Unit]) -> str:
    terms = penalty_from_json(row.definition)
    return penalty_to_toml(terms, units[terms.unit])


def _written(front: Front, form: PenaltyForm | PenaltyTextForm, id: int | None) -> str | Response:
    with front.reading() as session:
        units = units_by_code(session)
        row = None if id is None else _penalty(session, front, id)
    unit = next((x for x in sorted(units) if len(x) == 3), "EUR")
    text = FIRST_PENALTY.format(unit=unit) if row is None else _text(row, units)
    if isinstance(form, PenaltyForm):
        form.unit.choices = unit_choices(units)
    if row is not None:
        del form.name
    if request.method == "GET":
        if isinstance(form, PenaltyForm):
            for key, value in facts_in(text).items():
                form[key].data = value
        else:
            form.terms.data = text
        form.edition.data = edition_of(_facts(form, text))
    if form.validate_on_submit():
        name = (form.name.data or "") if row is None else row.name
        action = "penalty.make" if row is None else "penalty.change"
        with refusals(form) as refused, front.changing(action, name) as change:
            seller = issuer(change.session, front)
            if row is None and any(x.name == name for x in penalty_classes(change.session, seller)):
                raise TermRefused(gettext("There is a penalty class of this name already."), "name")
            if id is not None:
                check_edition(form, _facts(form, _text(_penalty(change.session, front, id), units)))
            keep_penalty(change.session, seller, name, _terms(form, units), change.now_us)
        if not refused:
            flash(
                gettext("The penalty class is written. Policies name it.")
                if row is None
                else gettext("What is charged from now on goes by it.")
            )
            return redirect(url_for(".penalties"), 303)
    return _form_page(form, row)


def _terms(form: PenaltyForm | PenaltyTextForm, units: Mapping[str, Unit]) -> PenaltyTerms:
    if isinstance(form, PenaltyTextForm):
        return penalty_from_toml((form.terms.data or "").replace("\r\n", "\n"), units)
    facts = {key: form[key].data for key in _KEYS}
    return penalty_from_facts({key: x for key, x in facts.items() if x not in (None, "")}, units)


def _facts(form: PenaltyForm | PenaltyTextForm, text: str) -> dict[str, str | None]:
    if isinstance(form, PenaltyTextForm):
        return {"terms": text}
    facts: dict[str, Any] = facts_in(text)
    return {key: str(facts.get(key, "")) for key in _KEYS}


def _form_page(form: PenaltyForm | PenaltyTextForm, row: PenaltyClassRow | None) -> str:
    as_text = isinstance(form, PenaltyTextForm)
    back = url_for(".penalties")
    if row is None:
        title, ways = gettext("New penalty class"), (url_for(".new_penalty"), url_for(".new_penalty_text"))
    else:
        title = gettext("Edit %(name)s", name=row.name)
        ways = (url_for(".edit_penalty", id=row.id), url_for(".edit_penalty_text", id=row.id))
    template = "panel/terms_text.html" if as_text else "panel/dunning/penalty_form.html"
    example = (penalties.__doc__ or "").partition("\n\n")[2]
    tabs = tabs_of_terms(*ways, as_text=as_text)
    return terms_page(
        template, form, title, back, [(gettext("Penalty classes"), back)], example=example, **tabs
    )
