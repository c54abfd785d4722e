"""The audit log: who changed what, and how it was before.

What changes in rows is seen as the session writes it, one by one or by statements for many; no use case has
to tell, but of credit limits, which the charging engine writes (tell_change). Money that moves is in the
journal, which is never changed: here stands who moved it, and which entries of the journal say how.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import ORMExecuteState, Session

from pbxbill.access.actor import Actor
from pbxbill.ledger.journal import JournalEntry
from pbxbill.store.access_models import AuditObjectRow, AuditRow
from pbxbill.store.engine import ON_POSTED
from pbxbill.store.models import AccountRow

MAX_VALUE_LENGTH = 500
MAX_KEY_LENGTH = 128
"""Of objects that are found by their keys: hashes and names fit in, texts need not."""
HIDDEN = "***"
"""Stands for a secret."""
_SEEN = "audited"
MAX_ROWS = 100
"""Of one change; how many more there were is noted."""
SECRET = frozenset(("password", "secret", "hash", "totp", "token", "pin", "credential", "sealed"))
"""Columns with one of these words in their names are noted as changed, without their values."""
SECRET_COLUMNS = frozenset(("public_key", "settings", "form"))
"""So are these, in which secrets stand among the rest."""


@dataclass(slots=True)
class Seen:
    """What was changed, as far as there is room."""

    room: int = MAX_ROWS
    changes: list[dict[str, Any]] = field(default_factory=list)
    fresh: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    """Changes of rows that get their keys as they are written."""
    more: int = 0

    def __bool__(self) -> bool:
        """Whether anything was."""
        return bool(self.changes or self.more)

    def add(self, of: Callable[[], dict[str, Any]], row: Any = None) -> None:
        """One more change; one for which there is no room is not even looked at."""
        if len(self.changes) >= self.room:
            self.more += 1
            return
        change = of()
        self.changes.append(change)
        if row is not None:
            self.fresh.append((change, row))

    def add_posted(self, entries: Iterable[JournalEntry]) -> None:
        """Entries of the books."""
        for entry in entries:
            self.add(partial(_posted, entry))

    def take_keys(self) -> None:
        """Rows have their keys now."""
        for change, row in self.fresh:
            change["key"] = _key(inspect(row))
        self.fresh.clear()

    def objects(self) -> set[tuple[str, str]]:
        """What was changed, row by row: tables and keys. A key that is a secret names nothing."""
        named = (
            (x["table"], key_text(x["key"])) for x in self.changes if x["key"] and HIDDEN not in x["key"]
        )
        return {(table, key) for table, key in named if len(key) <= MAX_KEY_LENGTH}

    def text(self) -> str:
        """As it is kept."""
        shown = [*self.changes, {"more": self.more}] if self.more else self.changes
        return json.dumps(shown, ensure_ascii=False)


def key_text(key: list[Any]) -> str:
    """A row's key, as objects are found by it: 17, or 17,EUR."""
    return ",".join(map(str, key))


@contextmanager
def audited(
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    *,
    now_us: int,
    account_id: int | None = None,
) -> Iterator[None]:
    """Note all that rows of the session change until the end, in the same transaction."""
    with watched(session) as seen:
        yield
    write_audit(session, actor, action, subject, seen, now_us=now_us, account_id=account_id)


@contextmanager
def watched(session: Session, room: int = MAX_ROWS) -> Iterator[Seen]:
    """What rows of the session change until the end."""
    seen = Seen(room)

    def collect(_session: Session, _context: Any, _instances: Any) -> None:
        for row in session.new:
            seen.add(partial(_change, row, "new"), row)
        for row in session.deleted:
            seen.add(partial(_change, row, "deleted"))
        for row in session.dirty:
            if session.is_modified(row) and row not in session.deleted:
                seen.add(partial(_change, row, "changed"))

    def take_keys(_session: Session, _context: Any) -> None:
        seen.take_keys()

    def collect_statement(state: ORMExecuteState) -> None:
        if state.is_insert or state.is_update or state.is_delete:
            seen.add(partial(_statement, state))

    listeners = (
        ("before_flush", collect),
        ("after_flush_postexec", take_keys),
        ("do_orm_execute", collect_statement),
    )
    for name, listener in listeners:
        event.listen(session, name, listener)
    outer = session.info.get(_SEEN), session.info.get(ON_POSTED)
    session.info[_SEEN], session.info[ON_POSTED] = seen, seen.add_posted
    try:
        yield seen
        session.flush()
    finally:
        session.info[_SEEN], session.info[ON_POSTED] = outer
        for name, listener in listeners:
            event.remove(session, name, listener)


