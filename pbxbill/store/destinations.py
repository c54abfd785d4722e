"""Writes and reads destinations with their prefixes, and dialling rules; engines load both."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, delete, exists, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from pbxbill.errors import InputRefused
from pbxbill.rating.destination import DiallingRule, rule_from_json, rule_to_json
from pbxbill.rating.destination_map import DestinationMap
from pbxbill.rating.destination_sheet import DestinationLine
from pbxbill.rating.number_plan import KINDS
from pbxbill.store.accounts import bump_catalogue
from pbxbill.store.catalogue_models import (
    BundleRow,
    DestinationPrefixRow,
    DestinationRow,
    DiallingRuleRow,
    LimitRow,
)
from pbxbill.store.engine import transaction
from pbxbill.store.models import AccountRow

ROWS_PER_STATEMENT = 500
MOST_TOGETHER = 10_000
"""Prefixes that one transaction writes, in some tenths of a second."""
PAUSE_S = 0.01
"""Between two of them: SQLite hands its write lock to whoever asks first."""
DESTINATION_ROWS = (
    "SELECT p.prefix, d.name, d.kind FROM destination_prefixes p "
    "JOIN destinations d ON d.id = p.destination_id"
)
"""What a DestinationMap is compiled from; for a Driver."""


class DestinationsChanged(NamedTuple):
    """What an import did."""

    destinations: int
    """In the file."""
    prefixes: int
    added: int
    """Prefixes that no destination had."""
    moved: int
    """Prefixes that another destination had."""
    removed: int
    """Prefixes that nobody has any more."""


def import_destinations(
    database: Engine, lines: Iterable[DestinationLine], *, keep_others: bool = False
) -> DestinationsChanged:
    """Make these destinations all that there are; keep_others: leave those that the lines do not name.

    Only what differs is written, up to MOST_TOGETHER prefixes in one transaction. More take several, so that
    calls are charged meanwhile: SQLite has one write lock. Each of these leaves a map that works; engines
    that are running go on with theirs until the last.
    """
    kinds, owners = _named(lines)
    try:
        with transaction(database) as session:
            ids = _written_names(session, kinds)
            changes = _differences(session, kinds, owners, ids, keep_others=keep_others)
            few = len(changes.gone) + len(changes.moved) + len(changes.added) <= MOST_TOGETHER
            if few:
                _write(session, changes, owners, ids)
                _finish(session)
        if not few:
            for part in changes.parts():
                time.sleep(PAUSE_S)
                with transaction(database) as session:
                    _write(session, part, owners, ids)
            with transaction(database) as session:
                _finish(session)
    except IntegrityError as error:
        raise InputRefused("destinations were imported by somebody else meanwhile; import again") from error
    return _counted(kinds, owners, changes)


def put_destinations(
    session: Session, lines: Sequence[DestinationLine], *, keep_others: bool
) -> DestinationsChanged:
    """The same in the caller's transaction, of up to MOST_TOGETHER prefixes."""
    kinds, owners = _named(lines)
    ids = _written_names(session, kinds)
    changes = _differences(session, kinds, owners, ids, keep_others=keep_others)
    if len(changes.gone) + len(changes.moved) + len(changes.added) > MOST_TOGETHER:
        raise InputRefused("so many prefixes change that the command line has to import them")
    _write(session, changes, owners, ids)
    _finish(session)
    return _counted(kinds, owners, changes)


def destination_differences(
    session: Session, lines: Sequence[DestinationLine], *, keep_others: bool
) -> DestinationsChanged:
    """What an import of these lines would do; nothing is written."""
    kinds, owners = _named(lines)
    ids = {row.name: row.id for row in session.scalars(select(DestinationRow))}
    return _counted(kinds, owners, _differences(session, kinds, owners, ids, keep_others=keep_others))


