"""The dunning policies and penalty classes of issuers, and which of them an account goes by.

An account goes by the policy that was chosen for it, else by that of its group, else by its issuer's standard
one. Resellers have their own: an issuer's policy is for nobody else's customers.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.billing.dunning.dunning_policy import DunningPolicy, WorkingDays
from pbxbill.billing.dunning.dunning_text import policy_from_json, policy_from_toml, policy_to_json
from pbxbill.billing.dunning.penalties import (
    PenaltyTerms,
    penalty_from_json,
    penalty_from_toml,
    penalty_to_json,
)
from pbxbill.billing.parties import party_of
from pbxbill.billing.period import local_date
from pbxbill.billing.profiles import ProfileTerms, set_profile
from pbxbill.clock import SECOND_US
from pbxbill.errors import InputRefused, TermRefused, refused_at
from pbxbill.money import Unit
from pbxbill.rating.calendar_text import public_holidays
from pbxbill.store.billing_models import BillingProfileRow
from pbxbill.store.dunning_models import (
    DunningPolicyRow,
    DunningPolicyVersionRow,
    DunningStateRow,
    PenaltyClassRow,
)
from pbxbill.store.models import AccountRow, UnitRow

ACTIVE, PAUSED, STOPPED = "active", "paused", "stopped"
"""States of a policy; stopped: by the brake."""
MAX_NAME_LENGTH = 64
RELEASED_US = 86_400 * SECOND_US
"""For so long the brake does not hold once somebody has released it."""


class Policy(NamedTuple):
    """A policy of an issuer with its newest terms."""

    id: int
    issuer_id: int
    name: str
    version: int
    state: str
    standard: bool
    groups: tuple[str, ...]
    released_to_us: int | None
    terms: DunningPolicy


class PenaltyClass(NamedTuple):
    """A penalty class of an issuer."""

    id: int
    issuer_id: int
    name: str
    terms: PenaltyTerms


def import_policy(session: Session, issuer: AccountRow, name: str, text: str, now_us: int) -> Policy:
    """Write a policy from what a person wrote in TOML, as the newest version of its name."""
    return keep_policy(session, issuer, name, policy_from_toml(text, _units(session)), now_us)


def keep_policy(session: Session, issuer: AccountRow, name: str, terms: DunningPolicy, now_us: int) -> Policy:
    """Write a policy as the newest version of its name."""
    _check_name(name)
    if terms.penalty:
        with refused_at("penalty"):
            penalty_by_name(session, issuer, terms.penalty)
    for number, level in enumerate(terms.levels, 1):
        if level.penalty:
            with refused_at("level", number, "penalty"):
                penalty_by_name(session, issuer, level.penalty)
    if terms.quiet_holidays and not _holidays(session, issuer.id, now_us):
        raise TermRefused(
            f"quiet_holidays: the country of {issuer.code} is not known; `pbxbill parties set` tells it",
            "quiet_holidays",
        )
    definition = policy_to_json(terms)
    row = _locked_policy(session, issuer, name, now_us)
    if row.definition != definition:
        row.definition, row.version = definition, row.version + 1
        session.flush()
        session.add(
            DunningPolicyVersionRow(
                policy_id=row.id, number=row.version, definition=definition, created_us=now_us
            )
        )
        look_again(session, issuer.id, now_us)
    session.flush()
    return _policy(row)


def _locked_policy(session: Session, issuer: AccountRow, name: str, now_us: int) -> DunningPolicyRow:
    query = select(DunningPolicyRow).where(
        DunningPolicyRow.issuer_id == issuer.id, DunningPolicyRow.name == name
    )
    row = session.scalar(query.with_for_update())
    if row is None:
        row = DunningPolicyRow(
            issuer_id=issuer.id,
            name=name,
            definition="",
            version=0,
            standard=False,
            groups="",
            state=ACTIVE,
            released_to_us=None,
            created_us=now_us,
        )
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # another process was first
            row = session.scalars(query.with_for_update()).one()
    return row


def make_standard(session: Session, policy_id: int, now_us: int) -> None:
    """Let an issuer's accounts go by a policy for whom nothing else is said."""
    row = session.get_one(DunningPolicyRow, policy_id, with_for_update=True)
    others = update(DunningPolicyRow).where(DunningPolicyRow.issuer_id == row.issuer_id)
    session.execute(others.values(standard=False))
    row.standard = True
    look_again(session, row.issuer_id, now_us)
    session.flush()


