"""Dunning policies and penalty classes of whoever acts: written, paused, released."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext, lazy_gettext
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response
from wtforms import BooleanField
from wtforms.validators import Optional

from pbxbill.access.permissions import Permission
from pbxbill.billing.dunning import dunning_text, penalties
from pbxbill.billing.dunning.dunning_catalogue import (
    MAX_NAME_LENGTH,
    Policy,
    all_policies,
    import_penalty,
    import_policy,
    make_standard,
    pause,
    penalty_classes,
    release,
    set_groups,
)
from pbxbill.billing.dunning.dunning_text import WEEKDAYS
from pbxbill.billing.dunning.dunning_written import (
    FIRST_PENALTY,
    FIRST_POLICY,
    penalty_to_toml,
    policy_to_toml,
)
from pbxbill.errors import InputRefused
from pbxbill.store.dunning_models import DunningPolicyRow, DunningPolicyVersionRow, PenaltyClassRow
from pbxbill.store.units import units_by_code
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import LineField, PanelForm, at_most, refusals, required
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.asking import TermsForm, done_at_once, form_page, issuer
from pbxbill.web.panel.dunning_accounts import dunning_tabs

MOST_VERSIONS = 20


class PolicyForm(TermsForm):
    """A policy as text."""

    edition = EditionField()
    standard = BooleanField(
        lazy_gettext("The standard one"),
        description=lazy_gettext("Of all accounts for whom nothing else is said."),
    )
    groups = LineField(
        lazy_gettext("Of the groups"),
        [Optional(), at_most(1_000)],
        description=lazy_gettext("Of billing profiles, with commas between."),
    )


class NewPolicyForm(PolicyForm):
    """A new one."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])


class PenaltyForm(TermsForm):
    """A penalty class as text."""

    edition = EditionField()


class NewPenaltyForm(PenaltyForm):
    """A new one."""

    name = LineField(lazy_gettext("Name"), [required(), at_most(MAX_NAME_LENGTH)])


def add_policies(section: Blueprint, front: Front) -> None:
    """Add the routes."""
    _add_policy_pages(section, front)
    _add_policy_forms(section, front)
    _add_penalties(section, front)


def _policy(session: Session, front: Front, id: int) -> Policy:
    own = select(DunningPolicyRow.id).where(
        DunningPolicyRow.id == id, front.scope.issued(DunningPolicyRow.issuer_id)
    )
    front.one(session, own)
    return next(x for x in all_policies(session, issuer(session, front)) if x.id == id)


def _crumbs() -> list[tuple[str, str]]:
    return [(gettext("Dunning policies"), url_for("dunning.policies"))]


def _add_policy_pages(section: Blueprint, front: Front) -> None:
    @section.get("/dunning/policies")
    @needs(Permission.DUNNING_READ)
    def policies() -> str:
        with front.reading() as session:
            found = all_policies(session, issuer(session, front))
        return render_template("panel/dunning/policies.html", policies=found, tabs=dunning_tabs(front))

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
                weekdays=[gettext(WEEKDAYS[x]) for x in found.terms.quiet_weekdays],
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


def _facts(session: Session, found: Policy) -> dict[str, str | None]:
    return {
        "terms": policy_to_toml(found.terms, units_by_code(session)),
        "standard": "yes" if found.standard else "",
        "groups": ", ".join(found.groups),
    }


def _groups(text: str | None) -> tuple[str, ...]:
    return tuple(x.strip() for x in (text or "").split(",") if x.strip())


