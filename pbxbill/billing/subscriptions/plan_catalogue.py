"""The plans that an issuer offers, immutable version by version; who has one keeps it until migrated."""

from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.subscriptions.plan import plan_from_json, plan_from_toml, plan_to_json
from pbxbill.billing.subscriptions.plan_terms import PlanKind, PlanTerms
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.accounts import account_by_code, tariff_by_name, tariff_of_issuer, unit_of
from pbxbill.store.billing_models import PlanRow, PlanVersionRow, SubscriptionRow
from pbxbill.store.bundles import bundle_by_name, bundle_of_issuer
from pbxbill.store.models import AccountRow, UnitRow

MAX_NAME_LENGTH = 64


class PlanVersion(NamedTuple):
    """A version of a plan with its terms read."""

    id: int
    plan_id: int
    issuer_id: int
    name: str
    number: int
    terms: PlanTerms

    @property
    def shown(self) -> str:
        """For people."""
        return f"{self.name} (version {self.number})"


class OfferedPlan(NamedTuple):
    """A plan in a list."""

    plan: PlanRow
    issuer: str
    """Its account's code."""
    newest: PlanVersion
    subscriptions: int
    """That have not ended, of every version."""


def issuer_by_code(session: Session, code: str | None) -> AccountRow:
    """The operator, or a reseller by its code; InputRefused if that is a customer."""
    if code is None:
        operator = session.scalar(select(AccountRow).where(AccountRow.kind == "operator"))
        if operator is None:
            raise InputRefused("there is no operator yet; run `pbxbill init` first")
        return operator
    account = account_by_code(session, code)
    if account.kind == "customer":
        raise InputRefused(f"account {code} is a customer; the operator and resellers sell and bill")
    return account


def import_plan(
    session: Session, issuer: AccountRow, name: str, text: str, now_us: int, *, own: bool = False
) -> PlanVersion:
    """Write a plan from what a person wrote in TOML; own: as add_plan()."""
    units = {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
    return add_plan(session, issuer, name, plan_from_toml(text, units), now_us, own=own)


def add_plan(
    session: Session, issuer: AccountRow, name: str, terms: PlanTerms, now_us: int, *, own: bool = False
) -> PlanVersion:
    """Write a plan's terms as its newest version; the same terms again are no new version.

    own: the issuer writes it himself, and names his own tariffs and bundles only. The operator, who writes
    plans for resellers too, names his as well.
    """
    if issuer.kind == "customer":
        raise InputRefused(f"account {issuer.code} is a customer; the operator and resellers offer plans")
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= MAX_NAME_LENGTH):
        raise InputRefused(f"a plan's name has 1 to {MAX_NAME_LENGTH} printable characters")
    _check_references(session, issuer, terms, own=own)
    plan = _locked_plan(session, issuer, name, terms.kind)
    if plan.kind != terms.kind:
        raise InputRefused(
            f"plan {name!r} is of the kind {plan.kind}; give a plan of another kind another name"
        )
    if plan.retired_us is not None:
        raise InputRefused(f"plan {name!r} is retired; give the new one another name")
    definition = plan_to_json(terms)
    newest = _newest_row(session, plan)
    if newest is None or newest.definition != definition:
        if newest is not None and newest.unit != terms.unit:
            raise InputRefused(f"plan {name!r} is in {newest.unit}, and its subscriptions stay in it")
        number = 1 if newest is None else newest.number + 1
        newest = PlanVersionRow(
            plan_id=plan.id, number=number, unit=terms.unit, definition=definition, created_us=now_us
        )
        session.add(newest)
        session.flush()
    return _version(plan, newest)


def _locked_plan(session: Session, issuer: AccountRow, name: str, kind: str) -> PlanRow:
    query = select(PlanRow).where(PlanRow.issuer_id == issuer.id, PlanRow.name == name).with_for_update()
    plan = session.scalar(query)
    if plan is None:
        plan = PlanRow(issuer_id=issuer.id, name=name, kind=kind, retired_us=None)
        try:
            with session.begin_nested():
                session.add(plan)
        except IntegrityError:  # another process was first
            plan = session.scalars(query).one()
    return plan


def _check_references(session: Session, issuer: AccountRow, terms: PlanTerms, *, own: bool) -> None:
    unit_of(session, terms.unit)
    for tariff in (terms.tariff, terms.inbound_tariff):
        if tariff and own:
            tariff_by_name(session, tariff, issuer.id)
        elif tariff:
            tariff_of_issuer(session, issuer.id, tariff)
    for bundle in terms.bundles:
        if own:
            bundle_by_name(session, bundle, issuer.id)
        else:
            bundle_of_issuer(session, issuer.id, bundle)


def plan_by_name(session: Session, issuer: AccountRow, name: str) -> PlanRow:
    """A plan of an issuer; InputRefused if there is none of that name."""
    plan = session.scalar(select(PlanRow).where(PlanRow.issuer_id == issuer.id, PlanRow.name == name))
    if plan is None:
        raise InputRefused(f"{issuer.code} has no plan {name!r}; `pbxbill plans list` shows them")
    return plan