def set_groups(session: Session, policy_id: int, groups: Sequence[str], now_us: int) -> None:
    """Say for which groups of accounts a policy is; a group has one policy."""
    row = session.get_one(DunningPolicyRow, policy_id, with_for_update=True)
    wanted = tuple(dict.fromkeys(groups))
    for group in wanted:
        if not (group.isprintable() and 0 < len(group) <= MAX_NAME_LENGTH):
            raise InputRefused(f"a group's name has 1 to {MAX_NAME_LENGTH} printable characters")
    others = select(DunningPolicyRow).where(
        DunningPolicyRow.issuer_id == row.issuer_id, DunningPolicyRow.id != row.id
    )
    for other in session.scalars(others):
        taken = set(_groups(other)) & set(wanted)
        if taken:
            raise InputRefused(
                f"group {min(taken)!r} goes by policy {other.name!r}; take it away there first"
            )
    row.groups = "\n".join(wanted)
    look_again(session, row.issuer_id, now_us)
    session.flush()


def pause(session: Session, policy_id: int) -> None:
    """Do nothing by a policy until it is released; what it has done stays."""
    session.get_one(DunningPolicyRow, policy_id, with_for_update=True).state = PAUSED
    session.flush()


def release(session: Session, policy_id: int, now_us: int) -> None:
    """Let a policy go on that was paused, or stopped by the brake; the brake does not hold for a day."""
    row = session.get_one(DunningPolicyRow, policy_id, with_for_update=True)
    if row.state == STOPPED:
        row.released_to_us = now_us + RELEASED_US
    row.state = ACTIVE
    session.flush()


def assign(session: Session, account: AccountRow, policy: Policy | None, now_us: int) -> None:
    """Choose the policy of one account; None: that of its group, or its issuer's."""
    if policy is not None and policy.issuer_id != account.parent_id:
        raise InputRefused(f"policy {policy.name!r} is for customers of another issuer than {account.code}'s")
    _profile(session, account).dunning_policy_id = None if policy is None else policy.id
    session.flush()
    look_again(session, account.parent_id or account.id, now_us, account.id)


def assign_penalty(session: Session, account: AccountRow, penalty: PenaltyClass | None, now_us: int) -> None:
    """Choose by which class an account's overdue invoices are charged; None: the policy's."""
    if penalty is not None and penalty.issuer_id != account.parent_id:
        raise InputRefused(f"class {penalty.name!r} is for customers of another issuer than {account.code}'s")
    _profile(session, account).penalty_class_id = None if penalty is None else penalty.id
    session.flush()
    look_again(session, account.parent_id or account.id, now_us, account.id)


def _profile(session: Session, account: AccountRow) -> BillingProfileRow:
    if account.parent_id is None:
        raise InputRefused("the operator is billed by nobody")
    row = session.get(BillingProfileRow, account.id, with_for_update=True)
    if row is None:
        set_profile(session, account.id, ProfileTerms())
        row = session.get_one(BillingProfileRow, account.id)
    return row


def look_again(session: Session, issuer_id: int, now_us: int, account_id: int | None = None) -> None:
    """Let the next run look at all invoices of an issuer in dunning, or of one of its accounts."""
    below = select(AccountRow.id).where(AccountRow.parent_id == issuer_id)
    of_them = (
        DunningStateRow.account_id.in_(below)
        if account_id is None
        else DunningStateRow.account_id == account_id
    )
    statement = update(DunningStateRow).where(of_them).values(next_us=now_us)
    session.execute(statement.execution_options(synchronize_session="fetch"))


def import_penalty(session: Session, issuer: AccountRow, name: str, text: str, now_us: int) -> PenaltyClass:
    """Write a penalty class from what a person wrote in TOML; what is charged from now on goes by it."""
    return keep_penalty(session, issuer, name, penalty_from_toml(text, _units(session)), now_us)


def keep_penalty(
    session: Session, issuer: AccountRow, name: str, terms: PenaltyTerms, now_us: int
) -> PenaltyClass:
    """Write a penalty class; what is charged from now on goes by it."""
    _check_name(name)
    query = select(PenaltyClassRow).where(
        PenaltyClassRow.issuer_id == issuer.id, PenaltyClassRow.name == name
    )
    row = session.scalar(query.with_for_update())
    if row is None:
        row = PenaltyClassRow(issuer_id=issuer.id, name=name, created_us=now_us)
        session.add(row)
    row.definition = penalty_to_json(terms)
    session.flush()
    look_again(session, issuer.id, now_us)
    return _penalty(row)


def penalty_by_name(session: Session, issuer: AccountRow, name: str) -> PenaltyClass:
    """A class of an issuer; InputRefused if there is none of that name."""
    row = session.scalar(
        select(PenaltyClassRow).where(PenaltyClassRow.issuer_id == issuer.id, PenaltyClassRow.name == name)
    )
    if row is None:
        raise InputRefused(
            f"{issuer.code} has no penalty class {name!r}; `pbxbill penalties list` shows them"
        )
    return _penalty(row)


def penalty_classes(session: Session, issuer: AccountRow | None = None) -> list[PenaltyClass]:
    """All classes; issuer: only its own."""
    query = select(PenaltyClassRow).order_by(PenaltyClassRow.issuer_id, PenaltyClassRow.name)
    if issuer is not None:
        query = query.where(PenaltyClassRow.issuer_id == issuer.id)
    return [_penalty(row) for row in session.scalars(query)]