def tell_change(
    session: Session, table: str, key: list[Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Tell whoever watches of a change that the session does not see: the charging engine made it."""
    seen: Seen | None = session.info.get(_SEEN)
    if seen is not None:
        seen.add(lambda: {"table": table, "how": "changed", "key": key, "before": before, "after": after})


def write_audit(  # noqa: PLR0913  # one parameter per column
    session: Session,
    actor: Actor,
    action: str,
    subject: str,
    seen: Seen,
    *,
    now_us: int,
    account_id: int | None = None,
) -> None:
    """Keep what was seen, and which objects it names."""
    row = AuditRow(
        at_us=now_us,
        actor=actor.name[:200],
        user_id=actor.user_id,
        api_key_id=actor.api_key_id,
        scope_id=actor.scope.account_id,
        account_id=account_id,
        action=action,
        subject=subject[:200],
        changes=seen.text(),
        address=actor.address[:64],
    )
    session.add(row)
    session.flush()
    named = seen.objects()
    if account_id is not None:
        named.add((AccountRow.__tablename__, str(account_id)))
    session.add_all(
        AuditObjectRow(object_table=table, object_key=key, at_us=now_us, entry_id=row.id)
        for table, key in named
    )
    session.flush()


def _change(row: Any, how: str) -> dict[str, Any]:
    state = inspect(row)
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for attribute in state.mapper.column_attrs:
        history = state.attrs[attribute.key].history
        if how == "deleted":
            before[attribute.key] = _shown(attribute.key, state.attrs[attribute.key].loaded_value)
        elif history.has_changes():
            if how == "changed":
                before[attribute.key] = _shown(attribute.key, history.deleted[0] if history.deleted else None)
            after[attribute.key] = _shown(attribute.key, history.added[0] if history.added else None)
    table = state.mapper.local_table.name
    return {"table": table, "how": how, "key": _key(state), "before": before, "after": after}


def _key(state: Any) -> list[Any] | None:
    if state.identity is None:
        return None
    columns = state.mapper.primary_key
    return [_shown(column.name, value) for column, value in zip(columns, state.identity, strict=True)]


def _posted(entry: JournalEntry) -> dict[str, Any]:
    """An entry of the books: what it moved, all postings together, and where it is found."""
    amount = sum(x.amount for x in entry.postings if x.amount > 0)
    after = {"kind": entry.kind, "amount": amount, "unit": entry.unit}
    return {"table": "journal_entries", "how": "new", "key": [entry.id], "before": {}, "after": after}


def _statement(state: ORMExecuteState) -> dict[str, Any]:
    """A statement that changes rows without reading them: what it sets, and in which."""
    statement: Any = state.statement
    # One for many rows gets its values beside it, and cannot be compiled alone.
    params: dict[str, Any] = {} if state.parameters else statement.compile().params
    values = {
        name: _shown(name, value)
        for name, value in params.items()
        if not isinstance(value, list | tuple | dict)
    }
    how = "new" if state.is_insert else "deleted" if state.is_delete else "changed"
    named = {f"where {name}" if _is_condition(name) else name: value for name, value in values.items()}
    many = f" ({len(state.parameters)} rows)" if isinstance(state.parameters, list) else ""
    return {
        "table": statement.table.name,
        "how": f"{how} by a statement{many}",
        "key": None,
        "before": {},
        "after": named,
    }


def _is_condition(name: str) -> bool:
    # SQLAlchemy numbers the values of conditions: user_id_1.
    return name.rpartition("_")[2].isdigit()


def _shown(name: str, value: Any) -> Any:
    if value in (None, ""):
        return value
    if name in SECRET_COLUMNS or not SECRET.isdisjoint(name.split("_")):
        return HIDDEN
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int) or value is None:
        return value
    text = "bytes" if isinstance(value, bytes) else str(value)
    return text if len(text) <= MAX_VALUE_LENGTH else text[:MAX_VALUE_LENGTH] + "…"