def remove_destination(session: Session, name: str) -> None:
    """Take a destination away with its prefixes; InputRefused if a bundle or limit names it."""
    row = session.scalars(select(DestinationRow).where(DestinationRow.name == name)).one()
    session.execute(delete(DestinationPrefixRow).where(DestinationPrefixRow.destination_id == row.id))
    session.delete(row)
    session.flush()
    bump_catalogue(session, destinations=True)
    if any(x.casefold() == name.casefold() for x in dangling_destinations(session)):
        raise InputRefused(f"a bundle or limit names {name!r}; change that first")


def _named(lines: Iterable[DestinationLine]) -> tuple[dict[str, str], dict[str, str]]:
    kinds: dict[str, str] = {}
    owners: dict[str, str] = {}
    for line in lines:
        kinds[line.name] = line.kind
        owners.update(dict.fromkeys(line.prefixes, line.name))
    if not owners:
        raise InputRefused("the file holds no usable row; nothing was changed")
    return kinds, owners


def _counted(kinds: Mapping[str, str], owners: Mapping[str, str], changes: "_Changes") -> DestinationsChanged:
    counts = (len(changes.added), len(changes.moved), len(changes.gone))
    return DestinationsChanged(len(kinds), len(owners), *counts)


class _Changes(NamedTuple):
    """Prefixes to be written."""

    gone: Sequence[str]
    moved: Sequence[str]
    added: Sequence[str]

    def parts(self) -> Iterator["_Changes"]:
        for chunk in _chunks(self.moved, MOST_TOGETHER):
            yield _Changes((), chunk, ())
        for chunk in _chunks(self.added, MOST_TOGETHER):
            yield _Changes((), (), chunk)
        for chunk in _chunks(self.gone, MOST_TOGETHER):
            yield _Changes(chunk, (), ())


def _written_names(session: Session, kinds: Mapping[str, str]) -> dict[str, int]:
    rows = {row.name: row for row in session.scalars(select(DestinationRow))}
    for name, kind in kinds.items():
        if name in rows:
            rows[name].kind = kind
        else:
            rows[name] = DestinationRow(name=name, kind=kind)
            session.add(rows[name])
    session.flush()
    return {name: row.id for name, row in rows.items()}


def _differences(
    session: Session,
    kinds: Mapping[str, str],
    owners: Mapping[str, str],
    ids: Mapping[str, int],
    *,
    keep_others: bool,
) -> _Changes:
    names = {id: name for name, id in ids.items()}
    pairs = session.execute(select(DestinationPrefixRow.prefix, DestinationPrefixRow.destination_id))
    before = {prefix: names[owner_id] for prefix, owner_id in pairs}
    gone = [
        prefix
        for prefix, owner in before.items()
        if prefix not in owners and (owner in kinds or not keep_others)
    ]
    moved = [prefix for prefix, owner in owners.items() if before.get(prefix, owner) != owner]
    return _Changes(gone, moved, [prefix for prefix in owners if prefix not in before])


def _write(session: Session, changes: _Changes, owners: Mapping[str, str], ids: Mapping[str, int]) -> None:
    for chunk in _chunks([*changes.gone, *changes.moved], ROWS_PER_STATEMENT):
        session.execute(delete(DestinationPrefixRow).where(DestinationPrefixRow.prefix.in_(chunk)))
    for chunk in _chunks([*changes.moved, *changes.added], ROWS_PER_STATEMENT):
        made = [{"prefix": prefix, "destination_id": ids[owners[prefix]]} for prefix in chunk]
        session.execute(insert(DestinationPrefixRow), made)


def _finish(session: Session) -> None:
    empty = ~exists().where(DestinationPrefixRow.destination_id == DestinationRow.id)
    session.execute(delete(DestinationRow).where(empty))
    bump_catalogue(session, destinations=True)  # once: engines compile their map anew


def _chunks(prefixes: Sequence[str], length: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(prefixes), length):
        yield prefixes[start : start + length]


def load_destination_map(session: Session) -> DestinationMap:
    """All destinations, ready for lookups."""
    rows = session.execute(
        select(DestinationPrefixRow.prefix, DestinationRow.name, DestinationRow.kind)
        .join(DestinationRow, DestinationRow.id == DestinationPrefixRow.destination_id)
        .execution_options(yield_per=ROWS_PER_STATEMENT)
    )
    return DestinationMap((prefix, name, kind) for prefix, name, kind in rows)


