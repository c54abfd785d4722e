"""Users as pages: let somebody in, give him another role, a new link, or let him in no more.

The panel has them for the account of whoever asks and those below it, the portal for one account alone.
"""

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from sqlalchemy.orm import Session
from werkzeug.wrappers import Response as Redirect
from wtforms import BooleanField, SelectField

from pbxbill.access.api_keys import keys_of_user, revoke
from pbxbill.access.one_time_links import Purpose, make_link
from pbxbill.access.permissions import ROLES_OF_KIND, Permission, Role
from pbxbill.access.users import (
    NewUser,
    UserFacts,
    add_user,
    change_facts,
    disable,
    enable,
    facts_of,
    may_manage,
    reset_factors,
    set_role,
)
from pbxbill.billing.identifiers import checked_email
from pbxbill.billing.parties import zone_of_account
from pbxbill.errors import InputRefused
from pbxbill.store.access_models import UserRow
from pbxbill.store.accounts import account_by_code
from pbxbill.store.models import AccountRow
from pbxbill.web.editions import EditionField, check_edition, edition_of
from pbxbill.web.fields import (
    LanguageField,
    LineField,
    PanelForm,
    ZoneField,
    at_most,
    checked,
    refusals,
    required,
)
from pbxbill.web.front import Change, Front, grave, grave_to_change, needs
from pbxbill.web.languages import LANGUAGES
from pbxbill.web.own.links import link_url, mail_link, mail_moved
from pbxbill.web.words import word_of


class UserForm(PanelForm):
    """Somebody to be let in."""

    login = LineField(
        lazy_gettext("Log-in"),
        [required(), at_most()],
        description=lazy_gettext("Usually the e-mail address."),
        render_kw={"autocomplete": "off", "autocapitalize": "none"},
    )
    name = LineField(lazy_gettext("Name"), [required(), at_most()])
    email = LineField(
        lazy_gettext("E-mail"),
        [at_most(), checked(checked_email)],
        description=lazy_gettext("The link goes there as well; you see it in any case."),
    )
    role = SelectField(lazy_gettext("Role"))
    language = LanguageField(lazy_gettext("Language"))
    zone = ZoneField(lazy_gettext("Time zone"), default="UTC")


class RoleForm(PanelForm):
    """Another role."""

    role = SelectField(lazy_gettext("Role"))
    edition = EditionField()


class EditForm(PanelForm):
    """Who somebody is."""

    name = LineField(lazy_gettext("Name"), [required(), at_most()])
    email = LineField(
        lazy_gettext("E-mail"),
        [at_most(), checked(checked_email)],
        description=lazy_gettext(
            "Links for another password go there. The address before is told that there is another."
        ),
    )
    language = LanguageField(lazy_gettext("Language"))
    zone = ZoneField(lazy_gettext("Time zone"))
    edition = EditionField()


class DoForm(PanelForm):
    """Nothing but the decision, and what goes with it."""

    revoke_keys = BooleanField(
        lazy_gettext("Revoke the API keys of this user as well, and those that they made")
    )


@dataclass(frozen=True, slots=True)
class UserPages:
    """Who sees them, who changes something, and where they stand."""

    name: str
    """Of the blueprint."""
    read: Permission
    write: Permission


def add_user_pages(made: Blueprint, front: Front, pages: UserPages) -> None:
    """Give a section the pages of users; its list is its own."""

    @made.route("/users/new", methods=["GET", "POST"], endpoint="new")
    @needs(pages.write)
    @grave
    def new() -> Redirect | str:
        account = _account(front, request.args.get("account", ""))
        form = UserForm()
        form.role.choices = _roles(front, account)
        if request.method == "GET":
            with front.reading() as session:
                form.zone.data = zone_of_account(session, session.get_one(AccountRow, account.id))
        if form.validate_on_submit():
            login, url = str(form.login.data), ""
            with (
                refusals(form) as refused,
                front.changing("user.add", login, account_id=account.id) as change,
            ):
                user = add_user(change.session, account, _new(front, account, form), change.now_us)
                url, mailed = _link(change.session, front, user, Purpose.INVITATION, change.now_us)
            if not refused:
                return render_template(
                    "panel/users/link.html", pages=pages, user=user, url=url, mailed=mailed
                )
        return render_template("panel/users/new.html", form=form, pages=pages, account=account)

    @made.route("/users/<int:user_id>", methods=["GET", "POST"], endpoint="show")
    @needs(pages.read)
    @grave_to_change
    def show(user_id: int) -> Redirect | str:
        with front.reading() as session:
            user, account = _user(session, front, user_id)
            keys = keys_of_user(session, user, front.clock.now_us())
        managed = may_manage(front.actor, account, Role(user.role))
        form = RoleForm(data={"role": user.role})
        form.role.choices = _roles(front, account)
        if request.method == "GET":
            form.edition.data = edition_of({"role": user.role})
        if form.is_submitted() and not managed:
            abort(403)
        if form.validate_on_submit():
            with refusals(form) as refused, _changing(front, "user.role", user) as change:
                role = Role(str(form.role.data))
                _refuse_own(front, user)
                row = change.session.get_one(UserRow, user.id)
                check_edition(form, {"role": row.role})
                set_role(change.session, row, role)
            if not refused:
                flash(_("The role is changed. He logs in again."))
                return redirect(url_for(".show", user_id=user.id), 303)
        is_self = user.id == front.actor.user_id
        return render_template(
            "panel/users/show.html",
            pages=pages, user=user, account=account, form=form, managed=managed and not is_self,
            keys=keys, has_keys_here=_has_keys_here(front, user, pages), languages=LANGUAGES,
        )  # fmt: skip

    _add_edit(made, front, pages)
    _add_deeds(made, front, pages)


