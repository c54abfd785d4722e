"""Dialling rules: how accounts dial, brought to E.164; the operator's, for all."""

from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response

from pbxbill.access.permissions import Permission
from pbxbill.errors import InputRefused, TermRefused
from pbxbill.listing.destinations import DIALLING_RULES
from pbxbill.listing.listing import N_
from pbxbill.rating.destination import DiallingRule, is_emergency, rule_from_facts, rule_from_json, to_e164
from pbxbill.store.catalogue_models import DiallingRuleRow
from pbxbill.store.destinations import load_dialling_rules, remove_dialling_rule, set_dialling_rule
from pbxbill.web.editions import check_edition, edition_of
from pbxbill.web.fields import PanelForm, refusals
from pbxbill.web.front import Front, needs
from pbxbill.web.panel.destination_forms import RuleForm, TryForm, facts_of, fill_rule, rule_shown
from pbxbill.web.panel.destinations import operator_only
from pbxbill.web.panel.lists import ListPage, add_list


def dialling_rules(front: Front) -> Blueprint:
    """The section."""
    section = Blueprint("dialling_rules", __name__)
    add_list(
        section,
        front,
        ListPage(
            DIALLING_RULES,
            "/dialling-rules",
            link="dialling_rules.show",
            template="panel/destinations/rules.html",
            empty=(
                N_("There is no dialling rule yet"),
                N_("Without one, accounts dial with the country's code, or with 00 or + before it."),
            ),
        ),
    )
    _add_page(section, front)
    _add_forms(section, front)
    return section


def _add_page(section: Blueprint, front: Front) -> None:
    @section.get("/dialling-rules/<int:id>")
    @needs(Permission.CATALOGUE_READ)
    def show(id: int) -> str:
        form = TryForm(request.args)
        with front.reading() as session:
            rule = _rule(_row(session, id))
        tried: dict[str, Any] | None = None
        if "number" in request.args and form.validate():
            with refusals(form, "number"):
                number = form.number.data or ""
                called, emergency = to_e164(number, rule), is_emergency(number, rule)
                if called is None and not emergency:
                    raise InputRefused(gettext("that is no number that can be called"))
                tried = {"called": called, "emergency": emergency}
        return render_template("panel/destinations/rule.html", id=id, rule=rule, form=form, tried=tried)

    @section.route("/dialling-rules/<int:id>/remove", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def remove(id: int) -> str | Response:
        operator_only(front)
        form = PanelForm()
        with front.reading() as session:
            rule = _rule(_row(session, id))
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("dialling-rule.remove", rule.name) as change:
                remove_dialling_rule(change.session, rule.name)
            if not refused:
                flash(gettext("The dialling rule is removed."))
                return redirect(url_for(".listed"), 303)
        return render_template("panel/destinations/rule_remove.html", id=id, rule=rule, form=form)


def _add_forms(section: Blueprint, front: Front) -> None:
    @section.route("/dialling-rules/new", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def new() -> str | Response:
        operator_only(front)
        form = RuleForm()
        if form.validate_on_submit():
            name = form.name.data or ""
            with refusals(form) as refused, front.changing("dialling-rule.make", name) as change:
                if any(x.name == name for x in load_dialling_rules(change.session).values()):
                    raise TermRefused(gettext("there is a dialling rule of this name already"), "name")
                set_dialling_rule(change.session, rule_from_facts(name, facts_of(form)))
            if not refused:
                flash(gettext("The dialling rule is made. Accounts get it on their own pages."))
                return redirect(url_for(".listed"), 303)
        return render_template("panel/destinations/rule_form.html", form=form, rule=None)

    @section.route("/dialling-rules/<int:id>/edit", methods=["GET", "POST"])
    @needs(Permission.CATALOGUE_WRITE)
    def edit(id: int) -> str | Response:
        operator_only(front)
        form = RuleForm()
        del form.name
        with front.reading() as session:
            rule = _rule(_row(session, id))
        if request.method == "GET":
            fill_rule(form, rule)
            form.edition.data = edition_of(rule_shown(rule))
        if form.validate_on_submit():
            with refusals(form) as refused, front.changing("dialling-rule.change", rule.name) as change:
                check_edition(form, rule_shown(_rule(_row(change.session, id))))
                set_dialling_rule(change.session, rule_from_facts(rule.name, facts_of(form)))
            if not refused:
                flash(gettext("Accounts that use it dial by it from now on."))
                return redirect(url_for(".show", id=id), 303)
        return render_template("panel/destinations/rule_form.html", form=form, rule=rule, id=id)


def _row(session: Session, id: int) -> DiallingRuleRow:
    row = session.get(DiallingRuleRow, id)
    if row is None:
        abort(404)
    return row


def _rule(row: DiallingRuleRow) -> DiallingRule:
    return rule_from_json(row.name, row.definition)