def policy_by_name(session: Session, issuer: AccountRow, name: str) -> Policy:
    """A policy of an issuer; InputRefused if there is none of that name."""
    row = session.scalar(
        select(DunningPolicyRow).where(DunningPolicyRow.issuer_id == issuer.id, DunningPolicyRow.name == name)
    )
    if row is None:
        raise InputRefused(
            f"{issuer.code} has no dunning policy {name!r}; `pbxbill dunning policies` shows them"
        )
    return _policy(row)


def all_policies(session: Session, issuer: AccountRow | None = None) -> list[Policy]:
    """All policies; issuer: only its own."""
    query = select(DunningPolicyRow).order_by(DunningPolicyRow.issuer_id, DunningPolicyRow.name)
    if issuer is not None:
        query = query.where(DunningPolicyRow.issuer_id == issuer.id)
    return [_policy(row) for row in session.scalars(query.execution_options(populate_existing=True))]


class PolicyBook:
    """All policies and classes as they stand now: who goes by which, and on which days it acts."""

    def __init__(self, session: Session, now_us: int, *, with_holidays: bool = True) -> None:
        """with_holidays: whether it is asked on which days something is done."""
        self.by_id = {policy.id: policy for policy in all_policies(session)}
        self.units = _units(session)
        self._by_group = {
            (policy.issuer_id, group): policy for policy in self.by_id.values() for group in policy.groups
        }
        self._standard = {policy.issuer_id: policy for policy in self.by_id.values() if policy.standard}
        self._penalties = {row.id: row for row in penalty_classes(session)}
        self._by_name = {(row.issuer_id, row.name): row for row in self._penalties.values()}
        quiet = {x.issuer_id for x in self.by_id.values() if with_holidays and x.terms.quiet_holidays}
        self._holidays = {issuer_id: _holidays(session, issuer_id, now_us) for issuer_id in quiet}
        self._days: dict[tuple[int, str], WorkingDays] = {}

    def of(self, issuer_id: int, chosen_id: int | None, group: str) -> Policy | None:
        """The policy of an account; None: nothing is done about what it owes."""
        chosen = self.by_id.get(chosen_id or 0)
        if chosen is not None and chosen.issuer_id == issuer_id:
            return chosen
        return self._by_group.get((issuer_id, group)) or self._standard.get(issuer_id)

    def penalty(self, policy: Policy, chosen_id: int | None) -> PenaltyClass | None:
        """By which class an account's overdue invoices are charged."""
        chosen = self._penalties.get(chosen_id or 0)
        if chosen is not None and chosen.issuer_id == policy.issuer_id:
            return chosen
        return self.penalty_named(policy, policy.terms.penalty)

    def penalty_named(self, policy: Policy, name: str) -> PenaltyClass | None:
        """The class that a policy speaks of."""
        return self._by_name.get((policy.issuer_id, name))

    def days(self, policy: Policy, zone: str) -> WorkingDays:
        """The days on which a policy acts where an account is."""
        found = self._days.get((policy.id, zone))
        if found is None:
            holidays = self._holidays.get(policy.issuer_id, frozenset())
            found = self._days[policy.id, zone] = WorkingDays(policy.terms, zone, holidays)
        return found


def _policy(row: DunningPolicyRow) -> Policy:
    terms = policy_from_json(row.definition)
    return Policy(
        row.id,
        row.issuer_id,
        row.name,
        row.version,
        row.state,
        row.standard,
        _groups(row),
        row.released_to_us,
        terms,
    )


def _penalty(row: PenaltyClassRow) -> PenaltyClass:
    return PenaltyClass(row.id, row.issuer_id, row.name, penalty_from_json(row.definition))


def _groups(row: DunningPolicyRow) -> tuple[str, ...]:
    return tuple(filter(None, row.groups.split("\n")))


def _units(session: Session) -> dict[str, Unit]:
    return {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}


def _check_name(name: str) -> None:
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= MAX_NAME_LENGTH):
        raise InputRefused(f"a name has 1 to {MAX_NAME_LENGTH} printable characters")


def _holidays(session: Session, issuer_id: int, now_us: int) -> frozenset[date]:
    """Of the issuer's country, for as far as levels may lie; none where that is not known."""
    country = party_of(session, issuer_id).country
    year = local_date(now_us, "UTC").year
    return _holidays_of(country, year - 1, year + 4) if country else frozenset()


@lru_cache(maxsize=64)
def _holidays_of(country: str, first: int, last: int) -> frozenset[date]:
    try:
        days = public_holidays(country, None, first, last)
    except InputRefused:  # a country of which nobody has written the holidays down
        return frozenset()
    return frozenset(date.fromisoformat(day) for day in days)