def _add_edit(made: Blueprint, front: Front, pages: UserPages) -> None:
    @made.route("/users/<int:user_id>/edit", methods=["GET", "POST"], endpoint="edit")
    @needs(pages.write)
    @grave
    def edit(user_id: int) -> Redirect | str:
        user = _managed(front, user_id)
        form = EditForm(obj=user)
        if request.method == "GET":
            form.edition.data = edition_of(asdict(facts_of(user)))
        if form.validate_on_submit():
            with refusals(form) as refused, _changing(front, "user.change", user) as change:
                _refuse_own(front, user)
                row = change.session.get_one(UserRow, user.id)
                check_edition(form, asdict(facts_of(row)))
                old = row.email
                email, language = str(form.email.data or ""), str(form.language.data)
                facts = UserFacts(str(form.name.data), email, language, str(form.zone.data))
                change_facts(change.session, row, facts)
                if row.email != old:
                    mail_moved(change.session, front, row, old)
            if not refused:
                flash(_("Saved."))
                return redirect(url_for(".show", user_id=user.id), 303)
        return render_template("panel/users/edit.html", form=form, pages=pages, user=user)


def _add_deeds(made: Blueprint, front: Front, pages: UserPages) -> None:
    @made.post("/users/<int:user_id>/link")
    @needs(pages.write)
    @grave
    def link(user_id: int) -> str:
        user = _managed(front, user_id)
        with _changing(front, "user.link", user) as change:
            row = change.session.get_one(UserRow, user.id)
            url, mailed = _link(change.session, front, row, Purpose.RESET, change.now_us)
        return render_template("panel/users/link.html", pages=pages, user=user, url=url, mailed=mailed)

    @made.route("/users/<int:user_id>/<do>", methods=["GET", "POST"], endpoint="do")
    @needs(pages.write)
    @grave
    def act(user_id: int, do: str) -> Redirect | str:
        if do not in ("disable", "enable", "reset-factors"):
            abort(404)
        user = _managed(front, user_id)
        form = DoForm()
        with front.reading() as session:
            keys = keys_of_user(session, user, front.clock.now_us()) if do == "disable" else []
        if not keys:
            del form.revoke_keys
        if form.validate_on_submit():
            with refusals(form) as refused, _changing(front, f"user.{do}", user) as change:
                _refuse_own(front, user)
                row = change.session.get_one(UserRow, user.id)
                _do(change.session, row, do)
                if keys and form.revoke_keys.data:
                    for key in keys_of_user(change.session, row, change.now_us):
                        revoke(change.session, key, change.now_us)
            if not refused:
                flash(_("Done."))
                return redirect(url_for(".show", user_id=user.id), 303)
        return render_template(
            "panel/users/confirm.html", form=form, pages=pages, user=user, do=do, keys=keys,
            has_keys_here=_has_keys_here(front, user, pages),
        )  # fmt: skip


def _has_keys_here(front: Front, user: UserRow, pages: UserPages) -> bool:
    """Whether the pages of his keys are for whoever asks."""
    return user.account_id == front.scope.account_id and pages.read is Permission.USERS_READ


def _do(session: Session, user: UserRow, do: str) -> None:
    match do:
        case "disable":
            disable(session, user)
        case "enable":
            enable(user)
        case _:
            reset_factors(session, user)


def _changing(front: Front, action: str, user: UserRow) -> AbstractContextManager[Change]:
    return front.changing(action, user.login, account_id=user.account_id)


def _refuse_own(front: Front, user: UserRow) -> None:
    if user.id == front.actor.user_id:
        raise InputRefused(str(_("nobody does this to himself: ask another administrator")))


def _account(front: Front, code: str) -> AccountRow:
    """The account that somebody is let in for: that of whoever asks, or one below it."""
    with front.reading() as session:
        if not code:
            return session.get_one(AccountRow, front.scope.account_id)
        try:
            account = account_by_code(session, code)
        except InputRefused:
            abort(404)
        if account.id != front.scope.account_id and not front.scope.covers(account):
            abort(404)
        return account


def _roles(front: Front, account: AccountRow) -> list[tuple[str, str]]:
    known = (x for x in ROLES_OF_KIND[account.kind] if may_manage(front.actor, account, x))
    return [(x.value, word_of(x.value)) for x in known]


def _new(front: Front, account: AccountRow, form: UserForm) -> NewUser:
    role = Role(str(form.role.data))
    if not may_manage(front.actor, account, role):
        abort(403)
    email = str(form.email.data or "")
    login = str(form.login.data)
    return NewUser(
        login,
        str(form.name.data),
        role,
        email or (login if "@" in login else ""),
        str(form.language.data),
        str(form.zone.data),
    )


def _user(session: Session, front: Front, user_id: int) -> tuple[UserRow, AccountRow]:
    user = session.get(UserRow, user_id)
    account = None if user is None else session.get_one(AccountRow, user.account_id)
    if user is None or account is None:
        abort(404)
    if account.id != front.scope.account_id and not front.scope.covers(account):
        abort(404)
    return user, account


def _managed(front: Front, user_id: int) -> UserRow:
    with front.reading() as session:
        user, account = _user(session, front, user_id)
    if not may_manage(front.actor, account, Role(user.role)):
        abort(403)
    return user


def _link(session: Session, front: Front, user: UserRow, purpose: Purpose, now_us: int) -> tuple[str, bool]:
    url = link_url(front, make_link(session, user, purpose, now_us))
    return url, mail_link(session, front, user, url, purpose)