def _add_policy_forms(section: Blueprint, front: Front) -> None:
    example = (dunning_text.__doc__ or "").partition("\n\n")[2]

    @section.route("/dunning/policies/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_policy() -> str | Response:
        form = NewPolicyForm()
        if request.method == "GET":
            form.terms.data = FIRST_POLICY
        if form.validate_on_submit():
            made = 0
            with refusals(form) as refused, front.changing("dunning.policy", form.name.data or "") as change:
                seller = issuer(change.session, front)
                if any(x.name == form.name.data for x in all_policies(change.session, seller)):
                    raise InputRefused(gettext("There is a policy of this name already."))
                made = _written(change.session, front, form.name.data or "", form, change.now_us)
            if not refused:
                return redirect(url_for(".policy", id=made), 303)
        return form_page(
            form,
            gettext("New dunning policy"),
            gettext("Save"),
            url_for(".policies"),
            _crumbs(),
            example=example,
            wide=True,
        )

    @section.route("/dunning/policies/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_policy(id: int) -> str | Response:
        form = PolicyForm()
        with front.reading() as session:
            found = _policy(session, front, id)
            facts = _facts(session, found)
        if request.method == "GET":
            form.terms.data, form.groups.data, form.standard.data = (
                facts["terms"],
                facts["groups"],
                found.standard,
            )
            form.edition.data = edition_of(facts)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("dunning.policy", found.name) as change:
                now = _policy(change.session, front, id)
                check_edition(form, _facts(change.session, now))
                _written(change.session, front, now.name, form, change.now_us)
            if not refused:
                flash(gettext("The policy is saved as its newest version. It counts from the next run on."))
                return redirect(url_for(".policy", id=id), 303)
        return form_page(
            form,
            gettext("Edit %(name)s", name=found.name),
            gettext("Save"),
            url_for(".policy", id=id),
            [*_crumbs(), (found.name, url_for(".policy", id=id))],
            example=example,
            wide=True,
        )


def _written(session: Session, front: Front, name: str, form: Any, now_us: int) -> int:
    text = (form.terms.data or "").replace("\r\n", "\n")
    made = import_policy(session, issuer(session, front), name, text, now_us)
    if form.standard.data:
        make_standard(session, made.id, now_us)
    set_groups(session, made.id, _groups(form.groups.data), now_us)
    return made.id


def _penalty(session: Session, front: Front, id: int) -> PenaltyClassRow:
    return front.one(
        session,
        select(PenaltyClassRow).where(
            PenaltyClassRow.id == id, front.scope.issued(PenaltyClassRow.issuer_id)
        ),
    )


def _penalty_text(session: Session, row: PenaltyClassRow) -> str:
    terms = penalties.penalty_from_json(row.definition)
    return penalty_to_toml(terms, units_by_code(session)[terms.unit])


def _add_penalties(section: Blueprint, front: Front) -> None:
    example = (penalties.__doc__ or "").partition("\n\n")[2]

    @section.get("/dunning/penalties", endpoint="penalties")
    @needs(Permission.DUNNING_READ)
    def listed() -> str:
        with front.reading() as session:
            found = penalty_classes(session, issuer(session, front))
        return render_template("panel/dunning/penalties.html", classes=found, tabs=dunning_tabs(front))

    @section.route("/dunning/penalties/new", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def new_penalty() -> str | Response:
        form = NewPenaltyForm()
        if request.method == "GET":
            with front.reading() as session:
                unit = next((x for x in units_by_code(session) if len(x) == 3), "EUR")
            form.terms.data = FIRST_PENALTY.format(unit=unit)
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("penalty.make", form.name.data or "") as change:
                seller = issuer(change.session, front)
                if any(x.name == form.name.data for x in penalty_classes(change.session, seller)):
                    raise InputRefused(gettext("There is a penalty class of this name already."))
                import_penalty(
                    change.session, seller, form.name.data or "", form.terms.data or "", change.now_us
                )
            if not refused:
                flash(gettext("The penalty class is written. Policies name it."))
                return redirect(url_for(".penalties"), 303)
        return form_page(
            form,
            gettext("New penalty class"),
            gettext("Save"),
            url_for(".penalties"),
            [(gettext("Penalty classes"), url_for(".penalties"))],
            example=example,
        )

    @section.route("/dunning/penalties/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.DUNNING_WRITE)
    def edit_penalty(id: int) -> str | Response:
        form = PenaltyForm()
        with front.reading() as session:
            row = _penalty(session, front, id)
            text = _penalty_text(session, row)
        if request.method == "GET":
            form.terms.data = text
            form.edition.data = edition_of({"terms": text})
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("penalty.change", row.name) as change:
                now = _penalty(change.session, front, id)
                check_edition(form, {"terms": _penalty_text(change.session, now)})
                seller = issuer(change.session, front)
                import_penalty(change.session, seller, now.name, form.terms.data or "", change.now_us)
            if not refused:
                flash(gettext("What is charged from now on goes by it."))
                return redirect(url_for(".penalties"), 303)
        return form_page(
            form,
            gettext("Edit %(name)s", name=row.name),
            gettext("Save"),
            url_for(".penalties"),
            [(gettext("Penalty classes"), url_for(".penalties"))],
            example=example,
        )