def newest_version(session: Session, plan: PlanRow) -> PlanVersion:
    """What new subscribers of a plan get."""
    row = _newest_row(session, plan)
    if row is None:
        raise InputRefused(f"plan {plan.name!r} has no version yet")
    return _version(plan, row)


def version_by_id(session: Session, plan_version_id: int) -> PlanVersion:
    """A version, of whatever plan."""
    row = session.get_one(PlanVersionRow, plan_version_id)
    return _version(session.get_one(PlanRow, row.plan_id), row)


def version_by_number(session: Session, plan: PlanRow, number: int | None) -> PlanVersion:
    """A version of a plan; None: the newest."""
    if number is None:
        return newest_version(session, plan)
    row = session.scalar(
        select(PlanVersionRow).where(PlanVersionRow.plan_id == plan.id, PlanVersionRow.number == number)
    )
    if row is None:
        raise InputRefused(f"plan {plan.name!r} has no version {number}")
    return _version(plan, row)


def offered_version(session: Session, issuer: AccountRow, name: str) -> PlanVersion:
    """What a new subscriber gets under a name; InputRefused if the plan is retired."""
    plan = plan_by_name(session, issuer, name)
    if plan.retired_us is not None:
        raise InputRefused(f"plan {name!r} is retired; nobody can subscribe to it any more")
    return newest_version(session, plan)


def offered_to(session: Session, account: AccountRow, name: str) -> PlanVersion:
    """The newest version of a plan of whoever bills the account."""
    issuer = account if account.parent_id is None else session.get_one(AccountRow, account.parent_id)
    return offered_version(session, issuer, name)


def offers_to(session: Session, account: AccountRow, kind: PlanKind | None = None) -> list[PlanVersion]:
    """What an account can subscribe to: plans of whoever bills it that are not retired; kind: only of it."""
    issuer = account if account.parent_id is None else session.get_one(AccountRow, account.parent_id)
    offered = (x.newest for x in list_plans(session, issuer) if x.plan.retired_us is None)
    return [x for x in offered if kind is None or x.terms.kind is kind]


def alternatives_to(session: Session, account: AccountRow, now: PlanVersion) -> list[PlanVersion]:
    """Plans that an account could have instead of one: of the same kind and unit."""
    same = offers_to(session, account, now.terms.kind)
    return [x for x in same if x.terms.unit == now.terms.unit and x.plan_id != now.plan_id]


def versions_of(session: Session, plan: PlanRow) -> list[tuple[PlanVersion, int, int]]:
    """Every version with when it was written and how many live subscriptions have it, oldest first."""
    counted = session.execute(
        select(SubscriptionRow.plan_version_id, func.count())
        .where(SubscriptionRow.state != "ended")
        .group_by(SubscriptionRow.plan_version_id)
    )
    live: dict[int, int] = {row[0]: row[1] for row in counted}
    rows = session.scalars(
        select(PlanVersionRow).where(PlanVersionRow.plan_id == plan.id).order_by(PlanVersionRow.number)
    )
    return [(_version(plan, row), row.created_us, live.get(row.id, 0)) for row in rows]


def list_plans(session: Session, issuer: AccountRow | None = None) -> list[OfferedPlan]:
    """All plans, by issuer and name; issuer: only its own."""
    counted = session.execute(
        select(PlanVersionRow.plan_id, func.count())
        .join(SubscriptionRow, SubscriptionRow.plan_version_id == PlanVersionRow.id)
        .where(SubscriptionRow.state != "ended")
        .group_by(PlanVersionRow.plan_id)
    )
    live: dict[int, int] = {row[0]: row[1] for row in counted}
    query = (
        select(PlanRow, AccountRow.code)
        .join(AccountRow, AccountRow.id == PlanRow.issuer_id)
        .order_by(AccountRow.path, PlanRow.name)
    )
    if issuer is not None:
        query = query.where(PlanRow.issuer_id == issuer.id)
    return [
        OfferedPlan(plan, code, newest_version(session, plan), live.get(plan.id, 0))
        for plan, code in session.execute(query)
    ]


def retire_plan(session: Session, plan: PlanRow, now_us: int) -> None:
    """Let nobody subscribe to a plan from now on; who has it keeps it."""
    if plan.retired_us is not None:
        raise InputRefused(f"plan {plan.name!r} is retired already")
    plan.retired_us = now_us
    session.flush()


def _newest_row(session: Session, plan: PlanRow) -> PlanVersionRow | None:
    return session.scalar(
        select(PlanVersionRow)
        .where(PlanVersionRow.plan_id == plan.id)
        .order_by(PlanVersionRow.number.desc())
        .limit(1)
    )


def _version(plan: PlanRow, row: PlanVersionRow) -> PlanVersion:
    return PlanVersion(row.id, plan.id, plan.issuer_id, plan.name, row.number, _terms(row.definition))


@lru_cache(maxsize=1024)
def _terms(definition: str) -> PlanTerms:
    return plan_from_json(definition)
