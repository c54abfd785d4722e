"""Dunning policies of whoever acts: written, in fields or as text, paused, released."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning import dunning_text
from pbxbill.billing.dunning.dunning_catalogue import (
    Policy,
    all_policies,
    keep_policy,
    make_standard,
    pause,
    penalty_classes,
    release,
    set_groups,
)
from pbxbill.billing.dunning.dunning_policy import DunningPolicy
from pbxbill.billing.dunning.dunning_text import policy_from_facts, policy_from_toml
from pbxbill.billing.dunning.dunning_written import FIRST_POLICY, policy_to_toml
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.listing.dunning_terms import DUNNING_POLICIES
from pbxbill.listing.listing import N_
from pbxbill.money import Unit
from pbxbill.store.dunning_models import DunningPolicyRow, DunningPolicyVersionRow
from pbxbill.store.units import units_by_code
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import done_at_once, form_page, issuer
from pbxbill.web.panel.dunning_accounts import dunning_tabs
from pbxbill.web.panel.dunning_policy_forms import (
    PolicyForm,
    PolicyTextForm,
    facts_of,
    fill,
    give_choices,
    shown,
    steps_of,
    weekday_name,
)
from pbxbill.web.panel.lists import ListPage, add_list
from pbxbill.web.panel.penalties import add_penalties
from pbxbill.web.panel.terms_forms import facts_in, tabs_of_terms, terms_page, wants_preview
from pbxbill.web.rows import rows_changed

MOST_VERSIONS = 20


def add_policies(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_policy_pages(section, front)
    _add_policy_forms(section, front)
    add_penalties(section, front)


def _policy(session: Session, front: Front, id: int) -> Policy:
    own = select(DunningPolicyRow.id).where(
        DunningPolicyRow.id == id, front.scope.issued(DunningPolicyRow.issuer_id)
    )
    front.one(session, own)
    return next(x for x in all_policies(session, issuer(session, front)) if x.id == id)


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Dunning policies"), url_for("dunning.policies"))]


def _add_policy_pages(section: Blueprint, front: Front) -> None:
    add_list(
        section,
        front,
        ListPage(
            DUNNING_POLICIES,
            "/dunning/policies",
            endpoint="policies",
            link="dunning.policy",
            template="panel/payments/tabbed.html",
            empty=(
                N_("There is no dunning policy yet"),
                N_("Without one nothing happens about invoices that are not paid."),
            ),
            actions=((N_("New policy"), "dunning.new_policy", Permission.DUNNING_WRITE),),
            more=lambda: {"tabs": dunning_tabs(front), "tab": "policies"},
        ),
    )

    @section.get("/dunning/policies/<int:id>")
    @needs(Permission.DUNNING_READ)
    def policy(id: int) -> str:
        with front.reading() as session:
            found = _policy(session, front, id)
            versions = session.scalars(
                select(DunningPolicyVersionRow)
                .where(DunningPolicyVersionRow.policy_id == id)
                .order_by(DunningPolicyVersionRow.number.desc())
                .limit(MOST_VERSIONS)
            )
            row = session.get_one(DunningPolicyRow, id)
            return render_template(
                "panel/dunning/policy.html",
                policy=found,
                terms=found.terms,
                weekdays=[weekday_name(x) for x in found.terms.quiet_weekdays],
                versions=list(versions),
                released_to_us=row.released_to_us,
                crumbs=_crumbs(),
            )

    @section.post("/dunning/policies/<int:id>/pause")
    @needs(Permission.DUNNING_WRITE)
    def pause_policy(id: int) -> Response:
        return done_at_once(
            front,
            "dunning.pause",
            str(id),
            lambda change: pause(change.session, _policy(change.session, front, id).id),
            gettext("The policy is paused. What it has done stays."),
            url_for(".policy", id=id),
        )

    @section.route("/dunning/policies/<int:id>/release", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def release_policy(id: int) -> str | Response:
        form = PanelForm()
        with front.reading() as session:
            found = _policy(session, front, id)
        back = url_for(".policy", id=id)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("dunning.release", found.name) as change:
                if _policy(change.session, front, id).state == "active":
                    raise InputRefused(gettext("This policy is active already."))
                release(change.session, id, change.now_us)
            if not refused:
                flash(gettext("The policy goes on."))
                return redirect(back, 303)
        told = (
            gettext(
                "Its brake stopped it, since too many accounts would lose service at once. "
                "Look at what would be done first. Released, it does all of that, and the brake does not "
                "hold for a day."
            )
            if found.state == "stopped"
            else gettext("What is due by it is done with the next run.")
        )
        return form_page(
            form,
            gettext("Let %(name)s go on", name=found.name),
            gettext("Let it go on"),
            back,
            [*_crumbs(), (found.name, back)],
            warning=told,
        )


def _groups(text: str | None) -> tuple[str, ...]:
    return tuple(x.strip() for x in (text or "").split(",") if x.strip())


def _add_policy_forms(section: Blueprint, front: Front) -> None:
    @section.route("/dunning/policies/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_policy() -> str | Response:
        return _written(front, PolicyForm(), None)

    @section.route("/dunning/policies/new/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_policy_text() -> str | Response:
        return _written(front, PolicyTextForm(), None)

    @section.route("/dunning/policies/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_policy(id: int) -> str | Response:
        return _written(front, PolicyForm(), id)

    @section.route("/dunning/policies/<int:id>/edit/text", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_policy_text(id: int) -> str | Response:
        return _written(front, PolicyTextForm(), id)


def _written(front: Front, form: PolicyForm | PolicyTextForm, id: int | None) -> str | Response:
    with front.reading() as session:
        found = None if id is None else _policy(session, front, id)
        units = units_by_code(session)
        classes = [x.name for x in penalty_classes(session, issuer(session, front))]
    if isinstance(form, PolicyForm):
        give_choices(form, units, classes)
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
                flash(gettext("The policy is saved as its newest version. It counts from the next run on."))
            return redirect(url_for(".policy", id=made), 303)
    return _form_page(form, found, steps)


def _terms(form: PolicyForm | PolicyTextForm, units: Mapping[str, Unit]) -> DunningPolicy:
    if isinstance(form, PolicyForm):
        return policy_from_facts(facts_of(form), units)
    return policy_from_toml((form.terms.data or "").replace("\r\n", "\n"), units)


def _kept(front: Front, form: PolicyForm | PolicyTextForm, found: Policy | None, terms: DunningPolicy) -> int:
    name = (form.name.data or "") if found is None else found.name
    with front.changing("dunning.policy", name) as change:
        session, seller = change.session, issuer(change.session, front)
        if found is None and any(x.name == name for x in all_policies(session, seller)):
            raise TermRefused(gettext("There is a policy of this name already."), "name")
        if found is not None:
            now = _policy(session, front, found.id)
            check_edition(form, _facts(form, now, units_by_code(session)))
        made = keep_policy(session, seller, name, terms, change.now_us)
        if form.standard.data:
            make_standard(session, made.id, change.now_us)
        with refused_at("groups"):
            set_groups(session, made.id, _groups(form.groups.data), change.now_us)
    return made.id


def _facts(
    form: PolicyForm | PolicyTextForm, found: Policy, units: Mapping[str, Unit]
) -> dict[str, str | None]:
    text = policy_to_toml(found.terms, units)
    terms = shown(facts_in(text), found.version) if isinstance(form, PolicyForm) else {"terms": text}
    return {**terms, "standard": "yes" if found.standard else "", "groups": ", ".join(found.groups)}


def _fill(form: PolicyForm | PolicyTextForm, found: Policy | None, units: Mapping[str, Unit]) -> None:
    text = FIRST_POLICY if found is None else policy_to_toml(found.terms, units)
    if isinstance(form, PolicyForm):
        fill(form, facts_in(text))
    else:
        form.terms.data = text
    if found is not None:
        form.standard.data, form.groups.data = found.standard, ", ".join(found.groups)
        form.edition.data = edition_of(_facts(form, found, units))


def _form_page(form: PolicyForm | PolicyTextForm, found: Policy | None, steps: list[Any] | None) -> str:
    as_text = isinstance(form, PolicyTextForm)
    if found is None:
        title, back, crumbs = gettext("New dunning policy"), url_for(".policies"), _crumbs()
        ways = url_for(".new_policy"), url_for(".new_policy_text")
    else:
        title, back = gettext("Edit %(name)s", name=found.name), url_for(".policy", id=found.id)
        crumbs = [*_crumbs(), (found.name, back)]
        ways = url_for(".edit_policy", id=found.id), url_for(".edit_policy_text", id=found.id)
    template = "panel/terms_text.html" if as_text else "panel/dunning/policy_form.html"
    example = (dunning_text.__doc__ or "").partition("\n\n")[2]
    tabs = tabs_of_terms(*ways, as_text=as_text)
    return terms_page(template, form, title, back, crumbs, example=example, steps=steps, **tabs)
