"""Life-cycle policies of issuers: kept by name, one of them the standard one, and which is whose."""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from pbxbill.billing.life_cycle.life_cycle_policy import LifeCyclePolicy
from pbxbill.billing.life_cycle.life_cycle_text import policy_from_json, policy_from_toml, policy_to_json
from pbxbill.errors import InputRefused
from pbxbill.money import Unit
from pbxbill.store.dunning_models import LifeCyclePolicyRow, LifeCycleRow
from pbxbill.store.models import AccountRow, UnitRow

ACTIVE, PAUSED, STOPPED, RELEASED = "active", "paused", "stopped", "released"
"""stopped: by the brake; released: a person has seen whom it would bar, and the next run may."""
MAX_NAME_LENGTH = 64


class KnownPolicy(NamedTuple):
    """A policy with what is kept of it."""

    id: int
    issuer_id: int
    name: str
    version: int
    standard: bool
    state: str
    terms: LifeCyclePolicy

    @property
    def works(self) -> bool:
        """Whether runs go by it."""
        return self.state in {ACTIVE, RELEASED}


def import_policy(
    session: Session, issuer: AccountRow, name: str, text: str, now_us: int, *, standard: bool = False
) -> KnownPolicy:
    """Keep a policy that a person wrote in TOML: a new one, or the newest version of one."""
    terms = policy_from_toml(text, _units(session))
    return keep_policy(session, issuer, name, terms, now_us, standard=standard)


def keep_policy(
    session: Session,
    issuer: AccountRow,
    name: str,
    terms: LifeCyclePolicy,
    now_us: int,
    *,
    standard: bool = False,
) -> KnownPolicy:
    """Keep a policy: a new one, or the newest version of one. It counts at once."""
    if issuer.kind == "customer":
        raise InputRefused("only the operator and resellers have policies")
    if not (name.isprintable() and name.strip() == name and 0 < len(name) <= MAX_NAME_LENGTH):
        raise InputRefused(f"a policy's name has 1 to {MAX_NAME_LENGTH} printable characters")
    row = session.scalar(_named(issuer, name).with_for_update())
    if row is None:
        row = LifeCyclePolicyRow(
            issuer_id=issuer.id,
            name=name,
            definition="",
            version=0,
            standard=False,
            state=ACTIVE,
            created_us=now_us,
        )
        session.add(row)
    row.definition, row.version = policy_to_json(terms), row.version + 1
    session.flush()
    if standard:
        make_standard(session, issuer, row.id)
    look_again(session, issuer.id, now_us)
    return _known(row)


def make_standard(session: Session, issuer: AccountRow, policy_id: int | None) -> None:
    """Say which policy accounts have for whom nothing else is said; None: no policy."""
    rows = session.scalars(select(LifeCyclePolicyRow).where(LifeCyclePolicyRow.issuer_id == issuer.id))
    for row in rows.all():
        row.standard = row.id == policy_id
    session.flush()


def set_state(session: Session, issuer: AccountRow, name: str, state: str, now_us: int) -> KnownPolicy:
    """Pause a policy, let it go on, or release it after its brake has stopped it."""
    row = session.scalar(_named(issuer, name).with_for_update())
    if row is None:
        raise _unknown(session, issuer, name)
    row.state = state
    session.flush()
    look_again(session, issuer.id, now_us)
    return _known(row)


def policy_by_name(session: Session, issuer: AccountRow, name: str) -> KnownPolicy:
    """A policy of an issuer; InputRefused if there is none of that name."""
    row = session.scalar(_named(issuer, name))
    if row is None:
        raise _unknown(session, issuer, name)
    return _known(row)


def policies_of(session: Session, issuer_id: int | None = None) -> list[KnownPolicy]:
    """All, or those of an issuer."""
    query = select(LifeCyclePolicyRow).order_by(LifeCyclePolicyRow.issuer_id, LifeCyclePolicyRow.name)
    if issuer_id is not None:
        query = query.where(LifeCyclePolicyRow.issuer_id == issuer_id)
    return [_known(row) for row in session.scalars(query)]


class PolicyBook:
    """All policies, read once: which of them is whose."""

    def __init__(self, session: Session) -> None:
        known = policies_of(session)
        self._by_id = {policy.id: policy for policy in known}
        self._standard = {policy.issuer_id: policy for policy in known if policy.standard}

    def of(self, account: AccountRow, chosen_id: int | None) -> KnownPolicy | None:
        """The one chosen for an account, or its issuer's standard one if that is for its kind."""
        if chosen_id is not None:
            return self._by_id.get(chosen_id)
        standard = self._standard.get(account.parent_id or 0)
        if standard is None or account.kind != "customer":
            return None
        return standard if account.mode in standard.terms.modes else None


def look_again(session: Session, issuer_id: int, now_us: int) -> None:
    """What its accounts wait for may have changed."""
    of_issuer = select(AccountRow.id).where(AccountRow.parent_id == issuer_id)
    session.execute(
        update(LifeCycleRow)
        .where(LifeCycleRow.account_id.in_(of_issuer))
        .values(next_us=now_us)
        .execution_options(synchronize_session="fetch")
    )


def _known(row: LifeCyclePolicyRow) -> KnownPolicy:
    terms = policy_from_json(row.definition)
    return KnownPolicy(row.id, row.issuer_id, row.name, row.version, row.standard, row.state, terms)


def _named(issuer: AccountRow, name: str) -> Select[LifeCyclePolicyRow]:
    return select(LifeCyclePolicyRow).where(
        LifeCyclePolicyRow.issuer_id == issuer.id, LifeCyclePolicyRow.name == name
    )


def _unknown(session: Session, issuer: AccountRow, name: str) -> InputRefused:
    known = ", ".join(x.name for x in policies_of(session, issuer.id))
    return InputRefused(f"{issuer.code} has no life-cycle policy {name[:64]!r}; there is: {known or 'none'}")


def _units(session: Session) -> Mapping[str, Unit]:
    return {row.code: Unit(row.code, row.scale, row.digits) for row in session.scalars(select(UnitRow))}
