"""Life-cycle policies of whoever acts: written, in fields or as text."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.life_cycle import life_cycle_text
from pbxbill.billing.life_cycle.life_cycle_catalogue import (
    KnownPolicy,
    keep_policy,
    make_standard,
    policies_of,
)
from pbxbill.billing.life_cycle.life_cycle_policy import LifeCyclePolicy
from pbxbill.billing.life_cycle.life_cycle_text import policy_from_facts, policy_from_toml
from pbxbill.billing.life_cycle.life_cycle_written import FIRST_POLICY, policy_to_toml
from pbxbill.errors import TermRefused
from pbxbill.money import Unit
from pbxbill.store.dunning_models import LifeCyclePolicyRow
from pbxbill.store.units import units_by_code
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import issuer
from pbxbill.web.panel.life_cycle_forms import (
    PolicyForm,
    PolicyTextForm,
    facts_of,
    fill,
    give_choices,
    shown,
    steps_of,
)
from pbxbill.web.panel.terms_forms import facts_in, tabs_of_terms, terms_page, wants_preview
from pbxbill.web.rows import rows_changed


def policy_of_scope(session: Session, front: Front, id: int) -> KnownPolicy:
    """A policy of whoever acts; 404 for any other."""
    own = select(LifeCyclePolicyRow.id).where(
        LifeCyclePolicyRow.id == id, front.scope.issued(LifeCyclePolicyRow.issuer_id)
    )
    front.one(session, own)
    return next(x for x in policies_of(session, front.scope.account_id) if x.id == id)


def add_policy_forms(section: Blueprint, front: Front) -> None:
    """Add the routes."""

    @section.route("/life-cycle/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new() -> str | Response:
        return _written(front, PolicyForm(), None)

    @section.route("/life-cycle/new/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_text() -> str | Response:
        return _written(front, PolicyTextForm(), None)

    @section.route("/life-cycle/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit(id: int) -> str | Response:
        return _written(front, PolicyForm(), id)

    @section.route("/life-cycle/<int:id>/edit/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_text(id: int) -> str | Response:
        return _written(front, PolicyTextForm(), id)


def _written(front: Front, form: PolicyForm | PolicyTextForm, id: int | None) -> str | Response:
    with front.reading() as session:
        found = None if id is None else policy_of_scope(session, front, id)
        units = units_by_code(session)
    if isinstance(form, PolicyForm):
        give_choices(form, units)
    if found is not None:
        del form.name
    if request.method == "GET":
        _fill(form, found, units)
    steps = None
    if rows_changed(form):
        pass  # the form comes back with them
    elif wants_preview() and form.validate():
        with refusals(form):
            steps = steps_of(_terms(form, units))
    elif not wants_preview() and form.validate_on_submit():
        with refusals(form) as refused:
            made = _kept(front, form, found, _terms(form, units))
        if not refused:
            if found is not None:
                flash(gettext("The policy is saved as its newest version. It counts at once."))
            return redirect(url_for(".policy", id=made), 303)
    return _form_page(form, found, steps)


def _terms(form: PolicyForm | PolicyTextForm, units: Mapping[str, Unit]) -> LifeCyclePolicy:
    if isinstance(form, PolicyForm):
        return policy_from_facts(facts_of(form), units)
    return policy_from_toml((form.terms.data or "").replace("\r\n", "\n"), units)


def _kept(
    front: Front, form: PolicyForm | PolicyTextForm, found: KnownPolicy | None, terms: LifeCyclePolicy
) -> int:
    name, standard = (form.name.data or "") if found is None else found.name, bool(form.standard.data)
    with front.changing("life-cycle.policy", name) as change:
        session, seller = change.session, issuer(change.session, front)
        if found is None:
            if any(x.name == name for x in policies_of(session, seller.id)):
                raise TermRefused(gettext("There is a policy of this name already."), "name")
            return keep_policy(session, seller, name, terms, change.now_us, standard=standard).id
        now = policy_of_scope(session, front, found.id)
        check_edition(form, _facts(form, now, units_by_code(session)))
        keep_policy(session, seller, name, terms, change.now_us)
        if standard != now.standard:
            make_standard(session, seller, found.id if standard else None)
    return found.id


def _facts(
    form: PolicyForm | PolicyTextForm, found: KnownPolicy, units: Mapping[str, Unit]
) -> dict[str, str | None]:
    text = policy_to_toml(found.terms, units)
    terms = shown(facts_in(text), found.version) if isinstance(form, PolicyForm) else {"terms": text}
    return {**terms, "standard": "yes" if found.standard else ""}


def _fill(form: PolicyForm | PolicyTextForm, found: KnownPolicy | None, units: Mapping[str, Unit]) -> None:
    text = FIRST_POLICY if found is None else policy_to_toml(found.terms, units)
    if isinstance(form, PolicyTextForm):
        form.terms.data = text
    else:
        # What is left out of the one to begin with is as the policy has it.
        fill(form, facts_in(policy_to_toml(policy_from_toml(text, units), units)))
    if found is not None:
        form.standard.data = found.standard
        form.edition.data = edition_of(_facts(form, found, units))


def _form_page(form: PolicyForm | PolicyTextForm, found: KnownPolicy | None, steps: list[Any] | None) -> str:
    as_text = isinstance(form, PolicyTextForm)
    crumbs = [(gettext("Life-cycle"), url_for(".listed"))]
    if found is None:
        title, back = gettext("New life-cycle policy"), url_for(".listed")
        ways = url_for(".new"), url_for(".new_text")
    else:
        title, back = gettext("Edit %(name)s", name=found.name), url_for(".policy", id=found.id)
        crumbs.append((found.name, back))
        ways = url_for(".edit", id=found.id), url_for(".edit_text", id=found.id)
    template = "panel/terms_text.html" if as_text else "panel/life_cycle/policy_form.html"
    example = (life_cycle_text.__doc__ or "").partition("\n\n")[2]
    tabs = tabs_of_terms(*ways, as_text=as_text)
    return terms_page(template, form, title, back, crumbs, example=example, steps=steps, **tabs)