def list_destinations(session: Session) -> list[tuple[str, str, int, str]]:
    """Each destination's name, class, how many prefixes it has, and its lowest prefix."""
    prefixes = DestinationPrefixRow
    rows = session.execute(
        select(
            DestinationRow.name, DestinationRow.kind, func.count(prefixes.prefix), func.min(prefixes.prefix)
        )
        .join(prefixes, prefixes.destination_id == DestinationRow.id)
        .group_by(DestinationRow.id, DestinationRow.name, DestinationRow.kind)
        .order_by(DestinationRow.name)
    )
    return [(name, kind, count, first) for name, kind, count, first in rows]


def checked_destinations(session: Session, wanted: Sequence[str]) -> str:
    """Names, classes and prefixes as a row keeps them; InputRefused if one of them means nothing."""
    names = {name.casefold(): name for name in session.scalars(select(DestinationRow.name))}
    found: list[str] = []
    for item in wanted:
        text = item.strip()
        digits = text.removeprefix("+")
        kind = text.lower().replace("-", "_")
        if digits.isascii() and digits.isdigit() and len(digits) <= 15:
            found.append(digits)
        elif kind in KINDS:
            found.append(kind)
        elif text.casefold() in names:
            found.append(names[text.casefold()])
        else:
            raise InputRefused(
                f"{text[:40]!r} is no destination; write a prefix (+49900), a class ({', '.join(KINDS)}) "
                "or a name that `pbxbill destinations list` shows"
            )
    return "\n".join(dict.fromkeys(found))


def dangling_destinations(session: Session) -> list[str]:
    """What bundles and limits name although no destination of that name is left: it matches nothing."""
    names = {name.casefold() for name in session.scalars(select(DestinationRow.name))}
    texts = [*session.scalars(select(BundleRow.destinations))]
    texts += session.scalars(select(LimitRow.destinations).where(LimitRow.kind.in_(("allowed", "blocked"))))
    items = {item for text in texts for item in text.split("\n") if item}
    return sorted(x for x in items if not x.isdigit() and x not in KINDS and x.casefold() not in names)


# --- dialling rules ---------------------------------------------------------------------------


def set_dialling_rule(session: Session, rule: DiallingRule) -> bool:
    """Write a rule, in the place of the one of its name; whether there was one. Accounts follow at once."""
    row = session.scalar(select(DiallingRuleRow).where(DiallingRuleRow.name == rule.name))
    existed = row is not None
    if row is None:
        row = DiallingRuleRow(name=rule.name)
        session.add(row)
    row.definition = rule_to_json(rule)
    session.flush()
    bump_catalogue(session)
    return existed


def dialling_rule_by_name(session: Session, name: str) -> DiallingRuleRow:
    """A rule's row; InputRefused if there is none of that name."""
    row = session.scalar(select(DiallingRuleRow).where(DiallingRuleRow.name == name))
    if row is None:
        raise InputRefused(f"no dialling rule {name[:64]!r}; `pbxbill dialling list` shows them")
    return row


def remove_dialling_rule(session: Session, name: str) -> None:
    """Remove a rule that no account uses."""
    row = dialling_rule_by_name(session, name)
    users = session.scalars(
        select(AccountRow.code).where(AccountRow.dialling_rule_id == row.id).limit(5)
    ).all()
    if users:
        raise InputRefused(f"dialling rule {name} is used by {', '.join(users)}; give them another one first")
    session.delete(row)
    session.flush()
    bump_catalogue(session)


def load_dialling_rules(session: Session) -> dict[int, DiallingRule]:
    """Every rule by its row's id."""
    rows = session.scalars(select(DiallingRuleRow).order_by(DiallingRuleRow.name))
    return {row.id: rule_from_json(row.name, row.definition) for row in rows}
